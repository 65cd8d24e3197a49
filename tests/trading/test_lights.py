"""The gates that a person reads are those that stop an order: ``trading.lights`` against ``trading.risk``."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders_market import COINM_BTC, USDM_BTC
from tests.builders_trading import trading
from trading import account as own
from trading import limits as rule
from trading import records as why
from trading import view as saw
from trading.account import new_account
from trading.lights import Gate, Moment, gates
from trading.limits import limits_of
from trading.risk import halted, market_gate, rate_gate, spiking

NOW = 1_700_000_000_000_000_000
LIMITS = {inst.inverse: limits_of(trading(), inst, "take", (0.0, 0.0)) for inst in (COINM_BTC, USDM_BTC)}
MARKET = {
    "row": why.ROW_INVALID,
    "input": why.BAD_INPUT,
    "delay": why.DELAYED,
    "decision lag": why.LATE_DECISION,
    "silence": why.SILENT,
    "depth": why.THIN_BOOK,
}
HALTS = {"drawdown": why.DRAWDOWN, "losing streak": why.LOSS_STREAK}


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    """Any account and market, most of them near some limit."""
    limits = LIMITS[draw(st.booleans())]
    view = np.zeros(saw.VIEW, np.int64)
    view[saw.STATUS] = draw(st.sampled_from([0, 0, 0, 0, 1]))
    bid = draw(st.integers(0, 600_000))
    view[saw.BEST_BID], view[saw.BEST_ASK] = bid, bid + draw(st.integers(-1, 20))
    view[saw.BID_QTY], view[saw.ASK_QTY] = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    view[saw.DELAY_NS] = int(limits[rule.MAX_DELAY_NS]) + draw(st.integers(-2, 1)) * draw(st.integers(0, 10**8))
    view[saw.INGEST_TS] = NOW - int(limits[rule.MAX_SILENCE_NS]) + draw(st.integers(-1, 10**9))
    lag_ns = draw(st.sampled_from([-1, 0, int(limits[rule.MAX_DECISION_LAG_NS]), 10**9, 45_000_000]))
    view[saw.ROW_TS] = NOW - lag_ns
    account = new_account()
    _, integers, floats = account
    integers[own.KILLED] = draw(st.sampled_from([0, 0, 1]))
    integers[own.DRAWN_DOWN] = draw(st.sampled_from([0, 0, 1]))
    integers[own.PAUSED_UNTIL] = NOW + draw(st.sampled_from([-1, 0, 1, 10**9]))
    for place in range(draw(st.integers(0, own.RING_SIZE))):
        integers[own.RING + place] = NOW - draw(st.integers(0, 2_000_000_000))
    floats[own.FAST_VARIANCE], floats[own.SLOW_VARIANCE] = draw(st.floats(0, 20)), draw(st.floats(0, 2))
    equity = draw(st.sampled_from([0.0, -1.0, math.nan, math.inf]))
    return Moment(account, limits, view, equity, NOW, lag_ns)


def named(moment: Moment) -> dict[str, Gate]:
    """The gates by name; no two bear one."""
    found = gates(moment)
    by_name = {gate.name: gate for gate in found}
    assert len(by_name) == len(found)
    return by_name


@given(moments())
def test_the_first_red_gate_of_the_market_is_the_reason_why_nothing_is_sent(moment: Moment) -> None:
    found = named(moment)
    red = [code for name, code in MARKET.items() if found[name].light == "red"]
    stopped = int(market_gate(moment.limits, moment.view, moment.equity, moment.now))
    assert (red or [why.ACTED])[0] == stopped


@given(moments())
def test_the_first_red_latch_is_the_reason_why_the_desk_is_halted(moment: Moment) -> None:
    found = named(moment)
    latched = {name: code for name, code in HALTS.items() if found[name].light == "red"}
    if found["drawdown"].reason != "drawdown, latched":
        latched.pop("drawdown", None)  # as of the newest valid row, on which it would have latched
    assert (list(latched.values()) or [why.ACTED])[0] == int(halted(moment.account[1], moment.now))


@given(moments(), st.integers(0, 1), st.booleans())
def test_latches_that_only_a_person_or_another_model_opens_are_red(moment: Moment, latched: int, working: bool) -> None:
    orders, integers, _ = moment.account
    integers[own.KILLED] = integers[own.DEGENERATE] = latched
    orders[own.BID_SLOT, own.STATE] = own.RESTING if working else own.FREE
    found = named(moment)
    assert {found["kill switch"].light, found["forecast"].light} == {"red" if latched else "green"}
    assert found["kill switch"].reason == ("" if not latched else f"kill switch{', unverified' if working else ''}")


@given(moments())
def test_rate_and_volatility_are_judged_as_the_decision_judges_them(moment: Moment) -> None:
    found = named(moment)
    stopped = int(rate_gate(moment.account[1], moment.limits, moment.now)) == why.RATE
    assert (found["order rate"].light == "red") == stopped
    assert (found["volatility"].light == "amber") == bool(spiking(moment.account[2], moment.limits))


@given(moments())
def test_a_gate_that_is_not_green_says_why(moment: Moment) -> None:
    assert all(bool(gate.reason) == (gate.light != "green") for gate in gates(moment))


@pytest.mark.parametrize(("lots", "light"), [(0, "green"), (31, "green"), (32, "amber"), (40, "amber")])
def test_exposure_counts_position_and_orders_of_a_side(lots: int, light: str) -> None:
    limits = LIMITS[True].copy()
    limits[rule.MAX_POSITION_USD] = 4_000.0  # forty lots of 100 USD
    account = new_account()
    account[1][own.POSITION] = lots // 2
    account[0][own.BID_SLOT] = 0
    account[0][own.BID_SLOT, [own.ORDER_ID, own.SIDE, own.LEAVES, own.STATE]] = 1, 1, lots - lots // 2, own.RESTING
    view = np.zeros(saw.VIEW, np.int64)
    view[[saw.BEST_BID, saw.BEST_ASK]] = 500_000, 500_001
    exposure = named(Moment(account, limits, view, 0.0, NOW, 0))["exposure"]
    assert (exposure.value, exposure.light) == (100.0 * lots, light)
