"""Events into the state: the book, the running totals, and what was last heard of funding, forced orders and a leader.

Every sum is an int64 running total recorded at the instants of a 10 ms grid that rows close on: an event belongs
to the first instant at or after its ``ingest_ts``, so a window is a difference of two integers,
and no result depends on where the stream was cut. An event stamped earlier than one before it
counts from its place in the sequence.
"""

import numpy as np
from numba import njit

from features import layout
from features.formulas import touch_flow
from features.layout import (
    ADDED,
    BUCKET_NS,
    CHURN,
    DEEP_FLOW,
    DELAY,
    DIRTY,
    EVENTS,
    FIRST_EVENT,
    FLOW,
    JITTER,
    MESSAGES,
    MID2,
    NEWEST_EVENT,
    NEWEST_TRADE,
    NEXT_ROW,
    OPEN_SINCE,
    PRICED,
    REMOVED,
    RUN,
    SCRATCH,
    SEALED,
    SIGNED,
    SIGNS,
    SQUARES,
    STAMPED,
    STAMPED_DELAY,
    TOP,
    TOP_COUNT,
    TOP_LEVELS,
    TRADED,
    TRADES,
)
from market.book import BEST_ASK, BEST_BID, apply, is_open, next_level, quantity, row_of
from market.borrowing import BORROWING
from market.events import (
    BBO,
    FUNDING,
    GAP,
    INDEX,
    LAST,
    LEVEL,
    LIQUIDATION,
    MARK,
    NO_VENUE_TIME,
    REPLAYED,
    SNAPSHOT,
    TRADE,
)

_NS_PER_US = 1_000
CLEAN, ONLY_TOUCH, ANY_LEVEL = 0, 1, 2  # what a message may have changed of a side
# numba compiles a function again for every literal that it is handed, but not for a typed number
_ROWS = (np.int64(0), np.int64(1))


@njit(**BORROWING, forceinline=True)
def bucket_at(clock, ts):
    """The newest instant of the bucket grid up to ``ts``, in buckets; rows close on that grid, whatever their phase."""
    return (ts - clock[NEXT_ROW] % BUCKET_NS) // BUCKET_NS


@njit(**BORROWING, forceinline=True)
def seal(clock, ring, instant):
    """Make the totals final up to an instant of the bucket grid; returns the place of the open totals."""
    if instant > clock[SEALED]:
        _seal_up_to(clock, ring, instant)
    return (clock[SEALED] + 1) & (ring.shape[0] - 1)


@njit(**BORROWING)
def _seal_up_to(clock, ring, instant):
    mask = ring.shape[0] - 1
    place = (clock[SEALED] + 1) & mask
    sealed = max(clock[SEALED], instant - ring.shape[0])
    while sealed < instant:
        sealed += 1
        following = (sealed + 1) & mask
        for column in range(ring.shape[1]):
            ring[following, column] = ring[place, column]
        place = following
    clock[SEALED] = instant


@njit(**BORROWING, forceinline=True)
def step(book, clock, ring, event):
    """Take one event into the book and the running totals.

    These are the first five arrays of a state: to unpack it for each event would cost as much as the book.
    """
    ts, kind = event.ingest_ts, event.kind
    place = seal(clock, ring, bucket_at(clock, ts - 1))
    ring[place, EVENTS] += 1
    clock[NEWEST_EVENT] = max(clock[NEWEST_EVENT], ts)
    clock[DELAY] = event.delay_ns
    if event.flags & LAST and kind != SNAPSHOT and not event.flags & (NO_VENUE_TIME | REPLAYED):
        _observe_delay(clock, ring, place, event.delay_ns)
    if kind in (LEVEL, BBO, SNAPSHOT, GAP):
        _mark_dirty(clock, kind, event.side, event.price, event.qty)
        apply(book, kind, event.side, event.price, event.qty, event.update_id, event.flags)
        if event.flags & LAST or kind == GAP:
            _observe_touch(book, clock, ring, place)
    elif kind == TRADE:
        _observe_trade(clock, ring, place, event)
    else:
        _hear(clock, event)


@njit(**BORROWING)
def _observe_delay(clock, ring, place, delay_ns):
    if clock[STAMPED]:
        ring[place, JITTER] += abs(delay_ns - clock[STAMPED_DELAY]) // _NS_PER_US
        ring[place, MESSAGES] += 1
    clock[STAMPED] = 1
    clock[STAMPED_DELAY] = delay_ns


@njit(**BORROWING)
def _observe_trade(clock, ring, place, event):
    side, qty = np.int64(event.side), event.qty
    ring[place, SIGNED] += side * qty
    ring[place, TRADED] += qty
    ring[place, TRADES] += 1
    ring[place, SIGNS] += side
    ring[place, PRICED] += event.price * qty
    clock[NEWEST_TRADE] = clock[NEWEST_EVENT]
    clock[RUN] = clock[RUN] + side if clock[RUN] * side > 0 else side


@njit(**BORROWING)
def _hear(clock, event):
    """Keep what the venue published of mark, index, funding and forced orders."""
    if event.kind == FUNDING:
        clock[layout.FUNDING_TS] = clock[NEWEST_EVENT]
        clock[layout.FUNDING_RATE] = event.price
        clock[layout.NEXT_FUNDING] = event.qty
    elif event.kind == MARK:
        clock[layout.MARK_PRICE] = event.price
    elif event.kind == INDEX:
        clock[layout.INDEX_PRICE] = event.price
    elif event.kind == LIQUIDATION:
        place = layout.FORCED_ORDERS + 3 * (clock[layout.FORCED] % layout.LIQUIDATIONS)
        clock[place] = clock[NEWEST_EVENT]
        clock[place + 1] = event.price
        clock[place + 2] = np.int64(event.side) * event.qty
        clock[layout.FORCED] += 1


@njit(**BORROWING, forceinline=True)
def _mark_dirty(clock, kind, side, price, qty):
    """Note how much of a side's best levels an event may change; a level behind those held changes nothing.

    A best bid or offer behind them takes them all away.
    """
    if kind in (LEVEL, BBO):
        row = row_of(side)
        levels, held = TOP_LEVELS + 2 * TOP * row, clock[TOP_COUNT + row]
        sign = 1 - 2 * row
        if kind == LEVEL and held == TOP and sign * price < sign * clock[levels + TOP - 1]:
            return
        touched = price == clock[levels] and qty > 0 and held > 0
        if not (touched and qty == clock[levels + TOP] and clock[DIRTY + row] == CLEAN):
            clock[DIRTY + row] = max(clock[DIRTY + row], ONLY_TOUCH if touched else ANY_LEVEL)
        opposite = clock[TOP_LEVELS + 2 * TOP * (1 - row)]
        if kind == BBO and sign * price >= sign * opposite:
            clock[DIRTY + 1 - row] = ANY_LEVEL
    else:
        clock[DIRTY] = clock[DIRTY + 1] = ANY_LEVEL


@njit(**BORROWING, forceinline=True)
def _observe_touch(book, clock, ring, place):
    """After a whole message: what it did to the best levels, and whether the book is open at all."""
    head = book[2]
    if not is_open(book):
        clock[OPEN_SINCE] = 0
        clock[DIRTY] = clock[DIRTY + 1] = ANY_LEVEL
        return
    opened = clock[OPEN_SINCE] == 0
    if opened:
        clock[OPEN_SINCE] = clock[NEWEST_EVENT]
    elif clock[DIRTY] == CLEAN and clock[DIRTY + 1] == CLEAN:
        return
    for row in _ROWS:
        if opened or clock[DIRTY + row] == ANY_LEVEL or head[row] != clock[TOP_LEVELS + 2 * TOP * row]:
            _refresh_side(book, clock, ring, place, row, opened)
        elif clock[DIRTY + row] == ONLY_TOUCH:
            _refresh_touch(book, clock, ring, place, row)
        clock[DIRTY + row] = CLEAN
    mid2 = head[BEST_BID] + head[BEST_ASK]
    if not opened:
        move = mid2 - ring[place, MID2]
        ring[place, SQUARES] += move * move
    ring[place, MID2] = mid2


@njit(**BORROWING)
def _refresh_touch(book, clock, ring, place, row):
    """The best price stayed, and no level behind it changed."""
    levels, sign = TOP_LEVELS + 2 * TOP * row, 1 - 2 * row
    qty = quantity(book, row, clock[levels])
    change = qty - clock[levels + TOP]
    clock[levels + TOP] = qty
    ring[place, FLOW] += sign * change
    ring[place, DEEP_FLOW] += sign * change
    ring[place, ADDED] += max(change, 0)
    ring[place, REMOVED] += max(-change, 0)


@njit(**BORROWING)
def _refresh_side(book, clock, ring, place, row, opened):
    """Read the best levels of a side anew; unless the book has just opened, count what changed."""
    count, price = 0, book[2][row]
    while price != 0:
        clock[SCRATCH + count] = price
        clock[SCRATCH + TOP + count] = quantity(book, row, price)
        count += 1
        if count == TOP:
            break
        price = next_level(book, row, price)
    held, sign = TOP_LEVELS + 2 * TOP * row, 1 - 2 * row
    if not opened:
        old_price, new_price = clock[held], clock[SCRATCH]
        flow = touch_flow(sign * old_price, clock[held + TOP], sign * new_price, clock[SCRATCH + TOP])
        ring[place, FLOW] += sign * flow
        ring[place, CHURN] += old_price != new_price
        _count_changes(clock, ring, place, row, count)
    clock[TOP_COUNT + row] = count
    for level in range(2 * TOP):
        clock[held + level] = clock[SCRATCH + level]


@njit(**BORROWING)
def _count_changes(clock, ring, place, row, count):
    """Add up what joined and what left the prices that both states of a side reach to, best first."""
    levels, sign, held = TOP_LEVELS + 2 * TOP * row, 1 - 2 * row, clock[TOP_COUNT + row]
    old = new = 0
    while True:
        old_price = sign * clock[levels + old] if old < held else 0
        new_price = sign * clock[SCRATCH + new] if new < count else 0
        if old < held and new < count and old_price == new_price:
            change = clock[SCRATCH + TOP + new] - clock[levels + TOP + old]
            old, new = old + 1, new + 1
        elif new < count and (new_price > old_price if old < held else held < TOP):
            change = clock[SCRATCH + TOP + new]
            new += 1
        elif old < held and (old_price > new_price if new < count else count < TOP):
            change = -clock[levels + TOP + old]
            old += 1
        else:
            return
        ring[place, DEEP_FLOW] += sign * change
        ring[place, ADDED] += max(change, 0)
        ring[place, REMOVED] += max(-change, 0)


@njit(**BORROWING)
def begin(state, events):
    """Open the first row with the first event ever."""
    clock, row_ns, phase = state[3], state[5][layout.ROW], state[5][layout.PHASE]
    if clock[NEXT_ROW] != 0 or events.size == 0:
        return
    ts = events[0].ingest_ts
    clock[NEXT_ROW] = (ts - phase + row_ns - 1) // row_ns * row_ns + phase
    clock[SEALED] = bucket_at(clock, ts - 1)
    clock[FIRST_EVENT] = ts


@njit(**BORROWING)
def absorb(state, events, start, until):
    """Step the events from ``start`` up to the first one later than ``until``; returns its position."""
    book, clock, ring = (state[0], state[1], state[2]), state[3], state[4]
    position = start
    begin(state, events)
    while position < events.size and events[position].ingest_ts <= until:
        step(book, clock, ring, events[position])
        position += 1
    return position


@njit(**BORROWING)
def follow(state, row_ts, mid2, imbalance):
    """Take in the leader's row of ``row_ts``; ``mid2`` (best bid + best ask) is 0 where that row is not valid.

    Only when all own events up to ``row_ts`` are in, or they would count later than they came.
    """
    clock, ring = state[3], state[4]
    place = seal(clock, ring, bucket_at(clock, row_ts - 1))
    if mid2 == 0:
        clock[layout.LEADER_TS] = clock[layout.LEADER_SINCE] = 0
        return
    if clock[layout.LEADER_TS] == 0 or row_ts - clock[layout.LEADER_TS] > state[5][layout.SILENCE]:
        clock[layout.LEADER_SINCE] = row_ts
    clock[layout.LEADER_TS] = row_ts
    clock[layout.LEADER_IMBALANCE] = np.int64(np.rint(imbalance * layout.LEADER_SCALE))
    ring[place, layout.LEADER_MID2] = mid2
