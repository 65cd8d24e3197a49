"""Settings that cannot be are refused by name."""

from dataclasses import replace

import pytest

from features.parameters import TradingSession
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
        ("max_funding_age_s", -1),
        ("liquidation_reach_bp", 0.0),
        ("liquidation_halflife_s", 0.0),
        ("burst_deviations", 9.0),
        ("session_flag_minutes", 0),
    ],
)
def test_setting_out_of_range_is_refused(key, value):
    with pytest.raises(ConfigError, match="allowed"):
        replace(PARAMETERS, **{key: value})


def test_windows_from_a_list_become_a_tuple():
    assert replace(PARAMETERS, windows_ms=[50, 250, 1_000]) == PARAMETERS


@pytest.mark.parametrize(("opens", "closes"), [("9:30", "16:00"), ("09:30", "24:00"), ("16:00", "09:30")])
def test_hours_that_cannot_be_are_refused(opens, closes):
    with pytest.raises(ConfigError, match="allowed"):
        TradingSession("UTC", opens, closes)
