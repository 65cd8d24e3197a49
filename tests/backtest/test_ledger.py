"""Fills become money: hand-worked round trips, then properties against plain fractions."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.ledger import Ledger
from market.errors import BacktestError
from market.instrument import Instrument

LINEAR = Instrument("v-usdt", "v", "btcusdt", "linear", 0.5, 0.001, 1.0, "BTC", "USDT")
INVERSE = Instrument("v-usd", "v", "btcusd", "inverse", 0.5, 1.0, 100.0, "BTC", "USD")
SPOT = Instrument("v-spot", "v", "btcusdt", "spot", 0.5, 0.001, 1.0, "BTC", "USDT")

fills = st.lists(
    st.tuples(st.sampled_from([1, -1]), st.integers(90_000, 110_000), st.integers(1, 500)), min_size=1, max_size=30
)
fees = st.floats(-0.001, 0.001)
contracts = st.sampled_from([LINEAR, INVERSE, SPOT])


def booked(instrument, trades, fee):
    ledger = Ledger(instrument)
    for side, price, lots in trades:
        ledger.book_fill(side, price, lots, fee)
    return ledger


def worth(instrument, price_ticks, lots):
    """Value of lots in the settlement currency, exact; rises with the price."""
    price = Fraction(price_ticks) * Fraction(str(instrument.tick_size))
    size = lots * Fraction(str(instrument.lot_size)) * Fraction(str(instrument.multiplier))
    return -size / price if instrument.inverse else size * price


def test_a_linear_round_trip_earns_the_difference_less_both_fees():
    ledger = booked(LINEAR, [(1, 100_000, 2_000), (-1, 101_000, 2_000)], 0.0004)
    assert ledger.position == 0
    assert ledger.realised == pytest.approx(1_000.0)  # 2 BTC, 500 USDT up
    assert ledger.fees == pytest.approx(0.0004 * (100_000 + 101_000))
    assert ledger.equity(0.0) == pytest.approx(1_000.0 - ledger.fees)


def test_an_inverse_round_trip_earns_coins():
    ledger = booked(INVERSE, [(1, 100_000, 500), (-1, 125_000, 500)], 0.0)
    assert ledger.equity(0.0) == pytest.approx(50_000 * (1 / 50_000 - 1 / 62_500))
    assert ledger.volume == pytest.approx(1.0 + 0.8)


def test_an_inverse_short_loses_coins_when_the_price_rises():
    ledger = booked(INVERSE, [(-1, 100_000, 500)], 0.0)
    assert ledger.equity(125_000) == pytest.approx(-0.2)


def test_spot_buys_leave_cash_and_return_with_the_mark():
    ledger = booked(SPOT, [(1, 100_000, 1_000)], 0.001)
    assert ledger.cash == pytest.approx(-50_000 - 50)
    assert ledger.equity(100_000) == pytest.approx(-50.0)


def test_a_rebate_is_income():
    assert booked(LINEAR, [(1, 100_000, 1_000)], -0.0001).equity(100_000) == pytest.approx(5.0)


def test_turning_a_position_over_realises_the_old_and_prices_the_new():
    ledger = booked(LINEAR, [(1, 100_000, 1_000), (-1, 102_000, 3_000)], 0.0)
    assert (ledger.position, ledger.realised) == (-2_000, pytest.approx(1_000.0))
    assert ledger.equity(102_000) == pytest.approx(ledger.realised)  # what is open was entered at that price


def test_a_fresh_ledger_is_flat_and_zero():
    ledger = Ledger(INVERSE)
    assert (ledger.position, ledger.fills, ledger.cash, ledger.realised, ledger.equity(1.0)) == (0, 0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("side", "price", "lots"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, -3)])
def test_an_impossible_fill_is_refused(side, price, lots):
    with pytest.raises(BacktestError, match="fill side="):
        Ledger(LINEAR).book_fill(side, price, lots, 0.0)


@given(contracts, fills, fees, st.integers(90_000, 110_000))
def test_equity_is_the_exact_sum_of_flows(instrument, trades, fee, mark):
    ledger = booked(instrument, trades, fee)
    flows = -sum(side * worth(instrument, price, lots) for side, price, lots in trades)
    turnover = sum(abs(worth(instrument, price, lots)) for _, price, lots in trades)
    position = sum(side * lots for side, _, lots in trades)
    exact = flows + worth(instrument, mark, position) - Fraction(fee) * turnover
    assert ledger.position == position
    assert ledger.equity(mark) == pytest.approx(float(exact), abs=1e-12 * float(turnover))
    assert ledger.volume == pytest.approx(float(turnover), rel=1e-12)


def mean_entry(instrument, trades):
    """Mean entry of what is left open: of the price, of 1 / price for inverse contracts; reductions leave it alone."""
    position, mean = 0, 0.0
    for side, price, lots in trades:
        value, moved = 1 / price if instrument.inverse else price, position + side * lots
        if position * side >= 0:
            mean = (mean * abs(position) + value * lots) / abs(moved)
        elif moved * position < 0:
            mean = value
        position = moved
    return mean


@given(contracts, fills, st.integers(90_000, 110_000))
def test_equity_is_realised_plus_open_profit(instrument, trades, mark):
    ledger = booked(instrument, trades, 0.0)
    open_profit = 0.0
    if ledger.position:
        size, value = ledger.position * ledger.unit, mean_entry(instrument, trades)
        open_profit = size * (value - 1 / mark if instrument.inverse else mark - value)
    assert ledger.equity(mark) == pytest.approx(ledger.realised + open_profit, abs=1e-10 * ledger.volume)


@given(contracts, fills)
def test_a_flat_position_has_no_open_profit_left(instrument, trades):
    ledger = booked(instrument, trades, 0.0)
    if ledger.position:
        ledger.book_fill(-1 if ledger.position > 0 else 1, 100_000, abs(ledger.position), 0.0)
    assert ledger.money[1] == 0.0
    assert ledger.equity(1.0) == ledger.equity(1e9) == ledger.realised == ledger.cash


@given(contracts, fills, st.floats(0, 0.001), st.floats(0, 0.001))
def test_a_higher_fee_never_helps(instrument, trades, fee, more):
    cheap, dear = booked(instrument, trades, fee), booked(instrument, trades, fee + more)
    assert dear.equity(100_000) <= cheap.equity(100_000)


@given(fills, st.integers(1, 2_000))
def test_fills_at_one_price_add_up_however_they_are_cut(trades, lots):
    whole = booked(LINEAR, [*trades, (1, 100_000, lots + 1)], 0.0)
    parts = booked(LINEAR, [*trades, (1, 100_000, lots), (1, 100_000, 1)], 0.0)
    assert whole.cash == parts.cash
    assert whole.realised == pytest.approx(parts.realised, abs=1e-9)
