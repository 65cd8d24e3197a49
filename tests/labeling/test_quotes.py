"""Quotes and the classes between them: hand-worked, and against the labels of the same instants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.parameters import Exit
from labeling.quotes import NO_QUOTE, Quote, RoundTrip, class_between, quote
from labeling.targets import DOWN, NO_CLASS, NO_TRADE, UP, classes, label_rows
from labeling.walks import Sizing
from market.book import apply_events, new_book
from tests.builders_labels import (
    INSTRUMENTS,
    INVERSE,
    LINEAR,
    grid_instants,
    label_parameters,
    random_tape,
    snapshot,
    tape,
    venue_book,
)

WALK = RoundTrip("walk", 0.0, 0.0)


def sizing(notional: float, lot_value: float, inverse: bool = False) -> Sizing:
    """Of an order that leaves by walking the book."""
    return Sizing(notional, lot_value, inverse, True)


def test_a_quote_is_the_average_of_what_the_order_takes() -> None:
    book = new_book()
    apply_events(book, tape(*snapshot(0.0, {99: 4, 98: 10}, {101: 5, 103: 5})))
    assert quote(book, sizing(600.0, 1.0)) == (100.0, (4 * 99 + 2 * 98) / 6, (5 * 101 + 103) / 6)
    assert quote(book, sizing(6.0, 1.0, inverse=True)) == (100.0, 6 / (4 / 99 + 2 / 98), 6 / (5 / 101 + 1 / 103))


def test_a_side_that_holds_too_little_has_no_price_and_a_closed_book_has_none_at_all() -> None:
    book = new_book()
    assert np.isnan(quote(book, sizing(600.0, 1.0))).all()
    apply_events(book, tape(*snapshot(0.0, {99: 4}, {101: 50})))
    mid, sell_at, buy_at = quote(book, sizing(600.0, 1.0))
    assert (mid, buy_at) == (100.0, 101.0)
    assert np.isnan(sell_at)


def test_the_class_is_of_the_side_that_pays_above_fees_and_margin() -> None:
    entry = Quote(100.0, 99.0, 101.0)
    up, down, nowhere = Quote(104.0, 103.0, 105.0), Quote(96.0, 95.0, 97.0), Quote(101.0, 100.0, 102.0)
    assert [class_between(entry, leaving, WALK, False) for leaving in (up, down, nowhere)] == [UP, DOWN, NO_TRADE]
    assert class_between(entry, up, RoundTrip("walk", 150.0, 0.0), False) == UP  # 103 / 101 less 1.5 %
    assert class_between(entry, up, RoundTrip("walk", 150.0, 60.0), False) == NO_TRADE
    assert class_between(entry, nowhere, RoundTrip("mid", 0.0, 0.0), False) == NO_TRADE
    assert class_between(entry, Quote(101.5, np.nan, np.nan), RoundTrip("mid", 0.0, 0.0), False) == UP


@pytest.mark.parametrize("exit", ["walk", "mid"])
def test_a_missing_price_leaves_the_class_unknown(exit: Exit) -> None:
    entry, trip = Quote(100.0, 99.0, 101.0), RoundTrip(exit, 0.0, 0.0)
    for start, end in ((entry, NO_QUOTE), (NO_QUOTE, entry), (Quote(100.0, np.nan, 101.0), entry)):
        assert class_between(start, end, trip, False) == NO_CLASS


def test_an_exit_at_the_traded_vwap_stands_in_no_book() -> None:
    assert (
        class_between(Quote(100.0, 99.0, 101.0), Quote(104.0, 103.0, 105.0), RoundTrip("vwap", 0, 0), False) == NO_CLASS
    )


@given(seed=st.integers(0, 10_000), which=st.integers(0, 2), exit=st.sampled_from(["walk", "mid"]))
@settings(max_examples=8)
def test_quotes_at_entry_and_exit_make_the_labels_class(seed: int, which: int, exit: Exit) -> None:
    events, instrument = random_tape(seed), INSTRUMENTS[which]
    parameters, rows = label_parameters(exit=exit, margin_bp=0.1), grid_instants(events, 40)
    table = label_rows(events, rows, parameters, instrument, None)
    each = instrument.lot_value * (1.0 if instrument.inverse else instrument.tick_size)
    size = Sizing(parameters.order_notional_usd, each, instrument.inverse, exit == "walk")
    te = table["te"].to_numpy()
    entries = [quote(venue_book(events, ts), size) for ts in te]
    known = table["status_250"].to_numpy() == 0
    written = table.select("entry_mid", "sell_at", "buy_at").to_numpy()
    assert np.array_equal(np.array(entries)[known], written[known])
    leaving = [quote(venue_book(events, ts + 250_000_000), size) for ts in te]
    for budget in (0.0, 2.0):
        trip = RoundTrip(exit, budget, parameters.margin_bp)
        found = [class_between(*pair, trip, instrument.inverse) for pair in zip(entries, leaving, strict=True)]
        expected = classes(table, 250, budget, parameters.margin_bp, instrument.contract)
        assert np.array_equal(np.array(found)[known], expected[known])
        assert known.sum() > 10


def test_lots_follow_the_mid_of_the_quote() -> None:
    for instrument, lots in ((LINEAR, 20), (INVERSE, 10)):
        book, each = new_book(), instrument.lot_value * (1.0 if instrument.inverse else instrument.tick_size)
        apply_events(book, tape(*snapshot(0.0, {99_999: lots - 1, 99_998: 5}, {100_001: lots})))
        found = quote(book, Sizing(1_000.0, each, instrument.inverse, True))
        assert found.buy_at == 100_001.0
        assert 99_998.0 < found.sell_at < 99_999.0
