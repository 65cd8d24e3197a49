"""A compiled tape: the market's events as columns of integers, made once, for runs that follow nothing else.

Two views of one recording: what the venue did, in the order of its own time, and the touch as we saw it, in the order
received. ``backtest.matching`` reads the first as it reads event records.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.columns import COLUMNS, Tape
from market.book import BEST_ASK, BEST_BID, VALID, Book, apply, new_book
from market.borrowing import BORROWING
from market.errors import BacktestError
from market.events import BBO, GAP, LAST, LEVEL, SNAPSHOT, TRADE, Columns, venue_ts

MATTERS: Final = (LEVEL, SNAPSHOT, BBO, TRADE, GAP)  # kinds that move a book or fill
TOUCH: Final = ("ts", "bid", "ask")  # ingest_ts; ticks, both 0 where the book is closed, one-sided or crossed

_MATTERS: Final = np.isin(np.arange(256), MATTERS)


class CompiledTape(NamedTuple):
    """Columns of two views; read-only, so that memory-mapped and built tapes meet the same compiled code."""

    venue: Tape  # COLUMNS, in the order of venue_ts; delay_ns counts from it
    touches: Tape  # TOUCH: each change of our touch, in the order received
    release: Callable[[], None] = lambda: None  # give back the memory of what was read so far


def compile_tape(events: Columns) -> CompiledTape:
    """The tape of events in the order received; of a table, COLUMNS alone are read.

    Raises BacktestError if there are none, or they were received out of order.
    """
    stamps = events["ingest_ts"]
    if not stamps.size:
        raise BacktestError("a tape of no events cannot be compiled")
    back = np.flatnonzero(stamps[1:] < stamps[:-1])
    if back.size:
        raise BacktestError(f"the tape goes back in its ingest_ts at event {back[0] + 1}")
    columns = what_matters(events)
    matched = venue_ts(columns)
    touches = touches_of(columns, new_book())
    ordered = venue_columns(columns, matched)
    if (matched[1:] < matched[:-1]).any():
        order = np.argsort(matched, kind="stable")
        ordered = tuple(column[order] for column in ordered)
    return CompiledTape(frozen(ordered), frozen(touches))


def what_matters(events: Columns) -> dict[str, NDArray[Any]]:
    """COLUMNS of the events that move a book or fill."""
    columns = {name: np.ascontiguousarray(events[name]) for name in COLUMNS}
    kept = _MATTERS[columns["kind"]]
    return columns if kept.all() else {name: column[kept] for name, column in columns.items()}


def venue_columns(columns: Mapping[str, NDArray[Any]], matched: NDArray[np.int64]) -> Tape:
    """The kernel's columns, each event at the venue's time that ``matched`` gives it."""
    return tuple((dict(columns) | {"delay_ns": columns["ingest_ts"] - matched}).values())


def touches_of(columns: Mapping[str, NDArray[Any]], book: Book) -> Tape:
    """Each change of the touch along events in the order received; the book goes on from where it stands."""
    found = np.zeros((len(TOUCH), columns["kind"].size), np.int64)
    count = _touches(book, frozen(tuple(columns.values())), found)
    return tuple(np.ascontiguousarray(column[:count]) for column in found)


def frozen(columns: Tape) -> Tape:
    """The same columns, not to be written to: kernels are compiled once for such."""
    views = tuple(column.view() for column in columns)
    for view in views:
        view.flags.writeable = False
    return views


@njit(**BORROWING)
def _touches(book, tape, found):
    kinds, sides, flags, prices, quantities, update_ids, stamps, _ = tape
    head, count, bid, ask = book[2], 0, -1, -1
    for i in range(kinds.size):
        apply(book, kinds[i], sides[i], prices[i], quantities[i], update_ids[i], flags[i])
        if not flags[i] & LAST:
            continue
        standing = head[VALID] != 0 and 0 < head[BEST_BID] < head[BEST_ASK]
        best_bid, best_ask = (head[BEST_BID], head[BEST_ASK]) if standing else (0, 0)
        if best_bid == bid and best_ask == ask:
            continue
        bid, ask = best_bid, best_ask
        if count > 0 and found[0, count - 1] == stamps[i]:
            count -= 1
        found[0, count], found[1, count], found[2, count] = stamps[i], bid, ask
        count += 1
    return count
