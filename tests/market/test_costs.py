"""Fees and the walk of the book."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import ASK, BID, new_book, set_level, top_levels
from market.costs import leg_fee, walk
from market.errors import ConfigError
from market.fee_schedules import FeeTier


def book_of(bids, asks):
    book = new_book()
    for row, levels in ((BID, bids), (ASK, asks)):
        for price, qty in levels:
            set_level(book, row, price, qty)
    return book


BOOK = book_of([(99, 5), (98, 10)], [(101, 5), (103, 10)])


def test_walk_within_the_touch_pays_the_touch():
    assert walk(BOOK, ASK, 5, False) == (101.0, 5)
    assert walk(BOOK, BID, 3, False) == (99.0, 3)


def test_walk_averages_levels_by_lots():
    assert walk(BOOK, ASK, 10, False) == (102.0, 10)
    assert walk(BOOK, BID, 15, False) == pytest.approx(((99 * 5 + 98 * 10) / 15, 15))


def test_inverse_walk_is_the_harmonic_average():
    average, filled = walk(BOOK, ASK, 10, True)
    assert filled == 10
    assert average == pytest.approx(10 / (5 / 101 + 5 / 103), rel=1e-15)


def test_walk_beyond_the_depth_says_what_the_book_held():
    assert walk(BOOK, ASK, 40, False) == (pytest.approx((101 * 5 + 103 * 10) / 15), 15)


def test_walk_of_an_empty_side_has_no_price():
    average, filled = walk(new_book(), BID, 1, False)
    assert np.isnan(average)
    assert filled == 0


def test_a_leg_pays_half_the_budget_of_the_round_trip():
    assert leg_fee(3.4) == pytest.approx(1.7e-4, rel=1e-15)


def test_fees_outside_one_percent_are_refused():
    with pytest.raises(ConfigError, match="taker="):
        FeeTier(maker=-0.0001, taker=0.05)


levels = st.dictionaries(st.integers(1_000, 1_050), st.integers(1, 50), min_size=1, max_size=10)


@given(levels, st.integers(1, 400), st.booleans())
def test_walk_agrees_with_plain_python(asks, lots, inverse):
    average, filled = walk(book_of([], asks.items()), ASK, lots, inverse)
    left, taken = lots, []
    for price in sorted(asks):
        taken.append((price, min(left, asks[price])))
        left -= taken[-1][1]
    assert filled == lots - left
    value = sum(qty / price if inverse else qty * price for price, qty in taken)
    assert average == pytest.approx(filled / value if inverse else value / filled, rel=1e-14)


@given(levels, st.integers(1, 200), st.integers(1, 200), st.booleans())
def test_more_quantity_never_gets_a_better_price(asks, lots, more, inverse):
    book = book_of([], asks.items())
    little, much = walk(book, ASK, lots, inverse)[0], walk(book, ASK, lots + more, inverse)[0]
    assert much >= little * (1 - 1e-15)


@given(levels, st.integers(1, 400))
def test_walk_reads_the_book_and_leaves_it_alone(asks, lots):
    book = book_of([], asks.items())
    before = [array.copy() for array in book]
    walk(book, ASK, lots, False)
    assert all(np.array_equal(old, new) for old, new in zip(before, book, strict=True))
    prices, quantities = np.zeros(16, np.int64), np.zeros(16, np.int64)
    assert top_levels(book, ASK, prices, quantities) == len(asks)
