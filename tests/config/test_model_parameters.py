"""The committed index of parameters is the one that the profiles give."""

import pytest

from config.loading import load_settings
from config.settings import config_sha
from tools import model_parameters


def test_the_index_of_parameters_is_up_to_date() -> None:
    written = "run python tools/model_parameters.py"
    assert model_parameters.TARGET.read_text() == model_parameters.page(), written


@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_the_index_names_the_configuration_that_models_bear(profile: str) -> None:
    assert config_sha(load_settings(profile)) in model_parameters.page()
