"""Two-sided quoting: the probe, which always stands at the touch, and the quotes that lean with the forecast."""

import math

from numba import njit

from market.events import BUY, SELL
from market.orders import LARGEST
from trading import account as own
from trading import limits as rule
from trading.intents import (
    CONFIDENCE,
    HALVINGS,
    TARGET,
    believe,
    cancel,
    cancel_each,
    keep_quote,
    lots_worth,
    slot_at,
    spread_bp,
    take,
    usable,
)
from trading.records import ACTED, EXPOSURE, LEFT_INVENTORY, LOW_CONFIDENCE, ORDER_PENDING, PULLED, THIN_BOOK
from trading.risk import spiking
from trading.routing import touch_price, touch_qty
from trading.sizing import confidence_scale, jitter_scale
from trading.view import BEST_ASK, BEST_BID


@njit(cache=True)
def probe(turn):
    """Keep one small order at each touch, whatever the forecast says."""
    limits, view, thoughts = turn[1], turn[2], turn[5]
    lots, max_age_ns = max(1, lots_worth(turn, limits[rule.PROBE_ORDER_USD])), limits[rule.PROBE_MAX_AGE_NS]
    sizes = (lots, LARGEST)
    bid = keep_quote(turn, BUY, touch_price(BUY, view), sizes, 0.0, max_age_ns)
    ask = keep_quote(turn, SELL, touch_price(SELL, view), sizes, 0.0, max_age_ns)
    thoughts[TARGET] = 0
    return bid if bid != ORDER_PENDING else ask


@njit(cache=True)
def quote_price(side, touches, lean, fair, margin):
    """Price in ticks of a quote that leans, stays ``margin`` from what it is worth, and never reaches the other touch.

    touches : of its own side, of the other side; ticks
    lean : ticks, up above 0, rounded to the nearest; fair : ticks; margin : fraction of the price

    >>> quote_price(1, (100, 103), 0.0, 101.5, 0.0), quote_price(1, (100, 103), 9.0, 110.0, 0.0)
    (100, 102)
    >>> quote_price(-1, (103, 100), 0.6, 101.5, 0.0), quote_price(1, (100, 103), 0.0, 98.7, 0.0)
    (104, 98)
    """
    leaning = math.floor(side * (touches[0] + lean) + 0.5)
    worth = math.floor(side * fair * (1.0 - side * margin))
    return max(1, side * int(min(leaning, worth, side * touches[1] - 1)))


@njit(cache=True)
def _held_too_long(integers, limits, now):
    """Whether the inventory has kept its sign beyond its time; remembers since when it has it."""
    position = integers[own.POSITION]
    sign = 1 if position > 0 else (-1 if position < 0 else 0)
    if sign != integers[own.HELD_SIDE]:
        integers[own.HELD_SIDE], integers[own.HELD_SINCE] = sign, now
    return sign != 0 and now - integers[own.HELD_SINCE] >= limits[rule.QUOTE_MAX_HOLD_NS]


@njit(cache=True)
def _should_leave(turn, mean_bp):
    """Whether holding on is worse than leaving now: held too long, or expected to lose more than the way out costs."""
    account, limits, view, now = turn[0], turn[1], turn[2], turn[3]
    aged = _held_too_long(account[1], limits, now)
    way_out_bp = 0.5 * spread_bp(view) + limits[rule.TAKER_FEE_BP]
    loss_bp = -account[1][own.HELD_SIDE] * mean_bp
    return aged or loss_bp > way_out_bp + limits[rule.QUOTE_PULL_BP]


@njit(cache=True)
def _leave(turn):
    position = turn[0][1][own.POSITION]
    side = SELL if position > 0 else BUY
    cancel_each(turn)
    lots = abs(position) - own.open_lots(turn[0][0], side)
    sent = take(turn, side, lots) if lots > 0 else ORDER_PENDING
    return LEFT_INVENTORY if sent == ACTED else sent


@njit(cache=True)
def _sizes(turn, side, inventory_lots):
    """Lots of a new quote and the most that one may have left: what the inventory still takes on that side."""
    account, limits, view, _, _, thoughts = turn
    scale = jitter_scale(account[2][own.JITTER_MS], limits[rule.JITTER_REF_MS]) * thoughts[CONFIDENCE]
    thoughts[HALVINGS] = 1.0 if thoughts[CONFIDENCE] < 1.0 else 0.0
    if spiking(account[2], limits):
        scale *= 0.5
        thoughts[HALVINGS] += 1
    spare = inventory_lots - side * account[1][own.POSITION]
    visible = int(limits[rule.QUOTE_DEPTH_SHARE] * touch_qty(side, view))
    return min(lots_worth(turn, limits[rule.QUOTE_ORDER_USD] * scale), visible, spare), spare


@njit(cache=True)
def _quote_side(turn, side, mean_bp):
    """Keep one side's quote where forecast, inventory and fee want it, or take it away."""
    account, limits, view = turn[0], turn[1], turn[2]
    if -side * mean_bp > limits[rule.QUOTE_PULL_BP]:
        cancel(turn, slot_at(side))
        return PULLED
    if turn[5][CONFIDENCE] == 0.0:
        cancel(turn, slot_at(side))
        return LOW_CONFIDENCE
    inventory_lots = lots_worth(turn, limits[rule.QUOTE_INVENTORY_USD])
    sizes = _sizes(turn, side, inventory_lots)
    if sizes[0] <= 0:
        cancel(turn, slot_at(side))
        return EXPOSURE if sizes[1] <= 0 else THIN_BOOK
    mid = 0.5 * (view[BEST_BID] + view[BEST_ASK])
    move = mean_bp * 1e-4 * mid
    against = limits[rule.QUOTE_SKEW_TICKS] * account[1][own.POSITION] / max(inventory_lots, 1)
    lean = limits[rule.QUOTE_FORECAST_SHARE] * move - against - side * limits[rule.QUOTE_DISTANCE_TICKS]
    margin = (limits[rule.QUOTE_MIN_EDGE_BP] + limits[rule.MAKER_FEE_BP]) * 1e-4
    touches = (touch_price(side, view), touch_price(-side, view))
    price = quote_price(side, touches, lean, mid + move, margin)
    return keep_quote(turn, side, price, sizes, limits[rule.QUOTE_TOLERANCE_TICKS], limits[rule.QUOTE_MAX_AGE_NS])


@njit(cache=True)
def quote(turn, forecast, ready):
    """Keep both quotes, lean them, pull the one that the forecast runs against, leave an inventory that went wrong."""
    reason, limits = usable(forecast, ready), turn[1]
    mean_bp = 0.0
    if reason == ACTED:
        mean_bp = believe(turn, forecast)[0]
    turn[5][TARGET] = 0
    if _should_leave(turn, mean_bp):
        return _leave(turn)
    if reason != ACTED:
        cancel_each(turn)
        return reason
    confidence = forecast[:3].max()
    turn[5][CONFIDENCE] = confidence_scale(confidence, limits[rule.CONFIDENCE_CANCEL], limits[rule.CONFIDENCE_HALVE])
    bid = _quote_side(turn, BUY, mean_bp)
    ask = _quote_side(turn, SELL, mean_bp)
    if bid == ACTED or ask == ACTED:
        return ACTED
    if bid == PULLED or ask == PULLED:
        return PULLED
    return bid if bid != ORDER_PENDING else ask
