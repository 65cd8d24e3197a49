"""hftbacktest's event array, in and out: levels, snapshots, best bids and offers, trades, gaps.

Source of the format: https://hftbacktest.readthedocs.io/en/latest/data.html.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from market.events import (
    BBO,
    BUY,
    FIRST,
    GAP,
    LEVEL,
    NO_SIDE,
    NO_VENUE_TIME,
    SELL,
    SNAPSHOT,
    TRADE,
    Events,
    empty_events,
    venue_ts_after,
)
from market.instrument import Instrument
from market.sources.columnar import Ints, Mask, SurrogateIds, changes, mark_messages

Rows = NDArray[np.void]
Stamps = Literal["aligned", "raw"]  # venue times: corrected to our clock, or as the venue gave them

ROW: Final = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),  # ns
        ("local_ts", "i8"),  # ns
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),  # reserved by hftbacktest; holds our update id
        ("fval", "f8"),
    ]
)
DEPTH_CLEAR: Final = 3
EXCH_EVENT: Final = 1 << 31  # the venue's side takes the row, in the order of exch_ts
LOCAL_EVENT: Final = 1 << 30  # ours takes it, in the order of local_ts
BUY_EVENT: Final = 1 << 29
SELL_EVENT: Final = 1 << 28
WORDS: Final = {LEVEL: 1, TRADE: 2, GAP: DEPTH_CLEAR, SNAPSHOT: 4, BBO: 5}

_EARLIEST: Final = np.iinfo(np.int64).min
_WORD_OF: Final = np.zeros(256, np.uint64)
_WORD_OF[list(WORDS)] = list(WORDS.values())
_KIND_OF: Final = np.zeros(256, np.uint8)
_KIND_OF[list(WORDS.values())] = list(WORDS)


def exported(
    batches: Callable[[], Iterable[Events]], instrument: Instrument, stamps: Stamps
) -> tuple[int, Iterator[Rows]]:
    """How many rows a tape makes, and the rows in both of hftbacktest's orders.

    A row that arrived after one that the venue matched later stands there twice: once for each order. ``batches`` is
    called twice; only those late rows are held in between.
    """
    late, count = list[Rows](), 0
    for rows, is_late in _in_local_order(batches(), instrument, stamps):
        late.append(rows[is_late])
        count += rows.size
    twice = np.concatenate([np.zeros(0, ROW), *late])
    twice = twice[np.argsort(twice["exch_ts"], kind="stable")]
    twice["ev"] |= np.uint64(EXCH_EVENT)
    return count + twice.size, _in_both_orders(_in_local_order(batches(), instrument, stamps), twice)


def rows_of(events: Events, exch_ts: Ints, instrument: Instrument) -> Rows:
    """A row for each event that has a word there, without EXCH_EVENT and LOCAL_EVENT.

    A gap empties the book: DEPTH_CLEAR of both sides. So does a snapshot, just before its first level.
    """
    held = _WORD_OF[events["kind"]] > 0
    events, exch_ts = events[held], exch_ts[held]
    rows = np.zeros(events.size, ROW)
    sides = np.where(events["side"] == BUY, BUY_EVENT, np.where(events["side"] == SELL, SELL_EVENT, 0))
    rows["ev"] = _WORD_OF[events["kind"]] | sides.astype(np.uint64)
    rows["exch_ts"], rows["local_ts"], rows["ival"] = exch_ts, events["ingest_ts"], events["update_id"]
    rows["px"] = decimals(events["price"], instrument.tick_size)
    rows["qty"] = decimals(events["qty"], instrument.lot_size)
    rows["px"][events["kind"] == GAP] = np.nan
    opened = np.flatnonzero((events["kind"] == SNAPSHOT) & ((events["flags"] & FIRST) > 0))
    clears = rows[opened]
    clears["ev"], clears["px"], clears["qty"] = DEPTH_CLEAR, np.nan, 0.0
    return np.insert(rows, opened, clears)


def decimals(steps: Ints, step: float) -> NDArray[np.float64]:
    """The float64 nearest to each number of steps.

    >>> decimals(np.array([3]), 0.1).tolist()
    [0.3]
    """
    inverse = round(1 / step)
    return np.asarray(steps / inverse if abs(inverse * step - 1) < 1e-9 else steps * step)


def kinds_of(rows: Rows) -> NDArray[np.uint8]:
    """Kind of event of each row, GAP for a DEPTH_CLEAR; 0 where there is none."""
    return np.asarray(_KIND_OF[rows["ev"] & np.uint64(0xFF)])


def message_starts(events: Events) -> Mask:
    """Where a message begins: stamps and update id are a message's own, and so is a trade."""
    group = np.where(events["kind"] == GAP, SNAPSHOT, events["kind"])
    starts = changes(events["exchange_ts"], events["ingest_ts"], events["update_id"], group)
    return np.asarray(starts | (events["kind"] == TRADE))


def complete(events: Events, ids: SurrogateIds) -> Events:
    """Whole messages, flagged; those without an update id get one, unless they are gaps.

    A clearing of the book is part of the snapshot that it stands with. One that stands alone is a gap: what the book
    holds from then on cannot be known.
    """
    starts = message_starts(events)
    message = np.cumsum(starts) - 1
    opened = np.logical_or.reduceat(events["kind"] == SNAPSHOT, np.flatnonzero(starts))
    kept = (events["kind"] != GAP) | (starts & ~opened[message])
    events, message = events[kept], message[kept]
    starts = changes(message)
    gaps = events["kind"] == GAP
    events["side"][gaps], events["price"][gaps], events["qty"][gaps] = NO_SIDE, 0, 0
    mark_messages(events, starts)
    nameless = starts & (events["update_id"] <= 0) & ~gaps
    numbers = events["update_id"][starts]
    numbers[nameless[starts]] = ids.next(events["ingest_ts"][nameless])
    events["update_id"] = numbers[np.cumsum(starts) - 1]
    return events


def event_of(rows: Rows, ticks: Ints, lots: Ints) -> Events:
    """An event for each row, its message not yet known."""
    events = empty_events(rows.size)
    events["kind"] = kinds_of(rows)
    bid, ask = ((rows["ev"] & np.uint64(flag)) > 0 for flag in (BUY_EVENT, SELL_EVENT))
    events["side"] = np.where(bid, BUY, np.where(ask, SELL, NO_SIDE))
    events["flags"] = np.where(rows["exch_ts"] <= 0, NO_VENUE_TIME, 0)
    events["exchange_ts"] = np.maximum(rows["exch_ts"], 0)
    events["price"], events["qty"], events["update_id"] = ticks, lots, rows["ival"]
    return events


def _in_local_order(
    batches: Iterable[Events], instrument: Instrument, stamps: Stamps
) -> Iterator[tuple[Rows, NDArray[np.bool_]]]:
    """Rows, and which of them the venue matched before one that stands ahead of them."""
    times = _VENUE_TIMES[stamps]
    carried, newest = _EARLIEST, _EARLIEST
    for events in batches:
        exch_ts, carried = times(events, carried)
        rows = rows_of(events, exch_ts, instrument)
        if rows.size:
            before = np.maximum.accumulate(np.concatenate(([newest], rows["exch_ts"])))
            newest = int(before[-1])
            yield rows, rows["exch_ts"] < before[:-1]


def _in_both_orders(chunks: Iterator[tuple[Rows, NDArray[np.bool_]]], twice: Rows) -> Iterator[Rows]:
    """The rows with the late ones put in, as the venue's alone, just before what was matched after them."""
    newest = _EARLIEST
    for rows, is_late in chunks:
        reached = np.maximum(np.maximum.accumulate(rows["exch_ts"]), newest)
        newest = int(reached[-1])
        rows["ev"] |= np.where(is_late, LOCAL_EVENT, LOCAL_EVENT | EXCH_EVENT).astype(np.uint64)
        due = int(np.searchsorted(twice["exch_ts"], newest))
        places = np.searchsorted(reached, twice["exch_ts"][:due], side="right")
        yield np.insert(rows, places, twice[:due])
        twice = twice[due:]


def _raw(events: Events, newest: int) -> tuple[Ints, int]:
    """The venue's own times; an event without one takes the newest before it, 0 if there is none."""
    timeless = (events["flags"] & NO_VENUE_TIME) > 0
    known = np.maximum(np.maximum.accumulate(np.where(timeless, newest, events["exchange_ts"])), newest)
    return np.where(timeless, np.maximum(known, 0), events["exchange_ts"]), int(known[-1]) if events.size else newest


_VENUE_TIMES: Final[dict[Stamps, Callable[[Events, int], tuple[Ints, int]]]] = {"aligned": venue_ts_after, "raw": _raw}
