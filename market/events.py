"""The event record: one 64-byte row for whatever a venue can tell us, in integers."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

EVENT: Final = np.dtype(
    [
        ("kind", "u1"),  # one of the kinds below
        ("side", "i1"),  # BUY (bid, buyer aggressor), SELL or NO_SIDE
        ("flags", "u2"),  # bits below
        ("clock_error_us", "u4"),  # what the clock may be off by, microseconds
        ("exchange_ts", "i8"),  # the venue matched it, its own clock, ns UTC; 0 where the message has none
        ("ingest_ts", "i8"),  # we received it, our clock, ns UTC
        ("delay_ns", "i8"),  # ingest_ts - aligned_ts, never clamped
        ("offset_ns", "i8"),  # exchange-to-local clock offset in force
        ("price", "i8"),  # ticks (MARK, INDEX: 1e-8 quote; FUNDING: rate in 1e-12)
        ("qty", "i8"),  # lots (FUNDING: next funding time, ns)
        ("update_id", "i8"),  # the venue's sequence number; a trade's id
    ]
)
Events = NDArray[np.void]
Columns = Events | Mapping[str, NDArray[Any]]  # events, or as many columns of them as are asked for

LEVEL: Final = 1  # the quantity at one price is now qty; 0 removes the level
SNAPSHOT: Final = 2  # one level of a full book; FIRST clears the book, LAST opens it
BBO: Final = 3  # best bid or best offer
TRADE: Final = 4  # side is the aggressor's
MARK: Final = 5
INDEX: Final = 6
FUNDING: Final = 7
LIQUIDATION: Final = 8  # side of the forced order
GAP: Final = 9  # something is missing: the book is closed until the next snapshot

PRICE_UNIT: Final = 1e-8  # of the price of MARK and INDEX, quote currency
RATE_UNIT: Final = 1e-12  # of the price of FUNDING, a fraction of the position's value

KIND_NAMES: Final = {
    LEVEL: "level",
    SNAPSHOT: "snapshot",
    BBO: "bbo",
    TRADE: "trade",
    MARK: "mark",
    INDEX: "index",
    FUNDING: "funding",
    LIQUIDATION: "liquidation",
    GAP: "gap",
}

BUY: Final = 1
SELL: Final = -1
NO_SIDE: Final = 0

FIRST: Final = 1  # first event of its message
LAST: Final = 2  # last event of its message: the book is whole again
NO_VENUE_TIME: Final = 4  # exchange_ts is 0; the event does not feed the clock
REPLAYED: Final = 8  # buffered until the snapshot came; known, and stamped, when that arrived
SYNTHETIC: Final = 16  # no market ever printed it

CONNECTION_SHIFT: Final = 8  # bits 8..11 of the flags: number of the connection host that the event came by
CONNECTIONS: Final = 16  # hosts that can be told apart


def connection_of(flags: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Number of the connection host that each event came by, 0 to 15.

    >>> connection_of(np.array([FIRST, 3 << CONNECTION_SHIFT | LAST], np.uint16)).tolist()
    [0, 3]
    """
    return (flags >> np.uint16(CONNECTION_SHIFT)) & np.uint16(CONNECTIONS - 1)


def aligned_ts(events: Columns) -> NDArray[np.int64]:
    """When the venue matched each event, on our clock, ns UTC.

    >>> events = empty_events(1)
    >>> events["ingest_ts"], events["delay_ns"] = 1_000, 30
    >>> int(aligned_ts(events)[0])
    970
    """
    return np.asarray(events["ingest_ts"] - events["delay_ns"])


def venue_ts(events: Columns) -> NDArray[np.int64]:
    """When each event became part of the venue's book, ns: its stable sort is the order of that book.

    The aligned time, but never before that of a snapshot received earlier: what a snapshot is
    followed by builds on it, also where it was matched, and buffered, before that arrived.
    """
    return venue_ts_after(events, int(np.iinfo(np.int64).min))[0]


def venue_ts_after(events: Columns, snapshot: int) -> tuple[NDArray[np.int64], int]:
    """As ``venue_ts``, where the newest snapshot so far was at ``snapshot``; and when the newest one is then."""
    times = np.maximum(aligned_ts(events), snapshot)
    places = np.flatnonzero(events["kind"] == SNAPSHOT)
    floors, first = np.unique(np.maximum.accumulate(times[places]), return_index=True)
    starts = places[first]
    for floor, start, end in zip(floors, starts, [*starts, times.size][1:], strict=True):
        np.maximum(times[start:end], floor, out=times[start:end])
    return times, int(floors[-1]) if floors.size else snapshot


def empty_events(count: int) -> Events:
    """``count`` zeroed events."""
    return np.zeros(count, dtype=EVENT)
