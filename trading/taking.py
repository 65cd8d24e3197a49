"""The directional policy: hold the position that the forecast asks for, leave at its horizon."""

from numba import njit

from trading import account as own
from trading import limits as rule
from trading.intents import (
    CAPPED,
    CONFIDENCE,
    HALVINGS,
    SPREAD,
    TARGET,
    believe,
    cancel_each,
    lots_worth,
    move_to,
    usable,
)
from trading.records import ACTED, AT_TARGET, LOW_CONFIDENCE, NO_EDGE
from trading.risk import spiking
from trading.routing import route
from trading.sizing import cap_share, confidence_scale, edge, jitter_scale
from trading.view import ASK_QTY, BID_QTY


@njit(cache=True)
def _wanted(turn, forecast):
    """Signed lots that the forecast asks for (0: none) and the reason where it asks for none."""
    account, limits, view, _, _, thoughts = turn
    mean, variance, cost = believe(turn, forecast)
    scale = confidence_scale(forecast[:3].max(), limits[rule.CONFIDENCE_CANCEL], limits[rule.CONFIDENCE_HALVE])
    thoughts[CONFIDENCE] = scale
    if scale == 0.0:
        return 0, LOW_CONFIDENCE
    if scale < 1.0:
        thoughts[HALVINGS] += 1
    if spiking(account[2], limits):
        scale *= 0.5
        thoughts[HALVINGS] += 1
    share, bound = cap_share(edge(mean, forecast[SPREAD], cost, limits[rule.LCB_Z]), variance, limits[rule.KAPPA_BP])
    scale *= jitter_scale(account[2][own.JITTER_MS], limits[rule.JITTER_REF_MS])
    lots = lots_worth(turn, limits[rule.RISK_CAP_USD] * share * scale)
    visible = int(limits[rule.DEPTH_SHARE] * view[ASK_QTY if mean > 0 else BID_QTY])
    thoughts[CAPPED] = 1.0 if bound or visible < lots else 0.0
    lots = min(lots, visible)
    if lots == 0:
        return 0, NO_EDGE
    return (lots if mean > 0 else -lots), ACTED


@njit(cache=True)
def _towards(turn, target):
    account, limits, view, now = turn[0], turn[1], turn[2], turn[3]
    side = 1 if target > account[1][own.POSITION] else -1
    return move_to(turn, target, route(limits, view, side, now))


@njit(cache=True)
def follow(turn, forecast, ready):
    """Hold the target that the forecast asks for; where it asks no more, leave at the horizon."""
    account, limits, _, now, _, thoughts = turn
    integers = account[1]
    position = integers[own.POSITION]
    wanted, reason = 0, usable(forecast, ready)
    if reason == ACTED:
        wanted, reason = _wanted(turn, forecast)
    if wanted == 0:
        expired = now - integers[own.SIGNAL_TS] >= limits[rule.HORIZON_NS]
        thoughts[TARGET] = 0 if expired else position
        if position == 0 or not expired:
            cancel_each(turn)  # what waits at the touch was for an edge that is gone
            return reason
        return _towards(turn, 0)
    thoughts[TARGET] = wanted
    integers[own.SIGNAL_TS] = now
    band = lots_worth(turn, limits[rule.RISK_CAP_USD] * limits[rule.NO_TRADE_BAND])
    if position * wanted > 0 and abs(wanted - position) <= band:
        cancel_each(turn)
        return AT_TARGET
    return _towards(turn, wanted)
