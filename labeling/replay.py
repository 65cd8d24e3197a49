"""One compiled pass over the venue's book that labels every row: what the market did, and what a round trip costs.

A row meets three instants: the decision at t, the entry at ``te``, and for each horizon h the exits t + h (of the
gross anchor) and te + h. Each of these is a stream of rows in the order of its instants; the pass takes what falls
due before each event from the book in force.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from labeling.venue_order import Tape
from labeling.walks import FAR, WALKS, Sizing, Walks, forget, lots_of, spoils, touch, walked
from market.book import ASK, BID, Book, apply
from market.borrowing import UNCHECKED
from market.events import FUNDING, GAP, MARK
from market.spill import require_room

# status of a label, and what it says
OK: Final = 0
DEPTH_SHORT: Final = 1
PAST_END: Final = 2
GAP_INSIDE: Final = 3
BOOK_CLOSED: Final = 4
NO_PRINT: Final = 5
NO_FEE: Final = 6
NO_MARK: Final = 7

# places in a row's entry
MID: Final = 0
SELL_AT: Final = 1  # average price of walking the bids
BUY_AT: Final = 2  # average price of walking the asks

# places in what is remembered of a row under way, one line of a cache
DECISION_MID: Final = 0
OVER_DECISION_MID: Final = 1  # 1 / mid: every exit needs the inverses, and a division is dear
ENTRY_MID: Final = 2
CROSSING: Final = 3  # half the spread, a fraction of the mid
WALKING: Final = 4  # what the order pays beyond the touch, the mean of both sides, a fraction of the mid
OVER: Final = 5  # 1 / mid, 1 / sell_at, 1 / buy_at of the entry
UNDER_WAY: Final = 8
STRIDE_NS: Final = 1_000_000_000  # longest time that is read at once: it bounds how many rows are under way


class Schedule(NamedTuple):
    """When each row is due. Streams: decision, entry, then for each horizon h the anchors t + h, then the exits te + h.

    The replay moves ``due`` and ``due_ts``.
    """

    row_ts: NDArray[np.int64]
    te: NDArray[np.int64]
    by_entry: NDArray[np.int64]  # rows in the order in which they meet the venue
    horizons: NDArray[np.int64]  # ns
    due: NDArray[np.int64]  # of each stream: how many of its rows were read ...
    due_ts: NDArray[np.int64]  # ... and when the next one is due


class Rows(NamedTuple):
    """What a row knows by its entry; prices in ticks, NaN where there was none."""

    lots: NDArray[np.int64]  # (N,)
    mids: NDArray[np.float64]  # (N,) at the decision
    entry: NDArray[np.float64]  # (3, N) mid, sell_at and buy_at


class UnderWay(NamedTuple):
    """What is remembered of rows between decision and last exit: a ring of R places, row i at i modulo R.

    It stays in the cache, and is no larger for a longer day.
    """

    gaps: NDArray[np.int64]  # (R,) gaps of the tape up to the decision
    known: NDArray[np.float64]  # (R, UNDER_WAY)


class Labels(NamedTuple):
    """Labels of N rows at H horizons, each array (H, N); NaN where the status says that nothing is known."""

    gross: NDArray[np.float32]  # mid to mid, t to t + h
    exec_gross: NDArray[np.float32]  # te to te + h
    spread: NDArray[np.float32]
    slippage: NDArray[np.float32]
    long_ratio: NDArray[np.float64]  # exit over entry price; a label equals the ledger to 1e-12
    short_ratio: NDArray[np.float64]
    status: NDArray[np.uint8]


def label_tape(
    tape: Tape, instants: tuple[NDArray[np.int64], NDArray[np.int64]], horizons_ns: NDArray[np.int64],
    sizing: Sizing, book: Book,
) -> tuple[Rows, Labels, NDArray[np.int64]]:  # fmt: skip
    """Every row's entry and labels, and the places of marks and fundings on the tape.

    book : the venue's at the start of the tape; moves to its end
    instants : row_ts, which rises, and te, which need not; shape (N,) each, ns
    Instants past the tape's last event stay PAST_END. Raises DataError if the book runs out of room.
    """
    schedule = _scheduled(*instants, horizons_ns)
    rows, labels = _blank(instants[0].size, horizons_ns.size)
    under_way = _ring(*instants, horizons_ns)
    walks = Walks(np.zeros(WALKS, np.int64), np.zeros((WALKS, 2)), np.zeros(WALKS), np.array([FAR, 0]))
    told = np.empty(tape.order.size, np.int64)
    count = _replay(tape, schedule, sizing, book, rows, under_way, labels, walks, told)
    require_room(book[2])
    return rows, labels, told[:count].copy()


def _scheduled(row_ts: NDArray[np.int64], te: NDArray[np.int64], horizons_ns: NDArray[np.int64]) -> Schedule:
    by_entry = np.arange(te.size) if np.all(te[1:] >= te[:-1]) else np.argsort(te, kind="stable")
    due = np.zeros(2 + 2 * horizons_ns.size, np.int64)
    due_ts = np.full(due.size, FAR, np.int64)
    if te.size:
        first, enters = row_ts[0], te[by_entry[0]]
        due_ts[:] = np.concatenate(([first, enters], first + horizons_ns, enters + horizons_ns))
    return Schedule(row_ts, te, by_entry, horizons_ns, due, due_ts)


def _blank(rows: int, horizons: int) -> tuple[Rows, Labels]:
    """Arrays that nothing has filled: the replay writes each place once."""
    known = Rows(np.empty(rows, np.int64), np.empty(rows), np.empty((3, rows)))
    shape = (horizons, rows)
    gross, exec_gross, spread, slippage = (np.empty(shape, np.float32) for _ in range(4))
    ratios, status = (np.empty(shape), np.empty(shape)), np.empty(shape, np.uint8)
    return known, Labels(gross, exec_gross, spread, slippage, *ratios, status)


def _ring(row_ts: NDArray[np.int64], te: NDArray[np.int64], horizons_ns: NDArray[np.int64]) -> UnderWay:
    """Room for all rows that can be under way at one time, and a power of two."""
    life = int((te - row_ts).max(initial=0)) + int(horizons_ns.max()) + STRIDE_NS
    places = 1 << int(_most_within(row_ts, life)).bit_length()
    return UnderWay(np.empty(places, np.int64), np.empty((places, UNDER_WAY)))


@njit(**UNCHECKED)
def _most_within(ts, span):
    """Most of the rising instants that lie within a span, ends included."""
    most, first = 0, 0
    for last in range(ts.size):
        while ts[last] - ts[first] > span:
            first += 1
        most = max(most, last - first + 1)
    return most


@njit(**UNCHECKED)
def _replay(tape, schedule, sizing, book, rows, under_way, labels, walks, told):
    gaps, count, next_due, events = 0, 0, _next_due(schedule.due_ts), tape.order.size
    for place in range(events + 1 if events else 0):  # once more for what is due by the last event itself
        instant = tape.times[place] if place < events else tape.times[-1] + 1
        while next_due < instant:
            until = min(instant, next_due + STRIDE_NS)
            next_due = _read_before(until, gaps, schedule, sizing, book, rows, under_way, labels, walks)
        if place == events:
            break
        event = tape.events[tape.order[place]]
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
        gaps += event.kind == GAP
        if spoils(walks.deepest, event):
            forget(walks)
        if event.kind == MARK or event.kind == FUNDING:
            told[count] = place
            count += 1
    _leave_unread(schedule, rows, labels)
    return count


@njit(**UNCHECKED, forceinline=True)
def _next_due(due_ts):
    earliest = due_ts[0]
    for stream in range(1, due_ts.size):
        earliest = min(earliest, due_ts[stream])
    return earliest


@njit(**UNCHECKED, forceinline=True)
def _read_before(instant, gaps, schedule, sizing, book, rows, under_way, labels, walks):
    """Read the book in force for whatever is due before an instant; returns when something is due next."""
    due_ts, horizons = schedule.due_ts, schedule.horizons.size
    mid, half_spread = touch(book)
    crossing = half_spread / mid
    if due_ts[0] < instant:
        _decide(instant, gaps, mid, schedule, sizing, rows, under_way)
    if due_ts[1] < instant:
        _enter(instant, mid, crossing, schedule, sizing, book, rows, under_way.known, walks)
    for h in range(horizons):
        if due_ts[2 + h] < instant:
            _anchor(instant, mid, h, schedule, sizing.inverse, under_way.known, labels.gross[h])
        if due_ts[2 + horizons + h] < instant:
            _leave(instant, gaps, mid, crossing, h, schedule, sizing, book, rows, under_way, labels, walks)
    return _next_due(due_ts)


@njit(**UNCHECKED, forceinline=True)
def _decide(instant, gaps, mid, schedule, sizing, rows, under_way):
    row_ts, i = schedule.row_ts, schedule.due[0]
    lots, inverse, last = lots_of(mid, sizing), 1 / mid, under_way.gaps.size - 1
    while i < row_ts.size and row_ts[i] < instant:
        known = under_way.known[i & last]
        known[DECISION_MID], known[OVER_DECISION_MID] = mid, inverse
        rows.mids[i], rows.lots[i] = mid, lots
        under_way.gaps[i & last] = gaps
        i += 1
    schedule.due[0] = i
    schedule.due_ts[0] = row_ts[i] if i < row_ts.size else FAR


@njit(**UNCHECKED, forceinline=True)
def _enter(instant, mid, crossing, schedule, sizing, book, rows, known, walks):
    te, by_entry, k = schedule.te, schedule.by_entry, schedule.due[1]
    entry, last = rows.entry, known.shape[0] - 1
    while k < by_entry.size and te[by_entry[k]] < instant:
        i = by_entry[k]
        lots, ours = rows.lots[i], known[i & last]
        if lots > 0 and not np.isnan(mid):
            slot = walked(book, lots, sizing.inverse, walks)
            entry[MID, i], entry[SELL_AT, i], entry[BUY_AT, i] = mid, walks.prices[slot, BID], walks.prices[slot, ASK]
            ours[ENTRY_MID], ours[CROSSING], ours[WALKING] = mid, crossing, walks.walking[slot]
            for price in range(3):
                ours[OVER + price] = 1 / entry[price, i]
        else:
            entry[:, i] = np.nan
            ours[ENTRY_MID] = np.nan
        k += 1
    schedule.due[1] = k
    schedule.due_ts[1] = te[by_entry[k]] if k < by_entry.size else FAR


@njit(**UNCHECKED, forceinline=True)
def _anchor(instant, mid, h, schedule, inverse, known, gross):
    row_ts, horizon, i = schedule.row_ts, schedule.horizons[h], schedule.due[2 + h]
    over_mid, last = 1 / mid, known.shape[0] - 1
    while i < row_ts.size and row_ts[i] + horizon < instant:
        ours = known[i & last]
        gross[i] = (mid - ours[DECISION_MID]) * (over_mid if inverse else ours[OVER_DECISION_MID])
        i += 1
    schedule.due[2 + h] = i
    schedule.due_ts[2 + h] = row_ts[i] + horizon if i < row_ts.size else FAR


@njit(**UNCHECKED, forceinline=True)
def _leave(instant, gaps, mid, crossing, h, schedule, sizing, book, rows, under_way, labels, walks):
    te, by_entry, horizon = schedule.te, schedule.by_entry, schedule.horizons[h]
    stream = 2 + schedule.horizons.size + h
    k, over_mid, last = schedule.due[stream], 1 / mid, under_way.gaps.size - 1
    while k < by_entry.size and te[by_entry[k]] + horizon < instant:
        i = by_entry[k]
        ours = under_way.known[i & last]
        others = ours[ENTRY_MID] + mid + labels.gross[h, i]
        status = _readable(ours[DECISION_MID], gaps - under_way.gaps[i & last], others)
        if status != OK:
            _blank_label(labels, h, i, status)
        else:
            sell_at, buy_at, spread, slippage = mid, mid, ours[CROSSING], ours[WALKING]
            if sizing.walks_out:
                slot = walked(book, rows.lots[i], sizing.inverse, walks)
                sell_at, buy_at = walks.prices[slot, BID], walks.prices[slot, ASK]
                spread += crossing
                slippage += walks.walking[slot]
            labels.exec_gross[h, i] = (mid - ours[ENTRY_MID]) * (over_mid if sizing.inverse else ours[OVER + MID])
            labels.spread[h, i], labels.slippage[h, i] = spread, slippage
            labels.long_ratio[h, i] = sell_at * ours[OVER + BUY_AT]
            labels.short_ratio[h, i] = buy_at * ours[OVER + SELL_AT]
            labels.status[h, i] = DEPTH_SHORT if np.isnan(slippage) else OK
        k += 1
    schedule.due[stream] = k
    schedule.due_ts[stream] = te[by_entry[k]] + horizon if k < by_entry.size else FAR


@njit(**UNCHECKED, forceinline=True)
def _readable(decision_mid, gaps_inside, others):
    """OK, or why nothing of a label is known; ``others`` is NaN where a later mid is missing."""
    if np.isnan(decision_mid):
        return BOOK_CLOSED
    if gaps_inside > 0:
        return GAP_INSIDE
    return BOOK_CLOSED if np.isnan(others) else OK


@njit(**UNCHECKED)
def _blank_label(labels, h, i, status):
    labels.gross[h, i] = labels.exec_gross[h, i] = labels.spread[h, i] = labels.slippage[h, i] = np.nan
    labels.long_ratio[h, i] = labels.short_ratio[h, i] = np.nan
    labels.status[h, i] = status


@njit(**UNCHECKED)
def _leave_unread(schedule, rows, labels):
    """What lies past the end of the tape."""
    by_entry, due = schedule.by_entry, schedule.due
    for i in range(due[0], schedule.row_ts.size):
        rows.mids[i], rows.lots[i] = np.nan, 0
    for k in range(due[1], by_entry.size):
        rows.entry[:, by_entry[k]] = np.nan
    horizons = schedule.horizons.size
    for h in range(horizons):
        for k in range(due[2 + horizons + h], by_entry.size):
            _blank_label(labels, h, by_entry[k], PAST_END)
