"""What the venue does with what we send: orders, cancels and changes are met, refused, lost or left unanswered."""

from numba import njit

from backtest.orders import (
    ACK_NS,
    ARRIVAL,
    CANCEL,
    CANCELS_LATE,
    CANCELS_MET,
    CANCELS_REFUSED,
    CANCELS_UNANSWERED,
    CLOCK,
    FATE,
    FORGOTTEN,
    LOST,
    META,
    MODIFY,
    NEVER,
    NEXT_ARRIVAL,
    ORDER_ID,
    ORDERS,
    ORDERS_MET,
    ORDERS_REFUSED,
    PLACE,
    PRICE,
    QTY,
    RECONCILE,
    REFUSED,
    REPORT_COUNT,
    REPORTS,
    REQUEST_COUNT,
    REQUEST_SIZE,
    REQUESTS,
    RESTING,
    RESTING_COUNT,
    SLOT,
    VERB,
    fill,
    finish,
    leave,
    reaches,
    report,
    rest,
    standing,
    tell,
)
from market.book import VALID, next_level, quantity, row_of, set_level
from market.borrowing import BORROWING
from market.orders import (
    ACKED,
    ALREADY_DONE,
    BAD_PRICE,
    BAD_QTY,
    BOOK_CLOSED,
    CANCEL_REJECTED,
    CANCELLED,
    EXPIRED,
    FOK,
    FOK_SHORT,
    GTC,
    IN_FLIGHT,
    LARGEST,
    MODIFIED,
    MODIFY_REJECTED,
    NO_ANSWER,
    NO_REASON,
    NOT_FILLED,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    POST_ONLY,
    REJECTED,
    SELF_CROSS,
    UNKNOWN_ORDER,
    VENUE_REFUSED,
    WOULD_CROSS,
)


@njit(**BORROWING)
def _within_reach(state, side, limit, wanted):
    """Displayed lots that an order could take, counted no further than it needs, and the levels that hold them."""
    book = (state[0], state[1], state[2])
    other = 1 - row_of(side)
    lots, levels, price = 0, 0, book[2][other]
    while price != 0 and lots < wanted and reaches(side, limit, price):
        lots += quantity(book, other, price)
        levels += 1
        price = next_level(book, other, price)
    return lots, levels


@njit(**BORROWING)
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


@njit(**BORROWING)
def _refusal(state, side, price, tif):
    """Why the book does not take a limit on, NO_REASON if it does."""
    head, orders, resting, meta = state[2], state[ORDERS], state[RESTING], state[META]
    if head[VALID] == 0:
        return BOOK_CLOSED
    other = 1 - row_of(side)
    if meta[RESTING_COUNT + other] > 0 and reaches(side, price, orders[resting[other, 0]].price):
        return SELF_CROSS
    if tif == POST_ONLY and head[other] != 0 and reaches(side, price, head[other]):
        return WOULD_CROSS
    return NO_REASON


@njit(**BORROWING)
def _trade_and_rest(state, slot, now):
    """Take what the limit reaches; what is left rests."""
    order = state[ORDERS][slot]
    _take(state, order, now)
    if order.leaves > 0:
        rest(state, slot)


@njit(**BORROWING)
def _accept(state, slot, now):
    """An order meets the book."""
    order, meta = state[ORDERS][slot], state[META]
    meta[ORDERS_MET] += 1
    meta[ORDERS_REFUSED] += order.reason == VENUE_REFUSED
    reason = order.reason
    if reason == NO_REASON:
        reason = _refusal(state, order.side, order.price, order.tif)
    if reason != NO_REASON:
        finish(state, order, REJECTED, ORDER_REJECTED, reason, now)
        return
    order.accepted_ts = now[0]
    order.status = standing(order)
    tell(state, order, ACKED, NO_REASON, order.qty, now)
    if order.tif == FOK and _within_reach(state, order.side, order.price, order.leaves)[0] < order.leaves:
        finish(state, order, EXPIRED, ORDER_EXPIRED, FOK_SHORT, now)
    elif order.tif == GTC or order.tif == POST_ONLY:
        _trade_and_rest(state, slot, now)
    else:
        _take(state, order, now)
        if order.leaves > 0:
            finish(state, order, EXPIRED, ORDER_EXPIRED, NOT_FILLED, now)


@njit(**BORROWING)
def _stands(state, slot, order_id, kind, now):
    """Whether the order is there to be changed; otherwise a report of ``kind`` says why it is not."""
    if slot < 0 or state[ORDERS][slot].status == IN_FLIGHT:
        dropped = slot < 0 and 0 < order_id <= state[META][FORGOTTEN]
        report(state, order_id, kind, ALREADY_DONE if dropped else UNKNOWN_ORDER, now)
        return False
    order = state[ORDERS][slot]
    if order.order_id != order_id:  # its row was given to a later order
        report(state, order_id, kind, ALREADY_DONE, now)
        return False
    if order.leaves == 0:
        tell(state, order, kind, ALREADY_DONE, 0, now)
        return False
    return True


@njit(**BORROWING)
def _cancel(state, slot, order_id, fate, now):
    """A cancel meets the book: the order ends, or was gone before; or the venue refuses, or never hears of it."""
    meta = state[META]
    meta[CANCELS_MET] += 1
    known = slot >= 0 and state[ORDERS][slot].order_id == order_id
    if known:
        state[ORDERS][slot].cancel_ts = 0
    if fate == LOST:
        meta[CANCELS_UNANSWERED] += 1
        if known and state[ORDERS][slot].leaves > 0:
            _leave_unanswered(state[ORDERS][slot])
        return
    if not _stands(state, slot, order_id, CANCEL_REJECTED, now):
        meta[CANCELS_LATE] += 1
        return
    order = state[ORDERS][slot]
    if fate == REFUSED:
        meta[CANCELS_REFUSED] += 1
        order.status = standing(order)
        tell(state, order, CANCEL_REJECTED, VENUE_REFUSED, 0, now)
        return
    finish(state, order, CANCELLED, ORDER_CANCELLED, NO_REASON, now)
    leave(state, row_of(order.side), slot)


@njit(**BORROWING)
def _leave_unanswered(order):
    order.unanswered += 1
    if order.status != IN_FLIGHT:
        order.status = standing(order)


@njit(**BORROWING)
def _reconcile(state, slot, order_id, now):
    """We look at the venue, and find the order of a lost cancel as it is."""
    if slot >= 0 and state[ORDERS][slot].order_id == order_id:
        state[ORDERS][slot].unanswered = max(state[ORDERS][slot].unanswered - 1, 0)
    if _stands(state, slot, order_id, CANCEL_REJECTED, now):
        order = state[ORDERS][slot]
        order.status = standing(order)
        tell(state, order, CANCEL_REJECTED, NO_ANSWER, 0, now)


@njit(**BORROWING)
def _modify(state, slot, request, now):
    """A new price and total quantity meet the book: less of it at the same price keeps the place, all else loses it."""
    known = slot >= 0 and state[ORDERS][slot].order_id == request[ORDER_ID]
    if known:
        state[ORDERS][slot].modify_ts = 0
    if not _stands(state, slot, request[ORDER_ID], MODIFY_REJECTED, now):
        return
    order = state[ORDERS][slot]
    price, qty, filled = request[PRICE], request[QTY], order.qty - order.leaves
    keeps_place = price == order.price and qty <= order.qty
    reason = _flaw(price, qty)
    if reason == NO_REASON and not keeps_place:
        reason = _refusal(state, order.side, price, order.tif)
    if (reason == NO_REASON and qty <= filled) or reason == WOULD_CROSS:
        finish(state, order, CANCELLED, ORDER_CANCELLED, reason, now)
        leave(state, row_of(order.side), slot)
        return
    if reason != NO_REASON:
        order.status = standing(order)
        tell(state, order, MODIFY_REJECTED, reason, 0, now)
        return
    order.price, order.qty, order.leaves = price, qty, qty - filled
    order.status = standing(order)
    tell(state, order, MODIFIED, NO_REASON, qty, now)
    if not keeps_place:
        order.stands_since = request[ARRIVAL]
        leave(state, row_of(order.side), slot)
        _trade_and_rest(state, slot, now)


@njit(**BORROWING)
def _flaw(price, qty):
    """What is wrong with a price in ticks or a quantity in lots."""
    if not 1 <= price <= LARGEST:
        return BAD_PRICE
    return NO_REASON if 1 <= qty <= LARGEST else BAD_QTY


@njit(**BORROWING)
def _next_request(state, until):
    """Place of the request that arrives first, the earlier sent of two at once; -1 if none arrives by ``until``."""
    requests, meta = state[REQUESTS], state[META]
    first = -1
    for place in range(meta[REQUEST_COUNT]):
        if requests[place, ARRIVAL] <= until and (first < 0 or requests[place, ARRIVAL] < requests[first, ARRIVAL]):
            first = place
    return first


@njit(**BORROWING)
def _reports_needed(state, request):
    """Reports that a request may cause, at most."""
    slot = request[SLOT]
    if slot < 0 or request[VERB] == CANCEL or request[VERB] == RECONCILE:
        return 1
    order = state[ORDERS][slot]
    if order.reason != NO_REASON:
        return 1
    if request[VERB] == MODIFY:
        return 2 + _within_reach(state, order.side, request[PRICE], request[QTY])[1]
    return 2 + _within_reach(state, order.side, order.price, order.leaves)[1]


@njit(**BORROWING)
def _take_out(state, place):
    """Remove a request, the others keep their turn."""
    requests, meta = state[REQUESTS], state[META]
    meta[REQUEST_COUNT] -= 1
    meta[NEXT_ARRIVAL] = NEVER
    for row in range(meta[REQUEST_COUNT]):
        if row >= place:
            for column in range(REQUEST_SIZE):
                requests[row, column] = requests[row + 1, column]
        meta[NEXT_ARRIVAL] = min(meta[NEXT_ARRIVAL], requests[row, ARRIVAL])


@njit(**BORROWING)
def deliver(state, until, cause_ts):
    """Let every request that has arrived by ``until`` meet the book as it is; False where reports ran out of room."""
    requests, reports, meta = state[REQUESTS], state[REPORTS], state[META]
    while meta[NEXT_ARRIVAL] <= until:
        place = _next_request(state, until)
        request = requests[place]
        if reports.size - meta[REPORT_COUNT] < _reports_needed(state, request):
            return False
        verb, slot = request[VERB], request[SLOT]
        now = (max(request[ARRIVAL], meta[CLOCK]), request[ACK_NS], cause_ts)
        if verb == PLACE:
            _accept(state, slot, now)
        elif verb == CANCEL:
            _cancel(state, slot, request[ORDER_ID], request[FATE], now)
        elif verb == MODIFY:
            _modify(state, slot, request, now)
        else:
            _reconcile(state, slot, request[ORDER_ID], now)
        _take_out(state, place)
    return True
