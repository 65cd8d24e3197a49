"""What a book offers an order of the labels' size, and the class of the round trip between two such offers."""

import math
from typing import Final, NamedTuple

from numba import njit

from labeling.parameters import Exit
from labeling.trips import NO_CLASS, class_of
from labeling.walks import Sizing, lots_of, side_price, touch
from market.book import ASK, BID, Book
from market.borrowing import UNCHECKED
from market.costs import leg_fee


class Quote(NamedTuple):
    """Prices in ticks; NaN where the book may not be traded on, or holds too little."""

    mid: float
    sell_at: float  # average price of walking the bids
    buy_at: float  # and the asks


NO_QUOTE: Final = Quote(math.nan, math.nan, math.nan)


def quote(book: Book, sizing: Sizing) -> Quote:
    """What the book in force offers an order of that size, as a label reads it at its entry."""
    return Quote(*_offers(book, sizing))


@njit(**UNCHECKED)
def _offers(book, sizing):
    mid, _ = touch(book)
    lots = lots_of(mid, sizing)
    if lots == 0:
        return mid, mid, mid
    sell_at, _ = side_price(book, BID, lots, sizing.inverse)
    buy_at, _ = side_price(book, ASK, lots, sizing.inverse)
    return mid, sell_at, buy_at


class RoundTrip(NamedTuple):
    """What a class is of: how the position is left, and what the better side has to return above it."""

    exit: Exit
    budget_bp: float  # fees of both legs
    margin_bp: float


def class_between(entry: Quote, leaving: Quote, trip: RoundTrip, inverse: bool) -> int:
    """UP, DOWN or NO_TRADE of the round trip from one quote to another, funding left out; NO_CLASS where it is unknown.

    A quote may lack a price, and an exit at the traded VWAP stands in no book.
    """
    if trip.exit == "vwap":
        return NO_CLASS
    sell_at, buy_at = (leaving.mid, leaving.mid) if trip.exit == "mid" else leaving[1:]
    ratios = sell_at / entry.buy_at, buy_at / entry.sell_at
    return int(class_of(*ratios, leg_fee(trip.budget_bp), trip.margin_bp * 1e-4, inverse))
