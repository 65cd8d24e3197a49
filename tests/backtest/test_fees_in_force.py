"""A venue's fees are two numbers, or a tier that says them by venue and day."""

from dataclasses import replace

import pytest

from market.errors import ConfigError, DataError
from tests.builders_venue import VENUE

DAY_NS = 86_400 * 1_000_000_000
IN_2024 = 1_723_075_200 * 1_000_000_000  # 2024-08-08
IN_2018 = 1_514_764_800 * 1_000_000_000
VIP0 = replace(VENUE, fee_tier="vip0", maker_fee=None, taker_fee=None)


def test_a_tier_charges_what_its_venue_did_on_the_day() -> None:
    charged = {venue: VIP0.charged(venue, IN_2024, IN_2024 + DAY_NS).fees for venue in ("binance-usdm", "binance-spot")}
    assert charged["binance-usdm"] == pytest.approx((0.0002, 0.0005))
    assert charged["binance-spot"] == pytest.approx((0.001, 0.001))


def test_numbers_hold_at_any_venue_and_time() -> None:
    fixed = replace(VENUE, maker_fee=-0.0001, taker_fee=0.0003)
    assert fixed.charged("nowhere", IN_2018, IN_2024) == fixed


def test_a_day_before_the_first_entry_is_one_clear_error() -> None:
    with pytest.raises(DataError, match="no entry of binance-usdm vip0 for 2018-01-01; it covers 2021") as refused:
        VIP0.charged("binance-usdm", IN_2018, IN_2018)
    assert "\n" not in str(refused.value)


def test_a_tier_that_nobody_looked_up_is_no_fee() -> None:
    with pytest.raises(ConfigError, match="fee_tier=vip0 charges depends on venue and day"):
        _ = VIP0.fees
