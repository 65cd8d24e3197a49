"""A compiled tape: the market's events as columns of integers, made once, for runs that follow nothing else.

Two views of one recording: what the venue did, in the order of its own time, and the touch as we saw it, in the order
received. The kernel of ``backtest.matching`` reads the first as it reads event records.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.matching import COLUMNS, Tape
from market.book import BEST_ASK, BEST_BID, VALID, apply, new_book
from market.borrowing import BORROWING
from market.errors import BacktestError
from market.events import BBO, EVENT, GAP, LAST, LEVEL, SNAPSHOT, TRADE, Events, venue_ts

MATTERS: Final = (LEVEL, SNAPSHOT, BBO, TRADE, GAP)  # kinds that move a book or fill
TOUCH: Final = ("ts", "bid", "ask")  # ingest_ts; ticks, both 0 where the book is closed, one-sided or crossed


class CompiledTape(NamedTuple):
    """Columns of two views; read-only, so that memory-mapped and built tapes meet the same compiled code."""

    venue: Tape  # COLUMNS, in the order of venue_ts; delay_ns counts from it
    touches: Tape  # TOUCH: each change of our touch, in the order received
    release: Callable[[], None] = lambda: None  # give back the memory of what was read so far


def compile_tape(events: Events) -> CompiledTape:
    """The tape of events in the order received.

    Raises BacktestError if there are none, or they were received out of order.
    """
    if not events.size:
        raise BacktestError("a tape of no events cannot be compiled")
    if (np.diff(events["ingest_ts"]) < 0).any():
        at = int(np.flatnonzero(np.diff(events["ingest_ts"]) < 0)[0])
        raise BacktestError(f"the tape goes back in its ingest_ts at event {at + 1}")
    kept = what_matters(events)
    stamps = venue_ts(kept)
    order = np.argsort(stamps, kind="stable")
    columns = [np.ascontiguousarray(column[order]) for column in venue_columns(kept, stamps)]
    return CompiledTape(frozen(tuple(columns)), frozen(touches_of(kept, new_book())))


def what_matters(events: Events) -> Events:
    """The events that move a book or fill."""
    return events[np.isin(events["kind"], MATTERS)]


def venue_columns(events: Events, stamps: NDArray[np.int64]) -> Tape:
    """The kernel's columns of events, each at the venue's time that ``stamps`` gives it."""
    named = {name: events[name] for name in COLUMNS} | {"delay_ns": events["ingest_ts"] - stamps}
    return tuple(named.values())


def touches_of(events: Events, book: tuple[NDArray[np.int64], ...]) -> Tape:
    """Each change of the touch along events in the order received; the book goes on from where it stands."""
    found = np.zeros((len(TOUCH), events.size), np.int64)
    count = _touches(book, np.require(events, EVENT, ["C", "W"]), found)
    return tuple(np.ascontiguousarray(column[:count]) for column in found)


def frozen(columns: Tape) -> Tape:
    """The same columns, not to be written to."""
    for column in columns:
        column.flags.writeable = False
    return columns


@njit(**BORROWING)
def _touches(book, events, found):
    head, count, bid, ask = book[2], 0, -1, -1
    for i in range(events.size):
        event = events[i]
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
        if not event.flags & LAST:
            continue
        standing = head[VALID] != 0 and 0 < head[BEST_BID] < head[BEST_ASK]
        best_bid, best_ask = (head[BEST_BID], head[BEST_ASK]) if standing else (0, 0)
        if best_bid == bid and best_ask == ask:
            continue
        bid, ask = best_bid, best_ask
        if count > 0 and found[0, count - 1] == event.ingest_ts:
            count -= 1
        found[0, count], found[1, count], found[2, count] = event.ingest_ts, bid, ask
        count += 1
    return count
