"""One compiled L2 book for features, labels, matching and live: an array ladder around the touch, a hash for the rest.

A book is the tuple ``(ladder, spill, head)`` that ``new_book`` returns; every function below takes it whole and
changes it in place. Prices are ticks above 0, quantities lots; the row of a side is 0 for bids and 1 for asks.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.borrowing import BORROWING
from market.events import BBO, BUY, FIRST, GAP, LAST, LEVEL, SNAPSHOT, Events
from market.spill import (
    FEWEST,
    LOST,
    PLACES,
    SPILL,
    SPILLED,
    clear_far,
    extreme_far,
    place_of,
    put_far,
    require_room,
    take_all,
)

Book = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

SLOTS: Final = 16_384  # prices within the ladder, a power of two
BID: Final = 0
ASK: Final = 1

# places in head; market.spill has its own among them
BEST_BID: Final = 0  # ticks, 0: none
BEST_ASK: Final = 1
VALID: Final = 2  # 1 between a whole snapshot and the next gap
LOW: Final = 3  # lowest price of the ladder
DEPTH_ID: Final = 4  # newest update id of a level or snapshot
BBO_ID: Final = 5  # newest update id of a best bid or offer
BBO_BID: Final = 6
BBO_ASK: Final = 7
STALE: Final = 10  # best bids and offers dropped as older than the book
RESYNCS: Final = 11  # whole snapshots so far
CROSSED: Final = 12  # messages that left the open book with its best bid above its best ask
LOCKED: Final = 13  # ... with both at one price
HEAD: Final = 17


def new_book() -> Book:
    """An empty, closed book."""
    head = np.zeros(HEAD, np.int64)
    head[PLACES : PLACES + 2] = FEWEST
    return np.zeros((2, SLOTS), np.int64), np.zeros((2, SPILL, 2), np.int64), head


def apply_events(book: Book, events: Events) -> None:
    """Apply a whole array of events in order.

    Raises DataError if the book has no room for all of its far levels.
    """
    _apply_events(book, np.require(events, requirements=["C", "W"]))
    require_room(book[2])


@njit(**BORROWING)
def row_of(side):
    """Row of a side code: 0 for BUY, 1 for SELL."""
    return BID if side == BUY else ASK


@njit(**BORROWING)
def quantity(book, row, price):
    """Lots resting at a price, 0 if none."""
    ladder, spill, head = book
    if head[LOW] <= price < head[LOW] + SLOTS:
        return ladder[row, price & (SLOTS - 1)]
    place = place_of(spill, head, row, price)
    return spill[row, place, 1] if spill[row, place, 0] == price else 0


@njit(cache=True, _nrt=True)
def _recentre(book, price):
    """Move the ladder so that ``price`` lies in its middle; levels change places, none is lost."""
    ladder, spill, head = book
    old, new = head[LOW], max(np.int64(1), price - SLOTS // 2)
    head[LOW] = new
    for row in range(2):
        for level in range(old, old + SLOTS):
            qty = ladder[row, level & (SLOTS - 1)]
            if qty != 0 and not new <= level < new + SLOTS:
                ladder[row, level & (SLOTS - 1)] = 0
                put_far(spill, head, row, level, qty)
        if head[SPILLED + row] == 0:
            continue
        kept = take_all(spill, head, row)
        for i in range(kept.shape[0]):
            far, qty = kept[i, 0], kept[i, 1]
            if new <= far < new + SLOTS:
                ladder[row, far & (SLOTS - 1)] = qty
            elif far != 0:
                put_far(spill, head, row, far, qty)


@njit(**BORROWING)
def next_level(book, row, price):
    """The nearest price with quantity behind ``price`` (below for bids, above for asks), 0 if none."""
    ladder, spill, head = book
    low, high = head[LOW], head[LOW] + SLOTS
    if row == BID:
        if price > high and head[SPILLED] > 0:
            far = extreme_far(spill, head, row, high - 1, price)
            if far != 0:
                return far
        for level in range(min(price, high) - 1, low - 1, -1):
            if ladder[row, level & (SLOTS - 1)] != 0:
                return level
        return extreme_far(spill, head, row, 0, min(price, low)) if head[SPILLED] > 0 else 0
    if price < low - 1 and head[SPILLED + 1] > 0:
        far = extreme_far(spill, head, row, price, low)
        if far != 0:
            return far
    for level in range(max(price + 1, low), high):
        if ladder[row, level & (SLOTS - 1)] != 0:
            return level
    return extreme_far(spill, head, row, max(price, high - 1), np.int64(2**62)) if head[SPILLED + 1] > 0 else 0


@njit(**BORROWING, forceinline=True)
def set_level(book, row, price, qty):
    """Set the lots resting at one price and keep the touch right."""
    ladder, spill, head = book
    if head[LOW] <= price < head[LOW] + SLOTS:
        ladder[row, price & (SLOTS - 1)] = qty
    else:
        put_far(spill, head, row, price, qty)
    best = head[row]
    if price == best:
        if qty == 0:
            head[row] = next_level(book, row, price)
    elif qty > 0 and (best == 0 or (price > best if row == BID else price < best)):
        _advance(book, row, price)


@njit(**BORROWING)
def _advance(book, row, price):
    """A better touch; the ladder follows it before it gets near an end."""
    head = book[2]
    head[row] = price
    if not head[LOW] + SLOTS // 8 <= price < head[LOW] + SLOTS - SLOTS // 8:
        _recentre(book, price)


@njit(**BORROWING)
def _clear(book):
    ladder, spill, head = book
    ladder[:, :] = 0
    for row in range(2):
        clear_far(spill, head, row)
        head[PLACES + row] = FEWEST
    for place in (BEST_BID, BEST_ASK, VALID, BBO_ID, BBO_BID, BBO_ASK, LOST):
        head[place] = 0


@njit(**BORROWING)
def _take_snapshot(book, row, price, qty, update_id, flags):
    head = book[2]
    if flags & FIRST:
        _clear(book)
        _recentre(book, price)
    if qty > 0:
        set_level(book, row, price, qty)
    head[DEPTH_ID] = update_id
    if flags & LAST:
        head[VALID] = 1
        head[RESYNCS] += 1


@njit(**BORROWING)
def _move_touch(book, row, price, qty, update_id):
    """A newer best bid or offer: what lies before it, or across it, is gone."""
    head = book[2]
    if qty <= 0 or update_id <= head[DEPTH_ID] or update_id < head[BBO_ID]:
        head[STALE] += 1
        return
    while head[row] != 0 and (head[row] > price if row == BID else head[row] < price):
        set_level(book, row, head[row], 0)
    other = 1 - row
    while head[other] != 0 and (head[other] <= price if row == BID else head[other] >= price):
        set_level(book, other, head[other], 0)
    set_level(book, row, price, qty)
    head[BBO_ID] = update_id
    head[BBO_BID + row] = price


@njit(**BORROWING, forceinline=True)
def _older_than_touch(head, row, price, update_id):
    if update_id >= head[BBO_ID] or head[BBO_BID + row] == 0:
        return False
    return price >= head[BBO_BID] if row == BID else price <= head[BBO_ASK]


@njit(**BORROWING, forceinline=True)
def _end_message(head):
    """After a whole message: levels that found no room close the book, a touch that is none is counted."""
    if head[LOST] != 0:
        head[VALID] = 0
    if head[VALID] != 0 and 0 < head[BEST_ASK] <= head[BEST_BID]:
        head[CROSSED if head[BEST_ASK] < head[BEST_BID] else LOCKED] += 1


@njit(**BORROWING, forceinline=True)
def apply(book, kind, side, price, qty, update_id, flags):
    """Change the book by one event; kinds that say nothing of the book leave it alone.

    A level older than the best bid or offer in force says nothing about that touch and is
    passed over there; behind the touch it is news.
    """
    head, row = book[2], row_of(side)
    if kind == LEVEL:
        if head[VALID] != 0 and not _older_than_touch(head, row, price, update_id):
            set_level(book, row, price, qty)
        head[DEPTH_ID] = max(head[DEPTH_ID], update_id)
    elif kind == BBO:
        if head[VALID] != 0:
            _move_touch(book, row, price, qty, update_id)
    elif kind == SNAPSHOT:
        _take_snapshot(book, row, price, qty, update_id, flags)
    elif kind == GAP:
        head[VALID] = 0
    else:
        return
    if flags & LAST:
        _end_message(head)


@njit(**BORROWING)
def is_open(book):
    """Whether the book may be traded on: synchronised, two-sided and not crossed."""
    head = book[2]
    return head[VALID] != 0 and 0 < head[BEST_BID] < head[BEST_ASK]


@njit(**BORROWING)
def top_levels(book, row, prices, quantities):
    """Fill the two arrays with the best levels of a side; returns how many there are."""
    count, price = 0, book[2][row]
    while price != 0 and count < prices.size:
        prices[count] = price
        quantities[count] = quantity(book, row, price)
        count += 1
        if count < prices.size:
            price = next_level(book, row, price)
    return count


@njit(**BORROWING)
def _apply_events(book, events):
    for i in range(events.size):
        event = events[i]
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
