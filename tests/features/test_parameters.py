"""Settings that cannot be are refused by name."""

from dataclasses import replace

import pytest

from market.errors import ConfigError
from tests.builders_features import PARAMETERS


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("row_interval_ms", 15),
        ("row_interval_ms", 0),
        ("windows_ms", (50, 250)),
        ("windows_ms", (250, 50, 1_000)),
        ("windows_ms", (50, 255, 1_000)),
        ("windows_ms", (50, 250, 70_000)),
        ("normalizer_window_s", 0),
        ("normalizer_sample_ms", 30),
        ("normalizer_sample_ms", 7_000),
        ("normalizer_min_samples", 1),
        ("normalizer_min_samples", 31),
        ("normalizer_clip", float("nan")),
        ("max_silence_ms", 10),
    ],
)
def test_setting_out_of_range_is_refused(key, value):
    with pytest.raises(ConfigError, match="allowed"):
        replace(PARAMETERS, **{key: value})


def test_windows_from_a_list_become_a_tuple():
    assert replace(PARAMETERS, windows_ms=[50, 250, 1_000]) == PARAMETERS
