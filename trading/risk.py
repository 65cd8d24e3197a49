"""Gates that stand before every order. Each fails closed: what cannot be computed stops the order. Cancels pass."""

import math
from typing import Final

from numba import njit

from trading import account as own
from trading import limits as rule
from trading.records import (
    ACTED,
    BAD_INPUT,
    DELAYED,
    DRAWDOWN,
    LATE_DECISION,
    LOSS_STREAK,
    RATE,
    ROW_INVALID,
    SILENT,
    THIN_BOOK,
)
from trading.sizing import lots_of, value_of
from trading.view import ASK_QTY, BEST_ASK, BEST_BID, BID_QTY, DELAY_NS, INGEST_TS, ROW_TS, STATUS

SECOND_NS: Final = 1_000_000_000
FAST_ROWS: Final = 50.0  # half-life of the fast volatility, rows
SLOW_ROWS: Final = 3_000.0


@njit(cache=True)
def _in_quote(value, view, limits):
    """Settlement currency to quote currency at mid."""
    if limits[rule.INVERSE] == 0.0:
        return value
    return value * 0.5 * (view[BEST_BID] + view[BEST_ASK]) * limits[rule.TICK_SIZE]


@njit(cache=True)
def worst_fill_usd(limits, view, side, price, lots, fee_bp):
    """Quote currency that an order loses against the mid if all of it fills at its limit, fee included; never below 0.

    price : limit, ticks; fee_bp : of the leg
    """
    mid = 0.5 * (view[BEST_BID] + view[BEST_ASK])
    inverse = limits[rule.INVERSE] != 0.0
    worth = value_of(lots, price, limits[rule.LOT_VALUE], limits[rule.TICK_SIZE], inverse)
    return worth * (max(0.0, side * (price - mid) / price) + 1e-4 * max(0.0, fee_bp))


@njit(cache=True)
def pending_usd(orders, limits, view):
    """What all working orders lose if each fills at its worst, quote currency."""
    lost = 0.0
    for slot in range(own.SLOTS):
        if orders[slot, own.STATE] == own.FREE:
            continue
        fee_bp = limits[rule.TAKER_FEE_BP if slot == own.TAKER_SLOT else rule.MAKER_FEE_BP]
        lots, price = orders[slot, own.LEAVES], orders[slot, own.PRICE]
        lost += worst_fill_usd(limits, view, orders[slot, own.SIDE], price, lots, fee_bp)
    return lost


@njit(cache=True)
def watch(account, limits, view, equity):
    """Update volatility, jitter, the headroom and the drawdown latch from a valid row."""
    orders, integers, floats = account
    mid2 = view[BEST_BID] + view[BEST_ASK]
    if integers[own.LAST_MID2] != 0:
        move = 0.5 * (mid2 - integers[own.LAST_MID2])
        floats[own.FAST_VARIANCE] += (move * move - floats[own.FAST_VARIANCE]) * (1.0 - 0.5 ** (1.0 / FAST_ROWS))
        floats[own.SLOW_VARIANCE] += (move * move - floats[own.SLOW_VARIANCE]) * (1.0 - 0.5 ** (1.0 / SLOW_ROWS))
        change_ms = abs(view[DELAY_NS] - integers[own.LAST_DELAY]) / 1e6
        floats[own.JITTER_MS] += (change_ms - floats[own.JITTER_MS]) * (1.0 - 0.5 ** (1.0 / FAST_ROWS))
    integers[own.LAST_MID2] = mid2
    integers[own.LAST_DELAY] = view[DELAY_NS]
    worth = _in_quote(equity, view, limits)
    floats[own.PEAK_USD] = max(floats[own.PEAK_USD], worth)
    drawn_usd = floats[own.PEAK_USD] - worth + pending_usd(orders, limits, view)
    floats[own.HEADROOM_USD] = limits[rule.MAX_DRAWDOWN_USD] - drawn_usd
    if not drawn_usd <= limits[rule.MAX_DRAWDOWN_USD]:
        integers[own.DRAWN_DOWN] = 1


@njit(cache=True)
def on_simplex(forecast, tolerance):
    """Whether all numbers are finite and the first three are probabilities."""
    for k in range(own.FORECAST):
        if not math.isfinite(forecast[k]):
            return False
    for k in range(3):
        if not -tolerance <= forecast[k] <= 1.0 + tolerance:
            return False
    return abs(forecast[0] + forecast[1] + forecast[2] - 1.0) <= tolerance


@njit(cache=True)
def judge(integers, floats, limits, forecast):
    """Latch the desk of a model whose forecast is no forecast, or has stood still for too long."""
    if not on_simplex(forecast, limits[rule.SIMPLEX_TOLERANCE]):
        integers[own.DEGENERATE] = 1
    same = True
    for k in range(own.FORECAST):
        same = same and floats[own.LAST_FORECAST + k] == forecast[k]
        floats[own.LAST_FORECAST + k] = forecast[k]
    integers[own.SAME_ROWS] = integers[own.SAME_ROWS] + 1 if same else 0
    if limits[rule.DEGENERATE_ROWS] > 0 and integers[own.SAME_ROWS] >= limits[rule.DEGENERATE_ROWS]:
        integers[own.DEGENERATE] = 1


@njit(cache=True)
def spiking(floats, limits):
    """Whether fast volatility stands above its multiple of the slow one."""
    slow = floats[own.SLOW_VARIANCE]
    return slow > 0.0 and floats[own.FAST_VARIANCE] > limits[rule.SPIKE_RATIO] * limits[rule.SPIKE_RATIO] * slow


@njit(cache=True)
def _touch_usd(view, limits):
    thinner = min(view[BID_QTY], view[ASK_QTY])
    inverse = limits[rule.INVERSE] != 0.0
    return value_of(thinner, view[BEST_BID], limits[rule.LOT_VALUE], limits[rule.TICK_SIZE], inverse)


@njit(cache=True)
def halted(integers, now):
    """Reason why trading is off altogether, ACTED if it is on."""
    if integers[own.DRAWN_DOWN] != 0:
        return DRAWDOWN
    if now < integers[own.PAUSED_UNTIL]:
        return LOSS_STREAK
    return ACTED


@njit(cache=True)
def market_gate(limits, view, equity, now):
    """Reason why we stand aside in this row, ACTED if it may be traded on."""
    if view[STATUS] != 0 or not 0 < view[BEST_BID] < view[BEST_ASK]:
        return ROW_INVALID
    if not math.isfinite(equity):
        return BAD_INPUT
    if not view[DELAY_NS] <= limits[rule.MAX_DELAY_NS]:
        return DELAYED
    if not 0 <= now - view[ROW_TS] <= limits[rule.MAX_DECISION_LAG_NS]:
        return LATE_DECISION
    if not now - view[INGEST_TS] <= limits[rule.MAX_SILENCE_NS]:
        return SILENT
    if not _touch_usd(view, limits) >= limits[rule.MIN_TOUCH_USD]:
        return THIN_BOOK
    return ACTED


@njit(cache=True)
def rate_gate(integers, limits, now):
    """RATE if one more order would break the cap on orders a second, else ACTED."""
    recent = 0
    for place in range(own.RING_SIZE):
        if integers[own.RING + place] > now - SECOND_NS:
            recent += 1
    return ACTED if recent < limits[rule.MAX_ORDERS_PER_S] else RATE


@njit(cache=True)
def affordable(account, limits, view, side, price, qty):
    """Lots of an order that may be sent: all, or its closing part where what it opens could draw down too far."""
    _, integers, floats = account
    closes = min(qty, max(0, -side * integers[own.POSITION]))
    worst_usd = worst_fill_usd(limits, view, side, price, qty - closes, limits[rule.TAKER_FEE_BP])
    return qty if closes == qty or worst_usd <= floats[own.HEADROOM_USD] else closes


@njit(cache=True)
def room(account, limits, view, side, tightened):
    """Lots that one side may still add before position and open orders reach the cap.

    tightened : share of the cap that is left, in [0, 1]; more than 1 loosens nothing
    """
    orders, integers, _ = account
    cap = lots_of(
        limits[rule.MAX_POSITION_USD] * min(1.0, tightened),
        view[BEST_BID],
        limits[rule.LOT_VALUE],
        limits[rule.TICK_SIZE],
        limits[rule.INVERSE] != 0.0,
    )
    return max(0, cap - side * integers[own.POSITION] - own.open_lots(orders, side))
