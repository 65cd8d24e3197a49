"""What must hold for every tape, row, size and fee."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labeling.replay import DEPTH_SHORT, OK
from labeling.targets import classes, label_rows, net_returns
from market.events import BUY, LEVEL, SELL, TRADE, empty_events
from market.instrument import Instrument
from tests.builders_labels import (
    INSTRUMENTS,
    MS,
    START,
    booked_round_trip,
    event,
    label_parameters,
    random_tape,
    snapshot,
    tape,
    venue_book,
    walked_fills,
    with_funding,
)

seeds = st.integers(0, 2**32 - 1)
contracts = st.sampled_from(INSTRUMENTS)
notionals = st.floats(50.0, 20_000.0)
fees = st.floats(0.0, 0.002)
exits = st.sampled_from(["walk", "mid", "vwap"])
ROWS = START + np.arange(20, 900, 20) * MS


def table_of(events, instrument, **changed):
    return label_rows(events, ROWS, label_parameters(**changed), instrument, None)


@given(seeds, contracts, notionals, fees, st.integers(0, ROWS.size - 1), exits, st.integers(-5, 270))
def test_a_label_equals_what_the_ledger_books(seed, instrument, notional, fee, row, leave, due_after_ms):
    due_ms = (ROWS[row] + 10 * MS - START) // MS + due_after_ms
    events = with_funding(random_tape(seed), seed, (due_ms, due_ms + 100))
    table = table_of(events, instrument, order_notional_usd=notional, exit=leave)
    assume(table["status_250"][row] == OK)
    te, lots = table["te"][row], table["lots"][row]
    for net, side in zip(net_returns(table, 250, fee, instrument.contract), (BUY, SELL), strict=True):
        paid = booked_round_trip(events, instrument, side, lots, te, te + 250 * MS, fee, leave=leave)
        assert net[row] == pytest.approx(paid, abs=1e-12)


@pytest.mark.parametrize("after_ms", [0, 1, 250, 251])
@pytest.mark.parametrize("instrument", INSTRUMENTS[:2])
def test_label_and_ledger_pay_funding_at_the_same_instants(instrument, after_ms):
    te = int(ROWS[20]) + 10 * MS
    events = with_funding(random_tape(1), 1, ((te - START) // MS + after_ms,))
    table = table_of(events, instrument)
    net = net_returns(table, 250, 0.0, instrument.contract)[0][20]
    assert (table["funding_250"][20] != 0) == (after_ms in (1, 250))
    paid = booked_round_trip(events, instrument, BUY, table["lots"][20], te, te + 250 * MS, 0.0)
    assert net == pytest.approx(paid, abs=1e-12)


@given(seeds, contracts, notionals)
def test_a_label_says_depth_short_exactly_when_the_book_holds_less(seed, instrument, notional):
    events = random_tape(seed, deep=20)
    table = table_of(events, instrument, order_notional_usd=notional)
    for te, lots, status in (
        table.filter(table["status_250"].is_in([OK, DEPTH_SHORT]))
        .gather_every(7)[["te", "lots", "status_250"]]
        .iter_rows()
    ):
        legs = [(venue_book(events, ts), side) for ts in (te, te + 250 * MS) for side in (BUY, SELL)]
        whole = all(sum(fill[2] for fill in walked_fills(book, side, lots)) == lots for book, side in legs)
        assert (status == OK) == whole


@given(seeds, contracts, notionals, fees, exits)
def test_both_sides_never_profit_when_fees_are_paid(seed, instrument, notional, fee, leave):
    table = table_of(random_tape(seed), instrument, order_notional_usd=notional, exit=leave)
    long, short = net_returns(table, 250, fee, instrument.contract)
    assert not np.any((long > 0) & (short > 0))


@given(seeds, contracts, notionals, fees, fees, exits)
def test_a_higher_fee_never_helps(seed, instrument, notional, fee, more, leave):
    table = table_of(random_tape(seed), instrument, order_notional_usd=notional, exit=leave)
    cheap = net_returns(table, 250, fee, instrument.contract)
    dear = net_returns(table, 250, fee + more, instrument.contract)
    assert not any(np.any(high > low) for low, high in zip(cheap, dear, strict=True))


@given(seeds, contracts, notionals, st.floats(1.0, 10.0), exits)
def test_more_quantity_never_helps(seed, instrument, notional, factor, leave):
    events = random_tape(seed)
    small = table_of(events, instrument, order_notional_usd=notional, exit=leave)
    large = table_of(events, instrument, order_notional_usd=notional * factor, exit=leave)
    assert (large["lots"] >= small["lots"]).all()
    for little, much in zip(
        *(net_returns(table, 250, 0.0, instrument.contract) for table in (small, large)), strict=True
    ):
        assert not np.any(much > little + 1e-15)
    shrunk = (large["status_250"] == OK) & (small["status_250"] == DEPTH_SHORT)
    assert not shrunk.any()


@given(seeds, contracts, notionals, exits)
def test_a_higher_budget_never_makes_a_row_tradeable(seed, instrument, notional, leave):
    table = table_of(random_tape(seed), instrument, order_notional_usd=notional, exit=leave)
    cheap, dear = (classes(table, 250, budget, 0.0, instrument.contract) for budget in (0.0, 1.0))
    assert np.array_equal(dear[dear != 0], cheap[dear != 0])


# A price p of a linear contract is the price MIRROR / p of an inverse one, whole for each p used here.
MIRROR = 240_240  # the least common multiple of 10 to 16
UNIT = Instrument("v-linear", "v", "linear", "linear", 1.0, 1.0, 1.0, "A", "B")
UNIT_INVERSE = replace(UNIT, name="v-inverse", contract="inverse")


def small_tape(seed):
    """A book on prices 10 to 16 that is redrawn, with a trade, every few milliseconds."""
    rng = np.random.default_rng(seed)
    rows = snapshot(0.0, {10: 50, 11: 50, 12: 50}, {14: 50, 15: 50, 16: 50})
    for ms in np.cumsum(rng.exponential(20.0, 80)).round(3).tolist():
        touch = int(rng.integers(12, 15))
        for price in range(10, 17):
            side = BUY if price < touch else SELL
            rows.append(event(ms, LEVEL, -side, price, 0))
            rows.append(event(ms, LEVEL, side, price, int(rng.integers(1, 60)) if price != touch else 0))
        rows.append(event(ms, TRADE, int(rng.choice([BUY, SELL])), touch, int(rng.integers(1, 60))))
    return tape(*rows)


def mirrored(events):
    """The same market quoted the other way round: bids are asks, prices are inverted."""
    other = events.copy()
    other["price"] = MIRROR // events["price"]
    other["side"] = -events["side"]
    return other


@given(seeds, st.integers(100, 3_000), st.sampled_from(["walk", "vwap"]), fees, st.integers(0, ROWS.size - 1))
def test_a_market_in_the_mirror_pays_the_other_side(seed, notional, leave, fee, row):
    events = small_tape(seed)
    parameters = label_parameters(order_notional_usd=float(notional), exit=leave)
    linear = label_rows(events, ROWS[row : row + 1], parameters, UNIT, None)
    assume(linear["lots"][0] > 0)
    parameters = replace(parameters, order_notional_usd=float(linear["lots"][0]))
    inverse = label_rows(mirrored(events), ROWS[row : row + 1], parameters, UNIT_INVERSE, None)
    assert inverse["lots"][0] == linear["lots"][0]
    assert inverse["status_250"][0] == linear["status_250"][0]
    long, short = net_returns(linear, 250, fee, "linear")
    mirror_long, mirror_short = net_returns(inverse, 250, fee, "inverse")
    assert long == pytest.approx(mirror_short, abs=1e-12, nan_ok=True)
    assert short == pytest.approx(mirror_long, abs=1e-12, nan_ok=True)


def test_the_mirror_has_rows_to_compare():
    table = label_rows(small_tape(1), ROWS, label_parameters(order_notional_usd=500.0), UNIT, None)
    assert (table["status_250"] == OK).mean() > 0.2


@given(seeds, contracts)
def test_labels_do_not_depend_on_which_rows_are_asked_together(seed, instrument):
    events = random_tape(seed)
    whole = table_of(events, instrument)
    part = label_rows(events, ROWS[5:25], label_parameters(), instrument, None)
    assert part.equals(whole[5:25])


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_rows_of_a_long_day_with_a_silence_are_labelled_as_a_few_alone(instrument):
    later = random_tape(2)
    later["exchange_ts"] += 20_000 * MS
    later["ingest_ts"] += 20_000 * MS
    events = np.concatenate([random_tape(1), later])
    rows = START + np.arange(20, 20_900, 10) * MS
    latency_ns = np.random.default_rng(3).integers(0, 900 * MS, rows.size)
    parameters = label_parameters(order_notional_usd=500.0)
    whole = label_rows(events, rows, parameters, instrument, None, latency_ns=latency_ns)
    for first in range(0, rows.size, 50):
        few = slice(first, first + 50)
        alone = label_rows(events, rows[few], parameters, instrument, None, latency_ns=latency_ns[few])
        assert alone.equals(whole[few])
    assert (whole["status_1000"] == OK).mean() > 0.9


@given(seeds, contracts)
def test_a_longer_tape_only_adds_labels(seed, instrument):
    events = random_tape(seed)
    cut = int(events["ingest_ts"][events.size // 2])
    longest_delay = int(events["delay_ns"].max())
    short = table_of(events[events["ingest_ts"] <= cut], instrument)
    whole = table_of(events, instrument)
    settled = short["te"] + 250 * MS <= cut - longest_delay
    names = [name for name in whole.columns if name.endswith("_250")]
    assert short.filter(settled).select(names).equals(whole.filter(settled).select(names))


def test_an_empty_tape_labels_nothing():
    table = table_of(tape(*empty_events(0).tolist()), INSTRUMENTS[0])
    assert table["long_ratio_250"].is_nan().all()
