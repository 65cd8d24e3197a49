"""What becomes of our orders: the state that the matching kernel works on, and the few things that can happen in it.

The state is the tuple that ``new_state`` returns; every function takes it whole and changes it in place.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.latency import visible
from backtest.queue import front_on_acceptance
from market.book import RESYNCS, new_book, quantity, row_of
from market.borrowing import BORROWING
from market.events import BUY
from market.orders import (
    FILL,
    FILLED,
    IN_FLIGHT,
    LIVE,
    NO_REASON,
    ORDER,
    PARTIAL,
    PENDING_CANCEL,
    PENDING_MODIFY,
    REPORT,
    UNKNOWN,
)

# places in the state
ORDERS: Final = 3  # after the three arrays of the book
RESTING: Final = 4  # rows of orders that rest: a side each, best price first, then first come
REQUESTS: Final = 5  # what is under way to the venue; columns below
REPORTS: Final = 6  # those not yet handed out
META: Final = 7
POWERS: Final = 8  # of the queue model, float64

# places in meta
QUEUE_MODEL: Final = 0
CROSSED_BOOK: Final = 1
CLOCK: Final = 2  # the venue's: running maximum of aligned_ts
CAUSE: Final = 3  # ingest_ts of the newest whole message
WHOLE: Final = 4  # 1: no message is half applied
OWED: Final = 5  # 1: requests that meet this state wait for room in reports
RESYNCED: Final = 6  # snapshots of the book when queues were last judged
NEXT_ARRIVAL: Final = 7  # of all requests under way
ORDER_COUNT: Final = 8
RESTING_COUNT: Final = 9  # bids; asks at RESTING_COUNT + 1
REQUEST_COUNT: Final = 11
REPORT_COUNT: Final = 12
NEXT_REPORT: Final = 13
TALLY: Final = 14  # from here on what has happened, in the order of TALLIES
TALLIES: Final = ("orders", "orders_refused", "cancels", "cancels_late", "cancels_refused", "cancels_unanswered")
ORDERS_MET, ORDERS_REFUSED, CANCELS_MET, CANCELS_LATE, CANCELS_REFUSED, CANCELS_UNANSWERED = range(TALLY, TALLY + 6)
FORGOTTEN: Final = TALLY + len(TALLIES)  # the largest id of the orders that were dropped, 0: none was
META_SIZE: Final = FORGOTTEN + 1

# columns of a request
VERB: Final = 0
SLOT: Final = 1  # row in orders, -1: none
ORDER_ID: Final = 2
ARRIVAL: Final = 3
ACK_NS: Final = 4  # acknowledgement leg of its answer
FATE: Final = 5
PRICE: Final = 6  # of a modify
QTY: Final = 7
REQUEST_SIZE: Final = 8

# verbs of a request
PLACE: Final = 0
CANCEL: Final = 1
MODIFY: Final = 2
RECONCILE: Final = 3  # our look at the venue, after a cancel that stayed unanswered

# fates of a cancel
MET: Final = 0
REFUSED: Final = 1
LOST: Final = 2

NEVER: Final = 2**63 - 1
ROOM: Final = 256  # rows to begin with

State = tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.void],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.void],
    NDArray[np.int64],
    NDArray[np.float64],
]


def new_state(queue_code: int, queue_power: float, crossed_code: int) -> State:
    """An empty venue with a closed book."""
    meta = np.zeros(META_SIZE, np.int64)
    meta[QUEUE_MODEL], meta[CROSSED_BOOK], meta[WHOLE], meta[NEXT_ARRIVAL] = queue_code, crossed_code, 1, NEVER
    ladder, spill, head = new_book()
    return (
        ladder,
        spill,
        head,
        np.zeros(ROOM, ORDER),
        np.zeros((2, ROOM), np.int64),
        np.zeros((ROOM, REQUEST_SIZE), np.int64),
        np.zeros(ROOM, REPORT),
        meta,
        np.array([queue_power]),
    )


def without_done(state: State) -> State:
    """The state less the orders that are done, that nothing under way names and of which every report was handed out.

    Rows move up, ids stay; what the venue says afterwards is the same, as ids rise from order to order.
    """
    meta = state[META].copy()
    orders = state[ORDERS][: meta[ORDER_COUNT]]
    asked, waiting = state[REQUESTS][: meta[REQUEST_COUNT], SLOT], state[REPORTS][: meta[REPORT_COUNT]]["order_id"]
    kept = (orders["leaves"] > 0) | (orders["unanswered"] > 0) | np.isin(orders["order_id"], waiting)
    kept[asked[asked >= 0]] = True
    row = np.append(np.cumsum(kept) - 1, -1)  # by old row; -1 stays -1
    table = np.zeros(max(ROOM, 2 * int(kept.sum())), ORDER)
    table[: kept.sum()] = orders[kept]
    resting, requests = state[RESTING].copy(), state[REQUESTS].copy()
    for side in range(2):
        count = meta[RESTING_COUNT + side]
        resting[side, :count] = row[resting[side, :count]]
    requests[: asked.size, SLOT] = row[asked]
    meta[ORDER_COUNT] = kept.sum()
    meta[FORGOTTEN] = max(meta[FORGOTTEN], orders["order_id"][~kept].max(initial=0))
    return (*state[:ORDERS], table, resting, requests, state[REPORTS], meta, state[POWERS])


@njit(**BORROWING)
def reaches(side, limit, price):
    """Whether a limit of a buyer (seller) is at or above (below) a price."""
    return price <= limit if side == BUY else price >= limit


@njit(**BORROWING)
def enter(state, slot, wanted, times):
    """Write down an order that leaves us.

    wanted : order id, side, price, qty, time in force, reason why the venue will refuse it (or NO_REASON)
    times : sent, arrival, acknowledgement leg, ns
    """
    order = state[ORDERS][slot]
    order.order_id, order.side, order.price, order.qty, order.tif, order.reason = wanted
    order.sent_ts, order.arrival_ts, order.ack_ns = times
    order.stands_since = order.arrival_ts
    order.leaves, order.status = order.qty, IN_FLIGHT
    order.front, order.shown, order.traded, order.accepted_ts = 0.0, 0, 0, 0
    order.cancel_ts, order.modify_ts, order.requests, order.unanswered = 0, 0, 0, 0


@njit(**BORROWING)
def send(state, request):
    """Put a request under way; its values in the order of its columns."""
    requests, meta = state[REQUESTS], state[META]
    row = meta[REQUEST_COUNT]
    for column in range(REQUEST_SIZE):
        requests[row, column] = request[column]
    meta[REQUEST_COUNT] += 1
    meta[NEXT_ARRIVAL] = min(meta[NEXT_ARRIVAL], request[ARRIVAL])


@njit(**BORROWING)
def report(state, order_id, kind, reason, now):
    """Append one report of no quantity; ``now`` is (venue_ts, acknowledgement leg, ingest_ts of its cause, or 0)."""
    reports, meta = state[REPORTS], state[META]
    row = reports[meta[REPORT_COUNT]]
    row.report_id = meta[NEXT_REPORT]
    row.order_id = order_id
    row.price, row.qty, row.leaves, row.side, row.maker = 0, 0, 0, 0, 0
    row.venue_ts = now[0]
    row.visible_ts = visible(now[0], now[1], now[2])
    row.kind = kind
    row.reason = reason
    meta[REPORT_COUNT] += 1
    meta[NEXT_REPORT] += 1
    return row


@njit(**BORROWING)
def tell(state, order, kind, reason, qty, now):
    """Append one report on an order: ``qty`` lots of it, at its limit."""
    row = report(state, order.order_id, kind, reason, now)
    row.price, row.qty, row.leaves, row.side = order.price, qty, order.leaves, order.side


@njit(**BORROWING)
def standing(order):
    """Status of an order that is alive at the venue."""
    if order.cancel_ts != 0:
        return PENDING_CANCEL
    if order.unanswered > 0:
        return UNKNOWN
    if order.modify_ts != 0:
        return PENDING_MODIFY
    return PARTIAL if order.leaves < order.qty else LIVE


@njit(**BORROWING)
def finish(state, order, status, kind, reason, now):
    """End an order that still has quantity open."""
    open_lots = order.leaves
    order.leaves = 0
    order.status = status
    order.reason = reason
    tell(state, order, kind, reason, open_lots, now)


@njit(**BORROWING)
def fill(state, order, price, lots, maker, now):
    """Book one fill; a pending cancel stays pending."""
    order.leaves -= lots
    order.status = FILLED if order.leaves == 0 else standing(order)
    row = report(state, order.order_id, FILL, NO_REASON, now)
    row.price, row.qty, row.leaves, row.side, row.maker = price, lots, order.leaves, order.side, maker


@njit(**BORROWING)
def rest(state, slot):
    """Queue an order behind the displayed quantity and our own earlier orders at its price."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    order = orders[slot]
    row = row_of(order.side)
    order.shown = quantity((state[0], state[1], state[2]), row, order.price)
    order.front, order.traded = front_on_acceptance(meta[QUEUE_MODEL], order.shown), 0
    meta[RESYNCED] = state[2][RESYNCS]  # whoever rests has followed the book up to here
    place = meta[RESTING_COUNT + row]
    while place > 0 and not reaches(order.side, orders[resting[row, place - 1]].price, order.price):
        place -= 1
    for behind in range(meta[RESTING_COUNT + row], place, -1):
        resting[row, behind] = resting[row, behind - 1]
    resting[row, place] = slot
    meta[RESTING_COUNT + row] += 1


@njit(**BORROWING)
def leave(state, row, slot):
    """Take one order out of the queue, the others keep their turn."""
    resting, meta = state[RESTING], state[META]
    kept = 0
    for place in range(meta[RESTING_COUNT + row]):
        if resting[row, place] != slot:
            resting[row, kept] = resting[row, place]
            kept += 1
    meta[RESTING_COUNT + row] = kept


@njit(**BORROWING)
def drop_filled(state, row):
    """Take orders that are done out of the queue, the others keep their turn."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    kept = 0
    for place in range(meta[RESTING_COUNT + row]):
        slot = resting[row, place]
        if orders[slot].leaves > 0:
            resting[row, kept] = slot
            kept += 1
    meta[RESTING_COUNT + row] = kept
