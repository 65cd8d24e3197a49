"""``decide``: account, rules, forecast and market view in; orders and the reason why out. Compiled, without a clock.

It is the same function in backtest, paper and live. It changes the account arrays (its own orders) and writes
what to send into ``intents``; everything else is read only.
"""

import math
from typing import Final

from numba import njit

from market.events import BUY, SELL
from market.orders import IOC, POST_ONLY
from trading import account as own
from trading import limits as rule
from trading.records import (
    ACTED,
    AT_TARGET,
    BAD_INPUT,
    CANCEL,
    EXPOSURE,
    LOW_CONFIDENCE,
    NO_EDGE,
    NOT_READY,
    ORDER_PENDING,
    PLACE,
)
from trading.risk import halted, market_gate, rate_gate, room, spiking, watch
from trading.routing import quote_price, taker_limit
from trading.sizing import cap_share, confidence_scale, edge, jitter_scale, lots_of, mixture
from trading.view import ASK_QTY, BEST_ASK, BEST_BID, BID_QTY, STATUS

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
THOUGHTS: Final = 7
NAN: Final = math.nan


@njit(cache=True)
def _lots(limits, view, quote_value):
    inverse = limits[rule.INVERSE] != 0.0
    return lots_of(quote_value, view[BEST_BID], limits[rule.LOT_VALUE], limits[rule.TICK_SIZE], inverse)


@njit(cache=True)
def _place(account, slot, side, tif, price, qty, now, intents, thoughts):
    count = int(thoughts[COUNT])
    intents[count, VERB] = PLACE
    intents[count, ORDER] = own.take_slot(account, slot, side, price, qty, now)
    intents[count, SIDE] = side
    intents[count, TIF] = tif
    intents[count, SLOT] = slot
    intents[count, PRICE] = price
    intents[count, QTY] = qty
    thoughts[COUNT] = count + 1


@njit(cache=True)
def _cancel(orders, slot, intents, thoughts):
    if orders[slot, own.STATE] != own.RESTING:
        return
    count = int(thoughts[COUNT])
    intents[count, VERB] = CANCEL
    intents[count, ORDER] = orders[slot, own.ORDER_ID]
    intents[count, SIDE] = orders[slot, own.SIDE]
    intents[count, SLOT] = slot
    thoughts[COUNT] = count + 1
    orders[slot, own.STATE] = own.CANCEL_SENT


@njit(cache=True)
def _cancel_all(orders, intents, thoughts):
    for slot in range(own.SLOTS):
        _cancel(orders, slot, intents, thoughts)


@njit(cache=True)
def cancel_all(account, intents, thoughts):
    """Cancel whatever rests and ask for nothing else."""
    _begin(account[1], thoughts)
    _cancel_all(account[0], intents, thoughts)


@njit(cache=True)
def _begin(integers, thoughts):
    thoughts[:] = 0.0
    thoughts[TARGET] = integers[own.POSITION]
    thoughts[MU_BP], thoughts[SIGMA_BP], thoughts[COST_BP] = NAN, NAN, NAN


@njit(cache=True)
def _move_to(account, limits, view, target, now, intents, thoughts):
    """Send one immediate order for the difference between target and position, within the caps."""
    orders, integers, _ = account
    if orders[own.TAKER_SLOT, own.STATE] != own.FREE:
        return ORDER_PENDING
    difference = target - integers[own.POSITION]
    if difference == 0:
        return AT_TARGET
    side = BUY if difference > 0 else SELL
    gate = rate_gate(integers, limits, now)
    if gate != ACTED:
        return gate
    qty = abs(difference)
    if abs(target) > abs(integers[own.POSITION]) or target * integers[own.POSITION] < 0:
        qty = min(qty, room(account, limits, view, side))
    if qty <= 0:
        return EXPOSURE
    price = taker_limit(side, view[BEST_BID], view[BEST_ASK], int(limits[rule.MAX_SLIPPAGE_TICKS]))
    _place(account, own.TAKER_SLOT, side, IOC, price, qty, now, intents, thoughts)
    return ACTED


@njit(cache=True)
def _wanted(account, limits, forecast, view, thoughts):
    """Signed lots that the forecast asks for (0: none) and the reason where it asks for none."""
    floats = account[2]
    mean, variance = mixture(forecast[:3], forecast[3:6])
    spread_bp = 1e4 * (view[BEST_ASK] - view[BEST_BID]) / (0.5 * (view[BEST_BID] + view[BEST_ASK]))
    cost = spread_bp + limits[rule.ROUND_TRIP_FEE_BP]
    thoughts[MU_BP], thoughts[SIGMA_BP], thoughts[COST_BP] = mean, math.sqrt(variance), cost
    scale = confidence_scale(forecast[:3].max(), limits[rule.CONFIDENCE_CANCEL], limits[rule.CONFIDENCE_HALVE])
    if scale == 0.0:
        return 0, LOW_CONFIDENCE
    if scale < 1.0:
        thoughts[HALVINGS] += 1
    if spiking(floats, limits):
        scale *= 0.5
        thoughts[HALVINGS] += 1
    share, bound = cap_share(edge(mean, variance, cost, limits[rule.LCB_Z]), variance, limits[rule.KAPPA_BP])
    scale *= jitter_scale(floats[own.JITTER_MS], limits[rule.JITTER_REF_MS])
    lots = _lots(limits, view, limits[rule.RISK_CAP_USD] * share * scale)
    visible = int(limits[rule.DEPTH_SHARE] * view[ASK_QTY if mean > 0 else BID_QTY])
    thoughts[CAPPED] = 1.0 if bound or visible < lots else 0.0
    lots = min(lots, visible)
    if lots == 0:
        return 0, NO_EDGE
    return (lots if mean > 0 else -lots), ACTED


@njit(cache=True)
def _take(account, limits, forecast, view, ready, now, intents, thoughts):
    """Follow the forecast: hold its target, leave at the horizon where it asks no more."""
    integers = account[1]
    position = integers[own.POSITION]
    wanted, reason = 0, NOT_READY
    if ready:
        for k in range(6):
            if not math.isfinite(forecast[k]):
                reason = BAD_INPUT
                break
        else:
            wanted, reason = _wanted(account, limits, forecast, view, thoughts)
    if wanted == 0:
        expired = now - integers[own.SIGNAL_TS] >= limits[rule.HORIZON_NS]
        thoughts[TARGET] = 0 if expired else position
        if position == 0 or not expired:
            return reason
        return _move_to(account, limits, view, 0, now, intents, thoughts)
    thoughts[TARGET] = wanted
    integers[own.SIGNAL_TS] = now
    band = _lots(limits, view, limits[rule.RISK_CAP_USD] * limits[rule.NO_TRADE_BAND])
    if position * wanted > 0 and abs(wanted - position) <= band:
        return AT_TARGET
    return _move_to(account, limits, view, wanted, now, intents, thoughts)


@njit(cache=True)
def _quote(account, limits, view, side, slot, now, intents, thoughts):
    """Keep one post-only order of a side at the touch."""
    orders, integers, _ = account
    price = quote_price(side, view[BEST_BID], view[BEST_ASK])
    if orders[slot, own.STATE] != own.FREE:
        old = now - orders[slot, own.SENT_TS] >= limits[rule.PROBE_MAX_AGE_NS]
        if orders[slot, own.PRICE] != price or old:
            _cancel(orders, slot, intents, thoughts)
        return ORDER_PENDING
    gate = rate_gate(integers, limits, now)
    if gate != ACTED:
        return gate
    qty = min(max(1, _lots(limits, view, limits[rule.PROBE_ORDER_USD])), room(account, limits, view, side))
    if qty <= 0:
        return EXPOSURE
    _place(account, slot, side, POST_ONLY, price, qty, now, intents, thoughts)
    return ACTED


@njit(cache=True)
def _probe(account, limits, view, now, intents, thoughts):
    bid = _quote(account, limits, view, BUY, own.BID_SLOT, now, intents, thoughts)
    ask = _quote(account, limits, view, SELL, own.ASK_SLOT, now, intents, thoughts)
    thoughts[TARGET] = 0
    return bid if bid != ORDER_PENDING else ask


@njit(cache=True)
def decide(account, limits, forecast, view, ready, equity, now, intents, thoughts):
    """Reason code of this row's decision; orders go to ``intents``, their count and the sizing to ``thoughts``.

    forecast : shape (6,), probabilities of down, none, up and the mean return of each, bp
    view : shape (VIEW,), see ``trading/view.py``
    equity : settlement currency, marked at mid
    now : ns UTC, when the orders leave
    """
    orders, integers, floats = account
    _begin(integers, thoughts)
    if view[STATUS] == 0:
        watch(integers, floats, limits, view, equity)
    gate = market_gate(limits, view, equity, now)
    if gate != ACTED:
        _cancel_all(orders, intents, thoughts)
        return gate
    gate = halted(integers, now)
    if gate != ACTED:
        _cancel_all(orders, intents, thoughts)
        thoughts[TARGET] = 0
        _move_to(account, limits, view, 0, now, intents, thoughts)
        return gate
    if limits[rule.KIND] == rule.PROBE:
        return _probe(account, limits, view, now, intents, thoughts)
    return _take(account, limits, forecast, view, ready, now, intents, thoughts)
