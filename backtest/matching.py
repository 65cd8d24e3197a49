"""The matching kernel: the venue's book and our orders in it, one compiled state machine for every way of trading.

What fills an order, and what is unrealistic about it, is written in docs/fills.md.
``backtest.requests`` meets what we send.
"""

from numba import njit

from backtest.columns import (
    ALIGNED_TS,
    EVENT_PRICE,
    EVENT_QTY,
    FLAGS,
    INGEST_TS,
    KIND,
    SIDE,
    UPDATE_ID,
    aligned_at,
    event_at,
)
from backtest.orders import (
    CAUSE,
    CLOCK,
    CROSSED_BOOK,
    META,
    NEXT_ARRIVAL,
    ORDERS,
    OWED,
    POWERS,
    QUEUE_MODEL,
    REPORT_COUNT,
    REPORTS,
    RESTING,
    RESTING_COUNT,
    RESYNCED,
    WHOLE,
    drop_filled,
    fill,
    reaches,
)
from backtest.queue import front_after_depth, lots_through
from backtest.requests import deliver
from market.book import RESYNCS, VALID, apply, quantity, row_of, set_level
from market.borrowing import BORROWING
from market.events import LAST, LEVEL, NO_SIDE, TRADE


@njit(**BORROWING)
def _print(state, event):
    """A trade: its quantity goes once through the queue of the side that it hit, ours in their turn.

    Passed over: orders that came to their place after the venue printed it, whenever we heard of it.
    """
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    row, price = row_of(-event[SIDE]), event[EVENT_PRICE]
    left, ahead, filled = float(event[EVENT_QTY]), 0.0, False  # lots not yet used; displayed lots used up at this price
    for place in range(meta[RESTING_COUNT + row]):
        order = orders[resting[row, place]]
        if not reaches(-order.side, price, order.price):
            break
        if order.stands_since > event[ALIGNED_TS]:
            continue
        if order.price != price:
            order.front = 0.0
        else:
            used = min(left, max(order.front - ahead, 0.0))
            ahead += used
            left -= used
            order.front = max(order.front - ahead, 0.0)
            order.traded += event[EVENT_QTY]
        lots = min(lots_through(left), order.leaves)
        if order.front == 0.0 and lots > 0:
            left -= lots
            filled = True
            fill(state, order, order.price, lots, 1, (meta[CLOCK], order.ack_ns, event[INGEST_TS]))
    if filled:
        drop_filled(state, row)


@njit(**BORROWING)
def _mark_level(state, event):
    """A level set to the lots that it showed before has been refilled: what was printed there is in it."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    row = row_of(event[SIDE])
    for place in range(meta[RESTING_COUNT + row]):
        order = orders[resting[row, place]]
        if order.price == event[EVENT_PRICE] and order.shown == event[EVENT_QTY]:
            order.traded = 0


@njit(**BORROWING)
def _follow_depth(state):
    """Bring every resting order's queue in line with the depth that the whole book shows."""
    head, orders, resting, meta = state[2], state[ORDERS], state[RESTING], state[META]
    book = (state[0], state[1], state[2])
    queue = (meta[QUEUE_MODEL], state[POWERS][0])
    resynced = head[RESYNCS] != meta[RESYNCED]
    meta[RESYNCED] = head[RESYNCS]
    for row in range(2):
        for place in range(meta[RESTING_COUNT + row]):
            order = orders[resting[row, place]]
            displayed = quantity(book, row, order.price)
            if resynced:
                order.front = min(order.front, float(displayed))
            elif displayed != order.shown:
                order.front = front_after_depth(queue, order.front, order.shown, displayed, order.traded)
            else:
                continue
            order.shown, order.traded = displayed, 0


@njit(**BORROWING)
def _consume(state, order):
    """Take displayed lots of the other side that the order's limit reaches out of the book; returns how many."""
    book = (state[0], state[1], state[2])
    other, lots = 1 - row_of(order.side), 0
    while lots < order.leaves and book[2][other] != 0 and reaches(order.side, order.price, book[2][other]):
        price = book[2][other]
        displayed = quantity(book, other, price)
        used = min(order.leaves - lots, displayed)
        set_level(book, other, price, displayed - used)
        lots += used
    return lots


@njit(**BORROWING)
def _cross(state, event):
    """A whole book that reaches resting orders without a print: they get what crosses them, at their own price."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    for row in range(2):
        filled = False
        for place in range(meta[RESTING_COUNT + row]):
            order = orders[resting[row, place]]
            if order.stands_since > event[ALIGNED_TS]:
                continue
            lots = _consume(state, order)
            if lots > 0:
                filled = True
                fill(state, order, order.price, lots, 1, (meta[CLOCK], order.ack_ns, event[INGEST_TS]))
        if filled:
            drop_filled(state, row)


@njit(**BORROWING)
def _has_room(state):
    """Whether one event may fill every resting order."""
    meta = state[META]
    return state[REPORTS].size - meta[REPORT_COUNT] >= meta[RESTING_COUNT] + meta[RESTING_COUNT + 1]


@njit(**BORROWING, forceinline=True)
def _meet(state, event):
    """One event changes the book, or prints; a closed book fills nobody."""
    head, meta = state[2], state[META]
    meta[CLOCK] = max(meta[CLOCK], event[ALIGNED_TS])
    resting = meta[RESTING_COUNT] + meta[RESTING_COUNT + 1] > 0
    if event[KIND] != TRADE:
        book = (state[0], state[1], state[2])
        apply(book, event[KIND], event[SIDE], event[EVENT_PRICE], event[EVENT_QTY], event[UPDATE_ID], event[FLAGS])
        if resting and event[KIND] == LEVEL:
            _mark_level(state, event)
    elif resting and head[VALID] != 0 and event[SIDE] != NO_SIDE:
        _print(state, event)
    meta[WHOLE] = 1 if event[FLAGS] & LAST else 0
    if resting and meta[WHOLE] != 0 and head[VALID] != 0:
        _follow_depth(state)
        if meta[CROSSED_BOOK] != 0:
            _cross(state, event)


@njit(**BORROWING)
def follow_trace(state, tape, start):
    """Take events in the order received: after each whole message, requests that have arrived meet the book.

    Returns the first event not taken; stops early where reports ran out of room, OWED telling whether requests wait.
    """
    meta = state[META]
    if meta[OWED] != 0 and not deliver(state, meta[CLOCK], meta[CAUSE]):
        return start
    meta[OWED] = 0
    for i in range(start, tape[0].size):
        if not _has_room(state):
            return i
        _meet(state, event_at(tape, i))
        if meta[WHOLE] != 0:
            meta[CAUSE] = tape[INGEST_TS][i]
            if meta[NEXT_ARRIVAL] <= meta[CLOCK] and not deliver(state, meta[CLOCK], meta[CAUSE]):
                meta[OWED] = 1
                return i + 1
    return tape[0].size


@njit(**BORROWING)
def follow_aligned(state, tape, start, until):
    """Take events up to ``until`` in the order of aligned_ts: a request meets the state in force when it arrives.

    Returns the first event not taken. Stops early, with OWED set, where reports ran out of room.
    """
    meta, i = state[META], start
    meta[OWED] = 1
    while i < tape[0].size and aligned_at(tape, i) <= until:
        before = aligned_at(tape, i) - 1
        if not _has_room(state):
            return i
        if meta[NEXT_ARRIVAL] <= before and meta[WHOLE] != 0 and not deliver(state, before, 0):
            return i
        _meet(state, event_at(tape, i))
        i += 1
    if meta[WHOLE] != 0 and not deliver(state, until, 0):
        return i
    meta[CLOCK] = max(meta[CLOCK], until)
    meta[OWED] = 0
    return i
