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
    KILLED,
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
def watch(integers, floats, limits, view, equity):
    """Update volatility, jitter and the drawdown latch from a valid row."""
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
    if not floats[own.PEAK_USD] - worth <= limits[rule.MAX_DRAWDOWN_USD]:
        integers[own.DRAWN_DOWN] = 1


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
    if integers[own.KILLED] != 0:
        return KILLED
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
def room(account, limits, view, side):
    """Lots that one side may still add before position and open orders reach the cap."""
    orders, integers, _ = account
    cap = lots_of(
        limits[rule.MAX_POSITION_USD],
        view[BEST_BID],
        limits[rule.LOT_VALUE],
        limits[rule.TICK_SIZE],
        limits[rule.INVERSE] != 0.0,
    )
    return max(0, cap - side * integers[own.POSITION] - own.open_lots(orders, side))
