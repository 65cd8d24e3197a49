"""Working a parent order: post at the touch along a straight schedule; take, or wait, where the forecast says so.

TWAP slices, taking all at once and posting until the end are settings of this policy (``backtest/execution.py``).
"""

from numba import njit

from trading import account as own
from trading import limits as rule
from trading.intents import TARGET, believe, cancel, cancel_each, keep_quote, slot_at, spread_bp, take, usable
from trading.records import (
    ACTED,
    NO_PARENT,
    ON_SCHEDULE,
    ORDER_PENDING,
    PARENT_DONE,
    SWEPT,
    THIN_BOOK,
    TOOK_BEHIND,
    TOOK_EDGE,
    WAITING,
)
from trading.routing import TAKE, route, touch_price, touch_qty


@njit(cache=True)
def due_lots(lots, start_ts, end_ts, now):
    """Whole lots of a parent order that a straight schedule has done by ``now``.

    >>> due_lots(10, 0, 1_000, 250), due_lots(10, 0, 1_000, 2_000)
    (2, 10)
    """
    share = (now - start_ts) / (end_ts - start_ts)
    return int(lots * min(max(share, 0.0), 1.0))


@njit(cache=True)
def _take(turn, side, want, reason):
    """Take up to ``want`` lots, never more than is left besides what already works."""
    orders, integers = turn[0][0], turn[0][1]
    lots = min(want, own.parent_left(integers) - own.open_lots(orders, side))
    if lots <= 0:
        cancel(turn, slot_at(side))  # it holds the lots that are wanted now
        return ORDER_PENDING
    sent = take(turn, side, lots)
    return reason if sent == ACTED else sent


@njit(cache=True)
def _post(turn, side, allowed, mean_bp):
    """Keep an order at the touch for up to ``allowed`` lots, or none while the forecast says that it gets cheaper."""
    account, limits, view = turn[0], turn[1], turn[2]
    if allowed <= 0 or -side * mean_bp > limits[rule.EXECUTE_WAIT_BP]:
        cancel(turn, slot_at(side))
        return ON_SCHEDULE if allowed <= 0 else WAITING
    spare = own.parent_left(account[1]) - own.open_lots(account[0], side)
    resting = account[0][slot_at(side), own.LEAVES]
    lots = min(allowed, int(limits[rule.EXECUTE_PARTICIPATION] * touch_qty(side, view)), spare + resting)
    if lots <= 0:
        cancel(turn, slot_at(side))
        return THIN_BOOK
    return keep_quote(turn, side, touch_price(side, view), (lots, allowed), 0.0, limits[rule.EXECUTE_MAX_AGE_NS])


@njit(cache=True)
def _work(turn, side, mean_bp):
    """Between begin and sweep: how far the schedule is, and what the forecast makes of it."""
    account, limits, view, now, _, _ = turn
    integers = account[1]
    lots = integers[own.PARENT_LOTS]
    done = lots - own.parent_left(integers)
    behind = due_lots(lots, integers[own.PARENT_START], integers[own.PARENT_END], now) - done
    allowed = min(lots - done, behind + int(limits[rule.EXECUTE_AHEAD_SHARE] * lots))
    if route(limits, view, side, now) != TAKE:
        return _post(turn, side, allowed, mean_bp)
    most = int(limits[rule.EXECUTE_PARTICIPATION] * touch_qty(-side, view))
    crossing_bp = spread_bp(view) + limits[rule.TAKER_FEE_BP] - limits[rule.MAKER_FEE_BP]
    if min(allowed, most) > 0 and side * mean_bp - crossing_bp > limits[rule.EXECUTE_TAKE_BP]:
        return _take(turn, side, min(allowed, most), TOOK_EDGE)
    late = max(1, int(limits[rule.EXECUTE_BEHIND_SHARE] * lots))
    if behind >= late and most > 0:
        return _take(turn, side, min(behind, most), TOOK_BEHIND)
    return _post(turn, side, allowed, mean_bp)


@njit(cache=True)
def execute(turn, forecast, ready):
    """Work the parent order that the account holds; without a forecast, along its schedule alone."""
    account, limits, _, now, _, thoughts = turn
    integers = account[1]
    side, end_ts = integers[own.PARENT_SIDE], integers[own.PARENT_END]
    if side == 0 or not integers[own.PARENT_START] <= now < end_ts:
        cancel_each(turn)
        return NO_PARENT
    thoughts[TARGET] = integers[own.PARENT_BASE] + side * integers[own.PARENT_LOTS]
    if own.parent_left(integers) <= 0:
        cancel_each(turn)
        return PARENT_DONE
    mean_bp = 0.0
    if usable(forecast, ready) == ACTED:
        mean_bp = believe(turn, forecast)[0]
    if now >= end_ts - limits[rule.EXECUTE_SWEEP_NS]:
        cancel(turn, slot_at(side))
        return _take(turn, side, own.parent_left(integers), SWEPT)
    return _work(turn, side, mean_bp)
