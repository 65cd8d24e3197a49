"""A runner's plan: made from a profile, and refused where one runner cannot hold to it."""

from dataclasses import replace

import pytest

from config.loading import load_settings
from config.settings import config_sha
from live.plan import plan_of
from market.errors import ConfigError

START = 1_723_161_600 * 1_000_000_000  # 2024-08-09
LEADER, FOLLOWER = "binance-usdm-btcusdt", "binance-coinm-btcusd_perp"


def test_the_plan_of_a_follower_is_refused_in_one_line_and_that_of_its_leader_is_not() -> None:
    settings = load_settings("dev")
    data = replace(settings.data, symbols=(LEADER, FOLLOWER), leaders={FOLLOWER: LEADER})
    led = replace(settings, data=data)
    with pytest.raises(ConfigError, match=f"{FOLLOWER} follows {LEADER}.*data.leaders") as refused:
        plan_of(led, FOLLOWER, START)
    assert "\n" not in str(refused.value)
    assert plan_of(led, LEADER, START) == replace(plan_of(settings, LEADER, START), config_sha=config_sha(led))
