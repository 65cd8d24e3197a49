"""What becomes of our orders: the state that the matching kernel works on, and the few things that can happen in it.

The state is the tuple that ``new_state`` returns; every function takes it whole and changes it in place.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.latency import visible
from backtest.queue import front_on_acceptance
from market.book import new_book, quantity, row_of
from market.events import BUY
from market.orders import FILL, FILLED, LIVE, NO_REASON, ORDER, PARTIAL, REPORT

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

# verbs of a request
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
def reaches(side, limit, price):
    """Whether a limit of a buyer (seller) is at or above (below) a price."""
    return price <= limit if side == BUY else price >= limit


@njit(cache=True)
def report(state, order, kind, reason, price, qty, maker, now):
    """Append one report; ``now`` is (venue_ts, ingest_ts of the event that caused it, or 0)."""
    reports, meta = state[REPORTS], state[META]
    row = reports[meta[REPORT_COUNT]]
    row.report_id = meta[NEXT_REPORT]
    row.order_id = order.order_id
    row.price = price
    row.qty = qty
    row.leaves = order.leaves
    row.venue_ts = now[0]
    row.visible_ts = visible(now[0], meta[ACK_NS], now[1])
    row.kind = kind
    row.reason = reason
    row.side = order.side
    row.maker = maker
    meta[REPORT_COUNT] += 1
    meta[NEXT_REPORT] += 1


@njit(cache=True)
def finish(state, order, status, kind, reason, now):
    """End an order that still has quantity open."""
    open_lots = order.leaves
    order.leaves = 0
    order.status = status
    order.reason = reason
    report(state, order, kind, reason, order.price, open_lots, 0, now)


@njit(cache=True)
def fill(state, order, price, lots, maker, now):
    """Book one fill; a pending cancel stays pending."""
    order.leaves -= lots
    if order.leaves == 0:
        order.status = FILLED
    elif order.status == LIVE:
        order.status = PARTIAL
    report(state, order, FILL, NO_REASON, price, lots, maker, now)


@njit(cache=True)
def rest(state, slot):
    """Queue an order behind the displayed quantity and our own earlier orders at its price."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    order = orders[slot]
    row = row_of(order.side)
    displayed = quantity((state[0], state[1], state[2]), row, order.price)
    order.front = front_on_acceptance(meta[QUEUE_MODEL], displayed)
    place = meta[RESTING_COUNT + row]
    while place > 0 and not reaches(order.side, orders[resting[row, place - 1]].price, order.price):
        place -= 1
    for behind in range(meta[RESTING_COUNT + row], place, -1):
        resting[row, behind] = resting[row, behind - 1]
    resting[row, place] = slot
    meta[RESTING_COUNT + row] += 1


@njit(cache=True)
def drop_filled(state, row):
    """Take orders that no longer rest out of the queue, the others keep their turn."""
    orders, resting, meta = state[ORDERS], state[RESTING], state[META]
    kept = 0
    for place in range(meta[RESTING_COUNT + row]):
        slot = resting[row, place]
        if orders[slot].leaves > 0:
            resting[row, kept] = slot
            kept += 1
    meta[RESTING_COUNT + row] = kept
