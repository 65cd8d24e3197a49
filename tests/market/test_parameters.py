"""Settings of the clock that make no sense are refused when they are made."""

from dataclasses import replace

import pytest

from market.errors import ConfigError
from tests.builders_market import CLOCK


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window_s", 0.0),
        ("halflife_s", -1.0),
        ("base_feed_latency_ms", -0.1),
        ("step_threshold_ms", float("nan")),
        ("step_minimum_s", 60.0),
        ("step_patience_s", 0.0),
        ("slope_window_s", 59.0),
    ],
)
def test_a_clock_setting_out_of_range_is_refused_by_name(key, value):
    with pytest.raises(ConfigError, match=f"{key}={value}"):
        replace(CLOCK, **{key: value})
