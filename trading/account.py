"""What we know of our own orders and profit: acknowledged reports only, in the arrays that ``decide`` reads."""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.parent import ParentOrder

Account = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

# slots of the order table: one working order each
BID_SLOT: Final = 0
ASK_SLOT: Final = 1
TAKER_SLOT: Final = 2
SLOTS: Final = 3

# columns of the order table
ORDER_ID: Final = 0
SIDE: Final = 1
PRICE: Final = 2
LEAVES: Final = 3
STATE: Final = 4
SENT_TS: Final = 5
CANCEL_TS: Final = 6  # when its newest cancel was sent
COLUMNS: Final = 7

# states of a slot
FREE: Final = 0
IN_FLIGHT: Final = 1
RESTING: Final = 2
CANCEL_SENT: Final = 3

# places of the integers
POSITION: Final = 0  # lots, from acknowledged fills
SIGNAL_TS: Final = 1  # when the forecast last asked for this position
STREAK: Final = 2  # losing round trips in a row
PAUSED_UNTIL: Final = 3
KILLED: Final = 4
DRAWN_DOWN: Final = 5
NEXT_ORDER: Final = 6
NEXT_DECISION: Final = 7
LAST_MID2: Final = 8  # sum of the touch prices of the last valid row
LAST_DELAY: Final = 9
HELD_SIDE: Final = 10  # sign of the position when a quoting policy last looked
HELD_SINCE: Final = 11  # when it took that sign
PARENT_SIDE: Final = 12  # of the parent order that is worked, 0: none
PARENT_LOTS: Final = 13
PARENT_START: Final = 14  # ns UTC
PARENT_END: Final = 15
PARENT_BASE: Final = 16  # lots held when it began
DEGENERATE: Final = 17  # the model's forecasts cannot be believed any more
SAME_ROWS: Final = 18  # forecasts in a row that were equal to the one before
RING_AT: Final = 19
RING: Final = 20  # send times of the newest orders
RING_SIZE: Final = 64
INTEGERS: Final = RING + RING_SIZE

# places of the floats
TRIP_EQUITY: Final = 0  # cash when the round trip began, settlement currency
PEAK_USD: Final = 1
FAST_VARIANCE: Final = 2  # of the mid, ticks^2 a row
SLOW_VARIANCE: Final = 3
JITTER_MS: Final = 4
HEADROOM_USD: Final = 5  # what may still be lost before the drawdown latches, pending orders at their worst
LAST_FORECAST: Final = 6
FORECAST: Final = 7  # numbers of a forecast, the members' spread among them
FLOATS: Final = LAST_FORECAST + FORECAST


def new_account() -> Account:
    """Flat, with no order out."""
    integers = np.zeros(INTEGERS, np.int64)
    integers[[NEXT_ORDER, NEXT_DECISION]] = 1
    integers[RING : RING + RING_SIZE] = np.iinfo(np.int64).min // 2
    return np.zeros((SLOTS, COLUMNS), np.int64), integers, np.zeros(FLOATS)


def begin_parent(account: Account, parent: ParentOrder) -> None:
    """Work this parent order from now on: what is filled from here counts as its own."""
    integers = account[1]
    integers[PARENT_SIDE], integers[PARENT_LOTS] = parent.side, parent.lots
    integers[PARENT_START], integers[PARENT_END] = parent.start_ts, parent.end_ts
    integers[PARENT_BASE] = integers[POSITION]


@njit(cache=True)
def parent_left(integers):
    """Lots of the parent order that are not yet filled, as far as acknowledged."""
    return integers[PARENT_LOTS] - integers[PARENT_SIDE] * (integers[POSITION] - integers[PARENT_BASE])


@njit(cache=True)
def slot_of(orders, order_id):
    """Slot that an order works in, -1 if none."""
    for slot in range(SLOTS):
        if orders[slot, STATE] != FREE and orders[slot, ORDER_ID] == order_id:
            return slot
    return -1


@njit(cache=True)
def take_slot(account, slot, side, price, qty, sent_ts):
    """Enter a new order in its slot; returns its id."""
    orders, integers, _ = account
    order_id = integers[NEXT_ORDER]
    integers[NEXT_ORDER] += 1
    integers[RING + integers[RING_AT]] = sent_ts
    integers[RING_AT] = (integers[RING_AT] + 1) % RING_SIZE
    orders[slot, ORDER_ID] = order_id
    orders[slot, SIDE] = side
    orders[slot, PRICE] = price
    orders[slot, LEAVES] = qty
    orders[slot, STATE] = IN_FLIGHT
    orders[slot, SENT_TS] = sent_ts
    return order_id


@njit(cache=True)
def open_lots(orders, side):
    """Lots that orders of one side may still add to the position."""
    lots = 0
    for slot in range(SLOTS):
        if orders[slot, STATE] != FREE and orders[slot, SIDE] == side:
            lots += orders[slot, LEAVES]
    return lots


@njit(cache=True)
def working(orders):
    """How many orders the venue has not yet said the end of."""
    count = 0
    for slot in range(SLOTS):
        if orders[slot, STATE] != FREE:
            count += 1
    return count


def kill_state(account: Account) -> str:
    """Of the kill switch: off, unverified while an order may still be alive at the venue, verified after that."""
    if account[1][KILLED] == 0:
        return "off"
    return "unverified" if account[0][:, STATE].any() else "verified"


def forget_forecast(account: Account) -> None:
    """Another model forecasts from now on: what was held against the last one is no reason to stop it."""
    account[1][[DEGENERATE, SAME_ROWS]] = 0
    account[2][LAST_FORECAST : LAST_FORECAST + FORECAST] = 0.0


@njit(cache=True)
def acknowledge(orders, order_id):
    """The venue has the order."""
    slot = slot_of(orders, order_id)
    if slot >= 0 and orders[slot, STATE] == IN_FLIGHT:
        orders[slot, STATE] = RESTING


@njit(cache=True)
def keep(orders, order_id):
    """A cancel came to nothing: the order stands, and may be cancelled again."""
    slot = slot_of(orders, order_id)
    if slot >= 0 and orders[slot, STATE] == CANCEL_SENT:
        orders[slot, STATE] = RESTING


@njit(cache=True)
def finish(orders, order_id):
    """The order is gone: cancelled, expired or rejected."""
    slot = slot_of(orders, order_id)
    if slot >= 0:
        orders[slot, :] = 0


@njit(cache=True)
def fill(orders, integers, order_id, side, qty, leaves):
    """Book a fill's lots; the money is the ledger's."""
    integers[POSITION] += side * qty
    slot = slot_of(orders, order_id)
    if slot < 0:
        return
    orders[slot, LEAVES] = leaves
    if leaves == 0:
        orders[slot, :] = 0


@njit(cache=True)
def close_trip(integers, floats, cash, pause_ns, streak_limit, now):
    """A round trip has ended flat: count losers in a row, pause at the limit."""
    integers[STREAK] = integers[STREAK] + 1 if cash < floats[TRIP_EQUITY] else 0
    floats[TRIP_EQUITY] = cash
    if integers[STREAK] >= streak_limit:
        integers[PAUSED_UNTIL] = now + pause_ns
        integers[STREAK] = 0
