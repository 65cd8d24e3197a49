"""The grid of prices and quantities, and what a position is worth."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import ConfigError, OffGrid
from market.instrument import whole_steps
from tests.builders_market import COINM_BTC, USDM_BTC

steps = st.sampled_from([1.0, 0.5, 0.1, 0.01, 0.001, 0.00001, 1e-8])


@given(st.integers(0, 2**31), steps)
def test_a_multiple_of_the_step_reads_back_exactly(count, step):
    written = float(f"{count * step:.8f}")
    assert whole_steps(written, step, "price") == count


@given(st.integers(0, 10**6), st.floats(0.01, 0.99), steps)
def test_a_value_between_two_steps_is_off_the_grid(count, between, step):
    value = (count + between) * step
    with pytest.raises(OffGrid):
        whole_steps(value, step, "price")


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), float("-inf")])
def test_a_value_below_zero_or_not_finite_is_off_the_grid(value):
    with pytest.raises(OffGrid, match="quantity"):
        whole_steps(value, 0.1, "quantity")


def test_a_linear_notional_is_in_quote_currency():
    assert USDM_BTC.settlement == "USDT"
    assert USDM_BTC.notional(600_000, 1_000) == pytest.approx(60_000)


def test_an_inverse_notional_is_in_the_base_coin():
    assert (COINM_BTC.inverse, COINM_BTC.settlement) == (True, "BTC")
    assert COINM_BTC.notional(500_000, 5) == pytest.approx(0.01)


def test_only_a_name_that_says_so_is_synthetic():
    assert not COINM_BTC.synthetic
    assert replace(COINM_BTC, name="synthetic-btcusd_perp").synthetic


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "BTC USD"), ("contract", "swap"), ("tick_size", 0.0), ("lot_size", -1.0), ("multiplier", float("nan"))],
)
def test_an_impossible_instrument_is_refused(key, value):
    with pytest.raises(ConfigError):
        replace(COINM_BTC, **{key: value})
