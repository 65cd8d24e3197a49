"""Funding by hand: who pays, when, at which rate and mark, and that it is a cost of the round trip like any other."""

import numpy as np
import polars as pl
import pytest

from labeling.replay import OK
from labeling.targets import NO_CLASS, UP, classes, label_rows, net_returns, priced
from market.events import FUNDING, MARK, NO_SIDE, SELL, TRADE
from tests.builders_labels import INVERSE, LINEAR, MS, SPOT, START, event, label_parameters, snapshot, tape

BIDS, ASKS = {99_998: 100, 99_996: 500}, {100_002: 100, 100_004: 500}
OPENING = snapshot(0.0, BIDS, ASKS)
END = event(5_000.0, TRADE, SELL, 99_998, 1)
PAID_AT_MS = 500


def funding(ms, rate, due_ms=PAID_AT_MS):
    return event(ms, FUNDING, NO_SIDE, round(rate * 1e12), START + due_ms * MS)


def mark(ms, ticks):
    return event(ms, MARK, NO_SIDE, round(ticks * 0.5 * 1e8))


def labelled(*rows, instrument=LINEAR, at_ms=(100,), notional=10_000.0):
    row_ts = START + np.array(at_ms) * MS
    return label_rows(
        tape(*OPENING, *rows, END), row_ts, label_parameters(order_notional_usd=notional), instrument, None
    )


SAID = (mark(50.0, 101_000), funding(60.0, 1e-4), funding(400.0, 3e-4), mark(450.0, 102_000))


def test_the_last_rate_before_the_payment_is_paid_on_the_mark_in_force():
    assert labelled(*SAID)["funding_1000"][0] == pytest.approx(3e-4 * 102_000 / 100_000, rel=1e-12)
    assert labelled(*SAID, instrument=INVERSE)["funding_1000"][0] == pytest.approx(3e-4 * 100_000 / 102_000, rel=1e-12)


def test_a_round_trip_that_ends_before_or_starts_after_the_payment_pays_none():
    assert labelled(*SAID)["funding_250"][0] == 0.0
    assert labelled(*SAID, at_ms=(490,))["funding_1000"][0] == 0.0  # it enters at the very instant of the payment
    assert labelled(*SAID, at_ms=(489,))["funding_1000"][0] > 0.0
    assert labelled(*SAID, at_ms=(240,))["funding_250"][0] > 0.0  # it leaves at that instant


def test_what_is_said_after_the_payment_does_not_count():
    late = (funding(501.0, 9e-3), mark(501.0, 200_000))
    assert labelled(*SAID, *late)["funding_1000"].equals(labelled(*SAID)["funding_1000"])


def test_a_payment_that_the_tape_does_not_reach_is_none():
    assert labelled(mark(50.0, 101_000), funding(60.0, 1e-4, due_ms=6_000))["funding_1000"][0] == 0.0


def test_without_a_mark_a_payment_is_not_known_and_neither_is_its_class():
    table = labelled(funding(60.0, 1e-4))
    assert np.isnan(table["funding_1000"][0])
    assert classes(table, 1_000, 0.0, 0.0, "linear")[0] == NO_CLASS
    said = priced(table, 1_000, 0.0, label_parameters(), "linear")
    assert said.select("net_long", "class", "status").row(0) == (None, None, "no mark to pay funding on")
    assert (table["funding_250"][0], table["status_250"][0]) == (0.0, OK)


def test_what_arrives_after_the_payment_does_not_count_though_it_was_said_before():
    late = (event(480.0, FUNDING, NO_SIDE, 9 * 10**9, START + PAID_AT_MS * MS, 21.0),)
    assert labelled(*SAID, *late)["funding_1000"].equals(labelled(*SAID)["funding_1000"])


def test_spot_pays_none():
    assert labelled(*SAID, instrument=SPOT)["funding_1000"][0] == 0.0


@pytest.mark.parametrize("instrument", [LINEAR, INVERSE])
def test_longs_pay_shorts_per_value_of_their_own_entry(instrument):
    notional = 10_000.0 if instrument is LINEAR else 20_000.0
    paid, free = (labelled(*said, instrument=instrument, notional=notional) for said in (SAID, ()))
    with_it, without = (net_returns(table, 1_000, 0.0004, instrument.contract) for table in (paid, free))
    sides = {"long": paid["buy_at"][0], "short": paid["sell_at"][0]}
    for sign, entry, got, bare in zip((-1, 1), sides.values(), with_it, without, strict=True):
        exchanged = 3e-4 * (entry / 102_000 if instrument.inverse else 102_000 / entry)
        assert got[0] - bare[0] == pytest.approx(sign * exchanged, abs=1e-15)


def test_funding_alone_can_make_a_side_worth_taking():
    rich = (mark(50.0, 100_000), funding(60.0, -2e-3))  # shorts pay longs 20 bp
    table = labelled(*rich)
    assert classes(table, 1_000, 10.0, 0.0, "linear")[0] == UP
    assert classes(table.with_columns(funding_1000=pl.lit(0.0)), 1_000, 10.0, 0.0, "linear")[0] == 0
