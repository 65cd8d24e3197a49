"""What an order pays in the book as it stands, and the newest of these walks, kept until a level changes."""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.book import ASK, BEST_ASK, BEST_BID, BID, is_open, quantity, row_of
from market.borrowing import UNCHECKED
from market.costs import walk_to
from market.events import GAP, LEVEL, TRADE

WALKS: Final = 4  # walks of one book that are kept, a power of two; rows of one minute differ by a lot or two
FAR: Final = 2**62


class Sizing(NamedTuple):
    """How many lots a row trades: ``notional`` at the mid of the decision, in whole lots, at least one."""

    notional: float  # quote currency
    lot_value: float  # quote currency of a lot; linear, spot: of a lot and a tick of price
    inverse: bool
    walks_out: bool  # the exit walks the book; else it is at the mid


class Walks(NamedTuple):
    """The newest walks of the book as it stands; one is good until a level changes that it, or another, took."""

    lots: NDArray[np.int64]  # (WALKS,) 0: none kept
    prices: NDArray[np.float64]  # (WALKS, 2) by side of the book, NaN where it holds too little
    walking: NDArray[np.float64]  # (WALKS,) as labeling.replay.WALKING
    deepest: NDArray[np.int64]  # (2,) the last price that any of them needed; FAR and 0: none is kept


@njit(**UNCHECKED, forceinline=True)
def spoils(deepest, event):
    """Whether an event may have changed a level that a kept walk took."""
    if event.kind == LEVEL:
        row = row_of(event.side)
        return event.price >= deepest[BID] if row == BID else event.price <= deepest[ASK]
    return event.kind < TRADE or event.kind == GAP


@njit(**UNCHECKED, forceinline=True)
def forget(walks):
    for slot in range(WALKS):
        walks.lots[slot] = 0
    walks.deepest[BID], walks.deepest[ASK] = FAR, 0


@njit(**UNCHECKED, forceinline=True)
def touch(book):
    """Mid and half the spread, ticks; NaN while the book may not be traded on."""
    if not is_open(book):
        return np.nan, np.nan
    bid, ask = book[2][BEST_BID], book[2][BEST_ASK]
    return (bid + ask) / 2, (ask - bid) / 2


@njit(**UNCHECKED, forceinline=True)
def lots_of(mid, sizing):
    """Whole lots of an order, at least one; 0 without a mid."""
    if np.isnan(mid):
        return np.int64(0)
    each = sizing.lot_value if sizing.inverse else sizing.lot_value * mid
    return max(np.int64(1), np.int64(np.rint(sizing.notional / each)))


@njit(**UNCHECKED, forceinline=True)
def walked(book, lots, inverse, walks):
    """Slot of the walk of so many lots through both sides of the book as it stands."""
    slot = lots & (WALKS - 1)
    if walks.lots[slot] != lots:
        _walk_both(book, lots, inverse, walks, slot)
    return slot


@njit(**UNCHECKED)
def _walk_both(book, lots, inverse, walks, slot):
    walks.lots[slot] = lots
    for row in (BID, ASK):
        walks.prices[slot, row], last = side_price(book, row, lots, inverse)
        if row == BID:
            walks.deepest[BID] = min(walks.deepest[BID], last)
        else:
            walks.deepest[ASK] = max(walks.deepest[ASK], last if last > 0 else FAR)
    mid, half_spread = touch(book)
    walks.walking[slot] = ((walks.prices[slot, ASK] - walks.prices[slot, BID]) / 2 - half_spread) / mid


@njit(**UNCHECKED, forceinline=True)
def side_price(book, row, lots, inverse):
    """Average price of taking lots from a side, NaN where it holds too little; and the last price that this needs."""
    last = book[2][row]
    if quantity(book, row, last) >= lots:
        return float(last), last
    average, filled, last = walk_to(book, row, lots, inverse)
    return average if filled == lots else np.nan, last
