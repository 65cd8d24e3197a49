"""The matching kernel: the venue's book and our orders in it, one compiled state machine for every way of trading.

The state is the tuple that ``new_state`` returns; every function takes it whole and changes it in place. What fills
an order, and what is unrealistic about it, is written in docs/fills.md.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.latency import visible
from backtest.queue import front_after_depth, front_after_print, front_on_acceptance
from market.book import VALID, apply, new_book, next_level, quantity, row_of, set_level
from market.events import BUY, LAST, NO_SIDE, TRADE
from market.orders import (
    ACKED,
    ALREADY_DONE,
    BOOK_CLOSED,
    CANCEL_REJECTED,
    CANCELLED,
    EXPIRED,
    FILL,
    FILLED,
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
    PARTIAL,
    PENDING_CANCEL,
    POST_ONLY,
    REJECTED,
    REPORT,
    SELF_CROSS,
    UNKNOWN_ORDER,
    WOULD_CROSS,
)

# places in the state
ORDERS: Final = 3  # after the three arrays of the book
RESTING: Final = 4  # rows of orders that rest: a side each, best price first, then first come
REQUESTS: Final = 5  # orders and cancels under way: verb, row in orders (-1: none), order id, arrival
REPORTS: Final = 6  # those not yet handed out
META: Final = 7

# places in meta
QUEUE_MODEL: Final = 0
ENTRY_NS: Final = 1
ACK_NS: Final = 2
CLOCK: Final = 3  # the venue's: running maximum of aligned_ts
CAUSE: Final = 4  # ingest_ts of the newest whole message
WHOLE: Final = 5  # 1: no message is half applied
OWED: Final = 6  # 1: requests that meet this state wait for room in reports
ORDER_COUNT: Final = 7
RESTING_COUNT: Final = 8  # bids; asks at RESTING_COUNT + 1
REQUEST_COUNT: Final = 10
REPORT_COUNT: Final = 11
NEXT_REPORT: Final = 12
META_SIZE: Final = 13

PLACE: Final = 0
CANCEL: Final = 1

_ROOM: Final = 256  # rows to begin with

State = tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.void],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.void],
    NDArray[np.int64],
]


def new_state(queue_code: int, entry_ns: int, ack_ns: int) -> State:
    """An empty venue with a closed book; latency legs in ns."""
    meta = np.zeros(META_SIZE, np.int64)
    meta[QUEUE_MODEL], meta[ENTRY_NS], meta[ACK_NS], meta[WHOLE] = queue_code, entry_ns, ack_ns, 1
    ladder, spill, head = new_book()
    orders, reports = np.zeros(_ROOM, ORDER), np.zeros(_ROOM, REPORT)
    return (
        ladder,
        spill,
        head,
        orders,
        np.zeros((2, _ROOM), np.int64),
        np.zeros((_ROOM, 4), np.int64),
        reports,
        meta,
    )


@njit(cache=True)
def _reaches(side, limit, price):
    return price <= limit if side == BUY else price >= limit


@njit(cache=True)
def _report(state, order, kind, reason, price, qty, maker, now):
    """Append one report; ``now`` is (venue_ts, ingest_ts of the event that caused it, or 0)."""
    reports, meta = state[REPORTS], state[META]
    report = reports[meta[REPORT_COUNT]]
    report.report_id = meta[NEXT_REPORT]
    report.order_id = order.order_id
    report.price = price
    report.qty = qty
    report.leaves = order.leaves
    report.venue_ts = now[0]
    report.visible_ts = visible(now[0], meta[ACK_NS], now[1])
    report.kind = kind
    report.reason = reason
    report.side = order.side
    report.maker = maker
    meta[REPORT_COUNT] += 1
    meta[NEXT_REPORT] += 1


@njit(cache=True)
def _finish(state, order, status, kind, reason, now):
    """End an order that still has quantity open."""
    open_lots = order.leaves
    order.leaves = 0
    order.status = status
    order.reason = reason
    _report(state, order, kind, reason, order.price, open_lots, 0, now)


@njit(cache=True)
def _fill(state, order, price, lots, maker, now):
    order.leaves -= lots
    if order.leaves == 0:
        order.status = FILLED
    elif order.status == LIVE:
        order.status = PARTIAL
    _report(state, order, FILL, NO_REASON, price, lots, maker, now)


@njit(cache=True)
def _rest(state, slot):
    """Queue an order behind the displayed quantity and our own earlier orders at its price."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    order = orders[slot]
    row = row_of(order.side)
    displayed = quantity((state[0], state[1], state[2]), row, order.price)
    order.front = front_on_acceptance(meta[QUEUE_MODEL], displayed)
    place = meta[RESTING_COUNT + row]
    while place > 0 and not _reaches(order.side, orders[resting[row, place - 1]].price, order.price):
        place -= 1
    for behind in range(meta[RESTING_COUNT + row], place, -1):
        resting[row, behind] = resting[row, behind - 1]
    resting[row, place] = slot
    meta[RESTING_COUNT + row] += 1


@njit(cache=True)
def _drop_filled(state, row):
    """Take orders that no longer rest out of the queue, the others keep their turn."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    kept = 0
    for place in range(meta[RESTING_COUNT + row]):
        slot = resting[row, place]
        if orders[slot].leaves > 0:
            resting[row, kept] = slot
            kept += 1
    meta[RESTING_COUNT + row] = kept


@njit(cache=True)
def _within_reach(state, order):
    """Displayed lots that the order could take, counted no further than it needs, and the levels that hold them."""
    book = (state[0], state[1], state[2])
    other = 1 - row_of(order.side)
    lots, levels, price = 0, 0, book[2][other]
    while price != 0 and lots < order.leaves and _reaches(order.side, order.price, price):
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
        if price == 0 or not _reaches(order.side, order.price, price):
            return
        displayed = quantity(book, other, price)
        lots = min(order.leaves, displayed)
        set_level(book, other, price, displayed - lots)
        _fill(state, order, price, lots, 0, now)


@njit(cache=True)
def _refusal(state, order):
    """Why the venue does not take an order on, NO_REASON if it does."""
    head, orders, resting, meta = state[2], state[ORDERS], state[RESTING], state[META]
    if order.reason != NO_REASON:
        return order.reason
    if head[VALID] == 0:
        return BOOK_CLOSED
    other = 1 - row_of(order.side)
    if meta[RESTING_COUNT + other] > 0 and _reaches(order.side, order.price, orders[resting[other, 0]].price):
        return SELF_CROSS
    if order.tif == POST_ONLY and head[other] != 0 and _reaches(order.side, order.price, head[other]):
        return WOULD_CROSS
    return NO_REASON


@njit(cache=True)
def _accept(state, slot, now):
    """An order meets the book."""
    order = state[ORDERS][slot]
    reason = _refusal(state, order)
    if reason != NO_REASON:
        _finish(state, order, REJECTED, ORDER_REJECTED, reason, now)
        return
    order.accepted_ts = now[0]
    order.status = LIVE if order.cancel_ts == 0 else PENDING_CANCEL
    _report(state, order, ACKED, NO_REASON, order.price, order.qty, 0, now)
    if order.tif == FOK and _within_reach(state, order)[0] < order.leaves:
        _finish(state, order, EXPIRED, ORDER_EXPIRED, FOK_SHORT, now)
        return
    _take(state, order, now)
    if order.leaves == 0:
        return
    if order.tif == GTC or order.tif == POST_ONLY:
        _rest(state, slot)
    else:
        _finish(state, order, EXPIRED, ORDER_EXPIRED, NOT_FILLED, now)


@njit(cache=True)
def _cancel(state, slot, order_id, now):
    """A cancel meets the book: the order ends, or was gone before."""
    if slot >= 0:
        state[ORDERS][slot].cancel_ts = 0
    if slot < 0 or state[ORDERS][slot].status == IN_FLIGHT:
        stranger = np.zeros(1, ORDER)[0]
        stranger.order_id = order_id
        _report(state, stranger, CANCEL_REJECTED, UNKNOWN_ORDER, 0, 0, 0, now)
        return
    order = state[ORDERS][slot]
    if order.leaves == 0:
        _report(state, order, CANCEL_REJECTED, ALREADY_DONE, order.price, 0, 0, now)
        return
    _finish(state, order, CANCELLED, ORDER_CANCELLED, NO_REASON, now)
    _drop_filled(state, row_of(order.side))


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
        if not _reaches(-order.side, event.price, order.price):
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
            _fill(state, order, order.price, lots, 1, now)
    _drop_filled(state, row)


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
