"""The matching kernel: the venue's book and our orders in it, one compiled state machine for every way of trading.

What fills an order, and what is unrealistic about it, is written in docs/fills.md.
"""

import numpy as np
from numba import njit

from backtest.orders import (
    CANCEL,
    CAUSE,
    CLOCK,
    META,
    ORDERS,
    OWED,
    QUEUE_MODEL,
    REPORT_COUNT,
    REPORTS,
    REQUEST_COUNT,
    REQUESTS,
    RESTING,
    RESTING_COUNT,
    WHOLE,
    drop_filled,
    fill,
    finish,
    reaches,
    report,
    rest,
)
from backtest.queue import front_after_depth, front_after_print
from market.book import VALID, apply, next_level, quantity, row_of, set_level
from market.events import LAST, NO_SIDE, TRADE
from market.orders import (
    ACKED,
    ALREADY_DONE,
    BOOK_CLOSED,
    CANCEL_REJECTED,
    CANCELLED,
    EXPIRED,
    FOK,
    FOK_SHORT,
    GTC,
    IN_FLIGHT,
    LIVE,
    NO_REASON,
    NOT_FILLED,
    ORDER,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    PENDING_CANCEL,
    POST_ONLY,
    REJECTED,
    SELF_CROSS,
    UNKNOWN_ORDER,
    WOULD_CROSS,
)


@njit(cache=True)
def _within_reach(state, order):
    """Displayed lots that the order could take, counted no further than it needs, and the levels that hold them."""
    book = (state[0], state[1], state[2])
    other = 1 - row_of(order.side)
    lots, levels, price = 0, 0, book[2][other]
    while price != 0 and lots < order.leaves and reaches(order.side, order.price, price):
        lots += quantity(book, other, price)
        levels += 1
        price = next_level(book, other, price)
    return lots, levels


@njit(cache=True)
def _take(state, order, now):
    """Walk the other side; what is taken is gone from the venue's book until the feed sets that level again."""
    book = (state[0], state[1], state[2])
    other = 1 - row_of(order.side)
    while order.leaves > 0:
        price = book[2][other]
        if price == 0 or not reaches(order.side, order.price, price):
            return
        displayed = quantity(book, other, price)
        lots = min(order.leaves, displayed)
        set_level(book, other, price, displayed - lots)
        fill(state, order, price, lots, 0, now)


@njit(cache=True)
def _refusal(state, order):
    """Why the venue does not take an order on, NO_REASON if it does."""
    head, orders, resting, meta = state[2], state[ORDERS], state[RESTING], state[META]
    if order.reason != NO_REASON:
        return order.reason
    if head[VALID] == 0:
        return BOOK_CLOSED
    other = 1 - row_of(order.side)
    if meta[RESTING_COUNT + other] > 0 and reaches(order.side, order.price, orders[resting[other, 0]].price):
        return SELF_CROSS
    if order.tif == POST_ONLY and head[other] != 0 and reaches(order.side, order.price, head[other]):
        return WOULD_CROSS
    return NO_REASON


@njit(cache=True)
def _accept(state, slot, now):
    """An order meets the book."""
    order = state[ORDERS][slot]
    reason = _refusal(state, order)
    if reason != NO_REASON:
        finish(state, order, REJECTED, ORDER_REJECTED, reason, now)
        return
    order.accepted_ts = now[0]
    order.status = LIVE if order.cancel_ts == 0 else PENDING_CANCEL
    report(state, order, ACKED, NO_REASON, order.price, order.qty, 0, now)
    if order.tif == FOK and _within_reach(state, order)[0] < order.leaves:
        finish(state, order, EXPIRED, ORDER_EXPIRED, FOK_SHORT, now)
        return
    _take(state, order, now)
    if order.leaves == 0:
        return
    if order.tif == GTC or order.tif == POST_ONLY:
        rest(state, slot)
    else:
        finish(state, order, EXPIRED, ORDER_EXPIRED, NOT_FILLED, now)


@njit(cache=True)
def _cancel(state, slot, order_id, now):
    """A cancel meets the book: the order ends, or was gone before."""
    if slot >= 0:
        state[ORDERS][slot].cancel_ts = 0
    if slot < 0 or state[ORDERS][slot].status == IN_FLIGHT:
        stranger = np.zeros(1, ORDER)[0]
        stranger.order_id = order_id
        report(state, stranger, CANCEL_REJECTED, UNKNOWN_ORDER, 0, 0, 0, now)
        return
    order = state[ORDERS][slot]
    if order.leaves == 0:
        report(state, order, CANCEL_REJECTED, ALREADY_DONE, order.price, 0, 0, now)
        return
    finish(state, order, CANCELLED, ORDER_CANCELLED, NO_REASON, now)
    drop_filled(state, row_of(order.side))


@njit(cache=True)
def _next_request(state, until):
    """Place of the request that arrives first, the earlier sent of two at once; -1 if none arrives by ``until``."""
    requests, meta = state[REQUESTS], state[META]
    first = -1
    for place in range(meta[REQUEST_COUNT]):
        if requests[place, 3] <= until and (first < 0 or requests[place, 3] < requests[first, 3]):
            first = place
    return first


@njit(cache=True)
def _room_needed(state, verb, slot):
    """Reports that a request may cause."""
    if verb == CANCEL:
        return 1
    order = state[ORDERS][slot]
    return 2 + _within_reach(state, order)[1] if order.reason == NO_REASON else 1


@njit(cache=True)
def _deliver(state, until, cause_ts):
    """Let every request that has arrived by ``until`` meet the book as it is; False where reports ran out of room."""
    requests, reports, meta = state[REQUESTS], state[REPORTS], state[META]
    while True:
        place = _next_request(state, until)
        if place < 0:
            return True
        verb, slot, arrival_ts = requests[place, 0], requests[place, 1], requests[place, 3]
        if reports.size - meta[REPORT_COUNT] < _room_needed(state, verb, slot):
            return False
        now = (max(arrival_ts, meta[CLOCK]), cause_ts)
        if verb == CANCEL:
            _cancel(state, slot, requests[place, 2], now)
        else:
            _accept(state, slot, now)
        meta[REQUEST_COUNT] -= 1
        for later in range(place, meta[REQUEST_COUNT]):
            requests[later, :] = requests[later + 1, :]


@njit(cache=True)
def _print(state, event):
    """A trade: its quantity goes once through the queue of the side that it hit, ours in their turn.

    Passed over: orders that arrived after the venue printed it, whenever we heard of it.
    """
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    row = row_of(-event.side)
    printed_ts = event.ingest_ts - event.delay_ns
    now = (meta[CLOCK], event.ingest_ts)
    left, ahead = event.qty, 0  # lots not yet used; displayed lots at this price used up
    for place in range(meta[RESTING_COUNT + row]):
        order = orders[resting[row, place]]
        if not reaches(-order.side, event.price, order.price):
            break
        if order.arrival_ts > printed_ts:
            continue
        if order.price != event.price:
            order.front = 0
        else:
            used = min(left, max(order.front - ahead, 0))
            ahead += used
            left -= used
            order.front = front_after_print(meta[QUEUE_MODEL], order.front, ahead)
        lots = min(left, order.leaves)
        if order.front == 0 and lots > 0:
            left -= lots
            fill(state, order, order.price, lots, 1, now)
    drop_filled(state, row)


@njit(cache=True)
def _follow_depth(state):
    """Bring every resting order's queue in line with the depth that the whole book shows."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    book = (state[0], state[1], state[2])
    for row in range(2):
        for place in range(meta[RESTING_COUNT + row]):
            order = orders[resting[row, place]]
            displayed = quantity(book, row, order.price)
            order.front = front_after_depth(meta[QUEUE_MODEL], order.front, displayed)


@njit(cache=True)
def _meet(state, event):
    """One event changes the book, or prints; a closed book fills nobody."""
    head, meta = state[2], state[META]
    meta[CLOCK] = max(meta[CLOCK], event.ingest_ts - event.delay_ns)
    if event.kind != TRADE:
        book = (state[0], state[1], state[2])
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
    elif head[VALID] != 0 and event.side != NO_SIDE:
        _print(state, event)
    meta[WHOLE] = 1 if event.flags & LAST else 0
    if meta[WHOLE] != 0 and head[VALID] != 0:
        _follow_depth(state)


@njit(cache=True)
def _has_room(state):
    """Whether one trade may fill every resting order."""
    meta = state[META]
    return state[REPORTS].size - meta[REPORT_COUNT] >= meta[RESTING_COUNT] + meta[RESTING_COUNT + 1]


@njit(cache=True)
def follow_trace(state, events, start):
    """Take events in the order received: after each whole message, requests that have arrived meet the book.

    Returns the first event not taken; stops early where reports ran out of room, OWED telling whether requests wait.
    """
    meta = state[META]
    if meta[OWED] != 0 and not _deliver(state, meta[CLOCK], meta[CAUSE]):
        return start
    meta[OWED] = 0
    for i in range(start, events.size):
        if not _has_room(state):
            return i
        _meet(state, events[i])
        if meta[WHOLE] != 0:
            meta[CAUSE] = events[i].ingest_ts
            if not _deliver(state, meta[CLOCK], meta[CAUSE]):
                meta[OWED] = 1
                return i + 1
    return events.size


@njit(cache=True)
def follow_aligned(state, events, start, until):
    """Take events in the order of aligned_ts: a request meets the state in force when it arrives.

    Returns the first event not taken. Stops early, with OWED set, where reports ran out of room.
    """
    meta = state[META]
    meta[OWED] = 1
    for i in range(start, events.size):
        before = events[i].ingest_ts - events[i].delay_ns - 1
        if not _has_room(state) or (meta[WHOLE] != 0 and not _deliver(state, before, 0)):
            return i
        _meet(state, events[i])
    if meta[WHOLE] != 0 and not _deliver(state, until, 0):
        return events.size
    meta[CLOCK] = max(meta[CLOCK], until)
    meta[OWED] = 0
    return events.size
