"""The gates as a person reads them: each by name, what it measures, its limit, and whether it lets an order through.

``trading.risk`` is what stops an order; this reads the same account, rules and view, and a test holds the two together.
"""

import math
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading import account as own
from trading import limits as rule
from trading import records as why
from trading import view as saw
from trading.account import Account
from trading.risk import SECOND_NS
from trading.sizing import value_of

Light = Literal["green", "amber", "red"]
NEAR: Final = 0.8  # share of a limit from which on its gate is amber


class Gate(NamedTuple):
    """One gate on one row."""

    name: str
    light: Light  # red: no new risk; amber: near its limit, or it halves the target
    reason: str  # why it is not green; empty where it is
    value: float | None  # what was measured; None: nothing to measure
    limit: float | None  # the most, of the depth the least
    unit: str  # x: fast over slow volatility


class Moment(NamedTuple):
    """What the gates look at."""

    account: Account
    limits: NDArray[np.float64]
    view: NDArray[np.int64]
    equity: float  # settlement currency, marked at mid
    now: int  # ns UTC
    lag_ns: int  # from the row to its decision


def gates(moment: Moment) -> tuple[Gate, ...]:
    """Every gate, in the order in which an order meets them; a value that is missing or not finite is red."""
    return (
        _row(moment),
        _input(moment),
        *_line(moment),
        _depth(moment),
        _kill(moment),
        _forecast(moment),
        _drawdown(moment),
        _streak(moment),
        _spike(moment),
        _rate(moment),
        _exposure(moment),
    )


def _row(moment: Moment) -> Gate:
    view = moment.view
    open_book = view[saw.STATUS] == 0 and 0 < view[saw.BEST_BID] < view[saw.BEST_ASK]
    return _latch("row", not open_book, why.REASON_NAMES[why.ROW_INVALID])


def _input(moment: Moment) -> Gate:
    return _latch("input", not math.isfinite(moment.equity), why.REASON_NAMES[why.BAD_INPUT])


def _line(moment: Moment) -> tuple[Gate, ...]:
    view, limits, now = moment.view, moment.limits, moment.now
    return (
        _below("delay", int(view[saw.DELAY_NS]) / 1e6, limits[rule.MAX_DELAY_NS] / 1e6, "ms", why.DELAYED),
        _below("decision lag", _lag_ms(moment.lag_ns), limits[rule.MAX_DECISION_LAG_NS] / 1e6, "ms", why.LATE_DECISION),
        _below("silence", (now - int(view[saw.INGEST_TS])) / 1e6, limits[rule.MAX_SILENCE_NS] / 1e6, "ms", why.SILENT),
    )


def _lag_ms(lag_ns: int) -> float:
    """A decision before its row is as bad as one that is late for ever."""
    return lag_ns / 1e6 if lag_ns >= 0 else math.inf


def _depth(moment: Moment) -> Gate:
    view, limits = moment.view, moment.limits
    thinner, bid = int(min(view[saw.BID_QTY], view[saw.ASK_QTY])), int(view[saw.BEST_BID])
    usd = value_of(thinner, bid, limits[rule.LOT_VALUE], limits[rule.TICK_SIZE], limits[rule.INVERSE] != 0.0)
    least = float(limits[rule.MIN_TOUCH_USD])
    if not usd >= least:
        return Gate("depth", "red", why.REASON_NAMES[why.THIN_BOOK], _finite(usd), least, "USD")
    near = usd * NEAR < least
    return Gate("depth", "amber" if near else "green", "near its limit" if near else "", usd, least, "USD")


def _kill(moment: Moment) -> Gate:
    """Unverified while an order may still be alive at the venue."""
    orders, integers, _ = moment.account
    code = why.KILL_UNVERIFIED if own.working(orders) else why.KILLED
    return _latch("kill switch", integers[own.KILLED] != 0, why.REASON_NAMES[code])


def _forecast(moment: Moment) -> Gate:
    return _latch("forecast", moment.account[1][own.DEGENERATE] != 0, why.REASON_NAMES[why.DEGENERATE])


def _drawdown(moment: Moment) -> Gate:
    """Of marked equity, pending orders at their worst fill, as the newest valid row left it."""
    _, integers, floats = moment.account
    most = float(moment.limits[rule.MAX_DRAWDOWN_USD])
    drawn = most - float(floats[own.HEADROOM_USD])
    if integers[own.DRAWN_DOWN] != 0:
        return Gate("drawdown", "red", "drawdown, latched", _finite(drawn), most, "USD")
    if integers[own.LAST_MID2] == 0:
        return Gate("drawdown", "green", "", None, most, "USD")
    return _below("drawdown", max(0.0, drawn), most, "USD", why.DRAWDOWN)


def _streak(moment: Moment) -> Gate:
    integers, limits = moment.account[1], moment.limits
    losses, most = float(integers[own.STREAK]), float(limits[rule.LOSS_STREAK])
    if moment.now < integers[own.PAUSED_UNTIL]:
        left_s = (int(integers[own.PAUSED_UNTIL]) - moment.now) / 1e9
        return Gate("losing streak", "red", f"paused, {left_s:.1f} s to go", losses, most, "trips")
    near = losses >= NEAR * most
    return Gate("losing streak", "amber" if near else "green", "near its limit" if near else "", losses, most, "trips")


def _spike(moment: Moment) -> Gate:
    floats, most = moment.account[2], float(moment.limits[rule.SPIKE_RATIO])
    fast, slow = float(floats[own.FAST_VARIANCE]), float(floats[own.SLOW_VARIANCE])
    if slow <= 0.0:
        return Gate("volatility", "green", "", None, most, "x")
    halves = fast > most * most * slow
    ratio = math.sqrt(fast / slow)
    return Gate(
        "volatility", "amber" if halves else "green", "targets are halved" if halves else "", ratio, most,
        "x",
    )  # fmt: skip


def _rate(moment: Moment) -> Gate:
    ring = moment.account[1][own.RING : own.RING + own.RING_SIZE]
    recent, most = int((ring > moment.now - SECOND_NS).sum()), float(moment.limits[rule.MAX_ORDERS_PER_S])
    if not recent < most:
        return Gate("order rate", "red", why.REASON_NAMES[why.RATE], recent, most, "/s")
    near = recent >= NEAR * most
    return Gate("order rate", "amber" if near else "green", "near its limit" if near else "", recent, most, "/s")


def _exposure(moment: Moment) -> Gate:
    """Of the side that holds more, with what its orders may still add."""
    orders, integers, _ = moment.account
    view, limits = moment.view, moment.limits
    worst = max(abs(_reach(orders, integers, side)) for side in (1, -1))
    usd = value_of(
        worst, int(view[saw.BEST_BID]), limits[rule.LOT_VALUE], limits[rule.TICK_SIZE], limits[rule.INVERSE] != 0.0
    )
    most = float(limits[rule.MAX_POSITION_USD])
    near = not usd < NEAR * most
    word = "one side is at the cap" if not usd < most else "near its limit"
    return Gate("exposure", "amber" if near else "green", word if near else "", _finite(usd), most, "USD")


def _reach(orders: NDArray[np.int64], integers: NDArray[np.int64], side: int) -> int:
    return max(0, side * int(integers[own.POSITION]) + int(own.open_lots(orders, side)))


def _below(name: str, value: float, most: float, unit: str, code: int) -> Gate:
    """A gate that is red unless ``value`` is at or below ``most``."""
    if not value <= most:
        return Gate(name, "red", why.REASON_NAMES[code], _finite(value), float(most), unit)
    near = value > NEAR * most
    return Gate(name, "amber" if near else "green", "near its limit" if near else "", float(value), float(most), unit)


def _latch(name: str, closed: bool, reason: str) -> Gate:
    return Gate(name, "red" if closed else "green", reason if closed else "", None, None, "")


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
