"""One compiled pass over the venue's book that samples, for every row, what its labels are made of."""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.book import ASK, BEST_ASK, BEST_BID, BID, Book, apply, is_open
from market.costs import walk
from market.events import GAP, Events, venue_ts
from market.spill import require_room

# status of a label, and what it says
OK: Final = 0
DEPTH_SHORT: Final = 1
PAST_END: Final = 2
GAP_INSIDE: Final = 3
BOOK_CLOSED: Final = 4
NO_PRINT: Final = 5

# places in entry and exit samples
MID: Final = 0
HALF_SPREAD: Final = 1
SELL_AT: Final = 2  # average price of walking the bids
BUY_AT: Final = 3  # average price of walking the asks
PLACES: Final = 4


class Tape(NamedTuple):
    """Events, and the order and times in which the venue's book took them."""

    events: Events
    order: NDArray[np.int64]  # indices of events
    times: NDArray[np.int64]  # ns, of the events in that order


class Schedule(NamedTuple):
    """When each row is sampled: row i's stream s at ``row_ts[i] + offsets[s]``.

    Streams: decision, entry, then for each horizon h the anchors t + h, then the exits te + h.
    """

    row_ts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    due: NDArray[np.int64]  # next row of each stream, moved by the replay


class Sizing(NamedTuple):
    """How many lots a row trades: ``notional`` at the mid of the decision, in whole lots, at least one."""

    notional: float  # quote currency
    lot_value: float  # quote currency of a lot; linear, spot: of a lot and a tick of price
    inverse: bool
    walks_out: bool  # the exit needs depth


class Samples(NamedTuple):
    """What was read, N rows and H horizons; prices in ticks, NaN where there was none."""

    lots: NDArray[np.int64]  # (N,)
    gaps: NDArray[np.int64]  # (N,) gaps of the tape up to the decision
    decision: NDArray[np.float64]  # (N,) mid at t
    anchors: NDArray[np.float64]  # (H, N) mid at t + h
    entry: NDArray[np.float64]  # (N, PLACES) at te
    exits: NDArray[np.float64]  # (H, N, PLACES) at te + h
    status: NDArray[np.uint8]  # (H, N)


def venue_tape(events: Events) -> Tape:
    """The tape in the order of the venue's book; ties keep the order of arrival."""
    times = venue_ts(events)
    order = np.argsort(times, kind="stable")
    return Tape(events, order, times[order])


def sample_book(
    tape: Tape, row_ts: NDArray[np.int64], latency_ns: int, horizons_ns: NDArray[np.int64], sizing: Sizing, book: Book
) -> Samples:
    """Samples of every row; ``book`` is the venue's at the start of the tape, and moves to its end.

    Instants past the tape's last event stay PAST_END. Raises DataError if the book runs out of room.
    """
    rows, horizons = row_ts.size, horizons_ns.size
    offsets = np.concatenate(([0, latency_ns], horizons_ns, horizons_ns + latency_ns)).astype(np.int64)
    schedule = Schedule(row_ts, offsets, np.zeros(offsets.size, np.int64))
    samples = Samples(
        lots=np.zeros(rows, np.int64),
        gaps=np.zeros(rows, np.int64),
        decision=np.full(rows, np.nan),
        anchors=np.full((horizons, rows), np.nan),
        entry=np.full((rows, PLACES), np.nan),
        exits=np.full((horizons, rows, PLACES), np.nan),
        status=np.full((horizons, rows), PAST_END, np.uint8),
    )
    _replay(tape, schedule, sizing, book, samples)
    require_room(book[2])
    return samples


@njit(cache=True)
def _replay(tape, schedule, sizing, book, samples):
    walked = np.zeros(3)  # lots of the newest walk of this book (0: none yet), and its two prices
    gaps, next_due = 0, schedule.row_ts[0] if schedule.row_ts.size else np.int64(2**62)
    for place in range(tape.order.size):
        event = tape.events[tape.order[place]]
        if tape.times[place] > next_due:
            next_due = _sample_before(tape.times[place], gaps, schedule, sizing, book, walked, samples)
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
        gaps += event.kind == GAP
        walked[0] = 0.0
    if tape.order.size:
        _sample_before(tape.times[-1] + 1, gaps, schedule, sizing, book, walked, samples)


@njit(cache=True)
def _sample_before(instant, gaps, schedule, sizing, book, walked, samples):
    """Read the book in force for whatever is due before an instant; returns when something is due next.

    One body on purpose: a call for each sample costs more than the sample.
    """
    row_ts, offsets, due = schedule
    lots, gaps_before, decision, anchors, entry, exits, status = samples
    horizons, next_due = anchors.shape[0], np.int64(2**62)
    mid, half_spread = _touch(book)
    for stream in range(offsets.size):
        i = due[stream]
        while i < row_ts.size and row_ts[i] + offsets[stream] < instant:
            h = (stream - 2) % horizons
            if stream == 0:
                decision[i], gaps_before[i], lots[i] = mid, gaps, _lots(mid, sizing)
            elif 2 <= stream < 2 + horizons:
                anchors[h, i] = mid
            else:
                if lots[i] > 0 and lots[i] != walked[0] and not np.isnan(mid):
                    _walk_both(book, lots[i], sizing.inverse, walked)
                _fill(entry[i] if stream == 1 else exits[h, i], lots[i], mid, half_spread, walked)
                if stream != 1:
                    mids = decision[i] + anchors[h, i] + entry[i, MID] + mid
                    depth = _both_sides(entry[i]) + (_both_sides(exits[h, i]) if sizing.walks_out else 0.0)
                    status[h, i] = _verdict(decision[i], gaps - gaps_before[i], mids, depth)
            i += 1
        due[stream] = i
        if i < row_ts.size:
            next_due = min(next_due, row_ts[i] + offsets[stream])
    return next_due


@njit(cache=True)
def _touch(book):
    """Mid and half the spread, ticks; NaN while the book may not be traded on."""
    if not is_open(book):
        return np.nan, np.nan
    bid, ask = book[2][BEST_BID], book[2][BEST_ASK]
    return (bid + ask) / 2, (ask - bid) / 2


@njit(cache=True)
def _lots(mid, sizing):
    if np.isnan(mid):
        return np.int64(0)
    each = sizing.lot_value if sizing.inverse else sizing.lot_value * mid
    return max(np.int64(1), np.int64(np.rint(sizing.notional / each)))


@njit(cache=True)
def _walk_both(book, lots, inverse, walked):
    walked[0] = lots
    for row in (BID, ASK):
        average, filled = walk(book, row, lots, inverse)
        walked[1 + row] = average if filled == lots else np.nan


@njit(cache=True)
def _fill(sample, lots, mid, half_spread, walked):
    if lots > 0 and not np.isnan(mid):
        sample[MID], sample[HALF_SPREAD] = mid, half_spread
        sample[SELL_AT], sample[BUY_AT] = walked[1 + BID], walked[1 + ASK]


@njit(cache=True)
def _both_sides(sample):
    """NaN where either side of the book held too little."""
    return sample[SELL_AT] + sample[BUY_AT]


@njit(cache=True)
def _verdict(decision_mid, gaps_inside, mids, depth):
    """Status of a label; ``mids`` and ``depth`` are sums over all that it reads, NaN where one is missing."""
    if np.isnan(decision_mid):
        return BOOK_CLOSED
    if gaps_inside > 0:
        return GAP_INSIDE
    if np.isnan(mids):
        return BOOK_CLOSED
    return DEPTH_SHORT if np.isnan(depth) else OK
