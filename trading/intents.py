"""What a decision writes: intents, thoughts, and the account's order table. Every policy sends through here.

A ``turn`` is the tuple (account, limits, view, now, intents, thoughts) that one decision works on.
"""

import math
from typing import Final

from numba import njit

from market.events import BUY, SELL
from market.orders import IOC, POST_ONLY
from modeling.moments import mixture
from trading import account as own
from trading import limits as rule
from trading.records import ACTED, AT_TARGET, BAD_INPUT, CANCEL, DRAWDOWN, EXPOSURE, NOT_READY, ORDER_PENDING, PLACE
from trading.risk import affordable, rate_gate, room, worst_fill_usd
from trading.routing import POST, reaches, taker_limit, touch_price
from trading.sizing import lots_of
from trading.view import BEST_ASK, BEST_BID

# columns of intents
VERB: Final = 0
ORDER: Final = 1
SIDE: Final = 2
TIF: Final = 3
SLOT: Final = 4
PRICE: Final = 5
QTY: Final = 6
INTENT_COLUMNS: Final = 7
MAX_INTENTS: Final = 8

# places of thoughts: what the decision was made of
TARGET: Final = 0
MU_BP: Final = 1
SIGMA_BP: Final = 2
COST_BP: Final = 3
HALVINGS: Final = 4
CAPPED: Final = 5
COUNT: Final = 6  # intents written
CONFIDENCE: Final = 7  # share of the exposure cap that the forecast's confidence leaves, 1 without a forecast
THOUGHTS: Final = 8
NAN: Final = math.nan

# places of the traded forecast behind three probabilities and three returns
SPREAD: Final = 6  # of the members' expected returns, bp
TRADED: Final = 7


@njit(cache=True)
def begin(turn):
    """Nothing thought and nothing sent yet."""
    account, thoughts = turn[0], turn[5]
    thoughts[:] = 0.0
    thoughts[TARGET] = account[1][own.POSITION]
    thoughts[MU_BP], thoughts[SIGMA_BP], thoughts[COST_BP] = NAN, NAN, NAN
    thoughts[CONFIDENCE] = 1.0


@njit(cache=True)
def lots_worth(turn, quote_value):
    """Whole lots that are worth at most ``quote_value`` at the bid."""
    limits, view = turn[1], turn[2]
    inverse = limits[rule.INVERSE] != 0.0
    return lots_of(quote_value, view[BEST_BID], limits[rule.LOT_VALUE], limits[rule.TICK_SIZE], inverse)


@njit(cache=True)
def usable(forecast, ready):
    """ACTED if the forecast may be believed, else why not."""
    if not ready:
        return NOT_READY
    for k in range(TRADED):
        if not math.isfinite(forecast[k]):
            return BAD_INPUT
    return ACTED


@njit(cache=True)
def spread_bp(view):
    """Of the touch, bp of the mid."""
    return 1e4 * (view[BEST_ASK] - view[BEST_BID]) / (0.5 * (view[BEST_BID] + view[BEST_ASK]))


@njit(cache=True)
def believe(turn, forecast):
    """Mean and variance of the forecast and the cost of a round trip by taking, bp, noted in the thoughts."""
    limits, view, thoughts = turn[1], turn[2], turn[5]
    mean, variance = mixture(forecast[:3], forecast[3:6])
    cost = spread_bp(view) + 2.0 * limits[rule.TAKER_FEE_BP]
    thoughts[MU_BP], thoughts[SIGMA_BP], thoughts[COST_BP] = mean, math.sqrt(variance), cost
    return mean, variance, cost


@njit(cache=True)
def _place(turn, slot, side, tif, price, qty):
    account, limits, view, now, intents, thoughts = turn
    count = int(thoughts[COUNT])
    worst_usd = worst_fill_usd(limits, view, side, price, qty, limits[rule.TAKER_FEE_BP])
    account[2][own.HEADROOM_USD] -= worst_usd  # the row's next order has what this one leaves
    intents[count, VERB] = PLACE
    intents[count, ORDER] = own.take_slot(account, slot, side, price, qty, now)
    intents[count, SIDE] = side
    intents[count, TIF] = tif
    intents[count, SLOT] = slot
    intents[count, PRICE] = price
    intents[count, QTY] = qty
    thoughts[COUNT] = count + 1


@njit(cache=True)
def slot_at(side):
    """Slot of the order that waits on a side."""
    return own.BID_SLOT if side == BUY else own.ASK_SLOT


@njit(cache=True)
def cancel(turn, slot):
    """Cancel what rests in a slot; an order that is still in flight cannot be cancelled yet. No gate stands here."""
    if turn[0][0][slot, own.STATE] == own.RESTING:
        _send_cancel(turn, slot)


@njit(cache=True)
def _send_cancel(turn, slot):
    account, _, _, now, intents, thoughts = turn
    orders = account[0]
    count = int(thoughts[COUNT])
    intents[count, VERB] = CANCEL
    intents[count, ORDER] = orders[slot, own.ORDER_ID]
    intents[count, SIDE] = orders[slot, own.SIDE]
    intents[count, SLOT] = slot
    thoughts[COUNT] = count + 1
    orders[slot, own.STATE] = own.CANCEL_SENT
    orders[slot, own.CANCEL_TS] = now


@njit(cache=True)
def cancel_each(turn):
    """Cancel whatever rests."""
    for slot in range(own.SLOTS):
        cancel(turn, slot)


@njit(cache=True)
def chase(turn):
    """Cancel whatever rests, and again what has not been answered for too long, until nothing works any more."""
    orders, resend_ns, now = turn[0][0], turn[1][rule.CANCEL_RESEND_NS], turn[3]
    cancel_each(turn)
    for slot in range(own.SLOTS):
        state = orders[slot, own.STATE]
        if state == own.FREE:
            continue
        since = orders[slot, own.SENT_TS if state == own.IN_FLIGHT else own.CANCEL_TS]
        if now - since >= resend_ns:
            _send_cancel(turn, slot)


@njit(cache=True)
def _meets_own(orders, side, price):
    """Whether an own order of the other side works within reach of a limit."""
    for slot in range(own.SLOTS):
        other = orders[slot, own.STATE] != own.FREE and orders[slot, own.SIDE] == -side
        if other and reaches(side, price, orders[slot, own.PRICE]):
            return True
    return False


@njit(cache=True)
def _taker_price(turn, side):
    limits, view = turn[1], turn[2]
    return taker_limit(side, view[BEST_BID], view[BEST_ASK], int(limits[rule.MAX_SLIPPAGE_TICKS]))


@njit(cache=True)
def send_taker(turn, side, qty):
    """Send one immediate order at once, within the caps; a second one waits until the first is answered."""
    account, limits, view, now, _, thoughts = turn
    if account[0][own.TAKER_SLOT, own.STATE] != own.FREE:
        return ORDER_PENDING
    gate = rate_gate(account[1], limits, now)
    if gate != ACTED:
        return gate
    qty = min(qty, room(account, limits, view, side, thoughts[CONFIDENCE]))
    if qty <= 0:
        return EXPOSURE
    price = _taker_price(turn, side)
    qty = affordable(account, limits, view, side, price, qty)
    if qty <= 0:
        return DRAWDOWN
    _place(turn, own.TAKER_SLOT, side, IOC, price, qty)
    return ACTED


@njit(cache=True)
def take(turn, side, qty):
    """Send one immediate order, once nothing of ours waits on the other side within its reach."""
    orders = turn[0][0]
    cancel(turn, slot_at(-side))
    if _meets_own(orders, side, _taker_price(turn, side)):
        return ORDER_PENDING
    return send_taker(turn, side, qty)


@njit(cache=True)
def keep_quote(turn, side, price, sizes, tolerance, max_age_ns):
    """Keep one post-only order of a side within ``tolerance`` ticks of ``price``, no older than ``max_age_ns``.

    sizes : lots of a new order, and the most that one may have left while it rests
    """
    account, limits, view, now, _, thoughts = turn
    orders, slot = account[0], slot_at(side)
    if orders[slot, own.STATE] != own.FREE:
        off = abs(orders[slot, own.PRICE] - price) > tolerance or orders[slot, own.LEAVES] > sizes[1]
        if off or now - orders[slot, own.SENT_TS] >= max_age_ns:
            cancel(turn, slot)
        return ORDER_PENDING
    if _meets_own(orders, side, price):
        return ORDER_PENDING
    gate = rate_gate(account[1], limits, now)
    if gate != ACTED:
        return gate
    qty = min(sizes[0], room(account, limits, view, side, thoughts[CONFIDENCE]))
    if qty <= 0:
        return EXPOSURE
    qty = affordable(account, limits, view, side, price, qty)
    if qty <= 0:
        return DRAWDOWN
    _place(turn, slot, side, POST_ONLY, price, qty)
    return ACTED


@njit(cache=True)
def move_to(turn, target, way):
    """Work towards a target position by what ``way`` allows: an immediate order, or one that waits at the touch."""
    account, limits, view = turn[0], turn[1], turn[2]
    difference = target - account[1][own.POSITION]
    if difference == 0:
        cancel_each(turn)
        return AT_TARGET
    side = BUY if difference > 0 else SELL
    cancel(turn, slot_at(-side))
    if way == POST:
        sizes = (abs(difference), abs(difference))
        return keep_quote(turn, side, touch_price(side, view), sizes, 0.0, limits[rule.HORIZON_NS])
    cancel(turn, slot_at(side))
    if account[0][own.TAKER_SLOT, own.STATE] != own.FREE:
        return ORDER_PENDING
    open_lots = own.open_lots(account[0], side)
    if open_lots >= abs(difference):
        return ORDER_PENDING
    return take(turn, side, abs(difference) - open_lots)


@njit(cache=True)
def flatten(turn):
    """Cancel all and leave the position at once, whatever has been answered: the way out waits for nobody."""
    cancel_each(turn)
    position = turn[0][1][own.POSITION]
    turn[5][TARGET] = 0
    if position != 0:
        send_taker(turn, SELL if position > 0 else BUY, abs(position))
