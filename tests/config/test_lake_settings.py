"""The configuration says where the lake lies, and models do not depend on it."""

from dataclasses import replace
from pathlib import Path

import pytest

from assets.resources import lake_of
from config.loading import load_settings
from config.settings import Paths, config_sha
from config.stores import LakeSettings
from market.errors import ConfigError


def test_the_lake_lies_below_var_unless_a_url_is_set(tmp_path: Path) -> None:
    settings = replace(load_settings("dev"), paths=Paths(tmp_path))
    assert lake_of(settings).root == tmp_path / "lake"
    elsewhere = replace(settings, lake=LakeSettings("memory://bucket/lake"))
    assert lake_of(elsewhere).root == "memory://bucket/lake"
    assert config_sha(elsewhere) == config_sha(settings)


def test_a_lake_at_what_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"url='bucket/lake' is no URL"):
        LakeSettings("bucket/lake")
