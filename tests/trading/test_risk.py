"""Each gate by itself: it stops what it names, latches where it says so, and tightening it never lets more through."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.events import BUY, SELL
from tests.builders_decisions import DOWN, FLAT, NOW, UP, Outcome, act, held, row
from tests.builders_market import COINM_BTC
from tests.builders_trading import TRADING, trading
from trading import account as own
from trading import intents as sent
from trading import records
from trading.account import Account, new_account
from trading.limits import limits_of
from trading.parameters import PolicyKind, TradingParameters
from trading.risk import on_simplex, worst_fill_usd

MS = 1_000_000
TIGHTER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "max_delay_ms": ({"routing": {"max_delay_ms": 200.0}}, {"routing": {"max_delay_ms": 100.0}}),
    "max_silence_ms": ({"routing": {"max_silence_ms": 900.0}}, {"routing": {"max_silence_ms": 500.0}}),
    "max_decision_lag_ms": ({"routing": {"max_decision_lag_ms": 9.0}}, {"routing": {"max_decision_lag_ms": 3.0}}),
    "min_touch_usd": ({"routing": {"min_touch_usd": 0.0}}, {"routing": {"min_touch_usd": 2_000.0}}),
    "max_position_usd": ({"risk": {"max_position_usd": 9_000.0}}, {"risk": {"max_position_usd": 4_000.0}}),
    "max_orders_per_s": ({"risk": {"max_orders_per_s": 60}}, {"risk": {"max_orders_per_s": 3}}),
    "max_drawdown_usd": ({"risk": {"max_drawdown_usd": 1e9}}, {"risk": {"max_drawdown_usd": 40.0}}),
    "spike_ratio": ({"risk": {"spike_ratio": 1e9}}, {"risk": {"spike_ratio": 1.5}}),
    "confidence_cancel": ({"sizing": {"confidence_cancel": 0.0}}, {"sizing": {"confidence_cancel": 0.4}}),
    "confidence_halve": ({"sizing": {"confidence_halve": 0.3}}, {"sizing": {"confidence_halve": 0.9}}),
    "jitter_ref_ms": ({"sizing": {"jitter_ref_ms": 1e9}}, {"sizing": {"jitter_ref_ms": 1.0}}),
    "depth_share": ({"sizing": {"depth_share": 1.0}}, {"sizing": {"depth_share": 0.1}}),
}


def opened(outcome: Outcome, position: int) -> int:
    """Lots that the orders of a decision would add beyond flat."""
    placed = outcome.intents[outcome.intents[:, sent.VERB] == records.PLACE]
    return sum(max(0, int(qty) - max(0, -int(side) * position)) for side, qty in placed[:, [sent.SIDE, sent.QTY]])


@st.composite
def situations(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray, dict[str, Any]]:
    """Position, forecast, view and what else a decision is told."""
    up = draw(st.floats(0.05, 0.9))
    none = draw(st.floats(0.0, 1.0)) * (1.0 - up)
    forecast = np.array([1.0 - up - none, none, up, -2.0, 0.0, draw(st.floats(0.5, 6.0)), 0.0])
    late_ms = draw(st.integers(0, 12))
    seen = row(
        BID_QTY=draw(st.integers(1, 60)),
        ASK_QTY=draw(st.integers(1, 60)),
        DELAY_NS=draw(st.integers(0, 250)) * MS,
        INGEST_TS=NOW - draw(st.integers(0, 1_100)) * MS,
    )
    state = {"now": NOW + late_ms * MS, "equity": draw(st.floats(-0.002, 0.001)), "ready": draw(st.booleans())}
    return draw(st.integers(-60, 60)), forecast, seen, state


def prepared(position: int, sent_lately: int, spike: bool) -> Account:
    account = held(position)
    account[1][own.RING : own.RING + sent_lately] = NOW
    account[1][own.LAST_MID2], account[2][own.JITTER_MS] = 1_000_001, 20.0
    account[2][[own.FAST_VARIANCE, own.SLOW_VARIANCE]] = (9.0, 1.0) if spike else (1.0, 1.0)
    return account


@pytest.mark.parametrize("kind", ["take", "quote"])
@pytest.mark.parametrize("rule", TIGHTER)
@settings(max_examples=15)
@given(situation=situations(), lately=st.integers(0, 5), spike=st.booleans())
def test_a_tighter_rule_never_opens_more(
    kind: PolicyKind, rule: str, situation: tuple[int, np.ndarray, np.ndarray, dict[str, Any]], lately: int, spike: bool
) -> None:
    position, forecast, seen, state = situation
    loose, tight = (
        opened(act(prepared(position, lately, spike), forecast, seen.copy(), trading(**rules), kind, **state), position)
        for rules in TIGHTER[rule]
    )
    assert tight <= loose


@given(confidence=st.floats(0.0, 3.0))
def test_confidence_never_widens_the_exposure_cap(confidence: float) -> None:
    from trading.risk import room

    limits, account = limits_of(TRADING, COINM_BTC, "take", (0.0, 0.0)), held(20)
    allowed = room(account, limits, row(), BUY, confidence)
    assert 0 <= allowed <= room(account, limits, row(), BUY, 1.0) == 180
    assert room(account, limits, row(), SELL, confidence) >= 20  # the way out stays open


def test_low_confidence_halves_the_exposure_cap_too() -> None:
    rules = trading(risk={"max_position_usd": 3_000.0}, sizing={"confidence_halve": 0.9})
    assert act(new_account(), parameters=rules).intents[0, sent.QTY] == 15
    assert act(new_account(), parameters=trading(risk={"max_position_usd": 3_000.0})).intents[0, sent.QTY] == 30


def test_the_worst_fill_of_an_order_by_hand() -> None:
    limits = limits_of(TRADING, COINM_BTC, "take", (0.0, 0.0))
    seen = row(BEST_BID=500_000, BEST_ASK=500_002)
    # 10 contracts of 100 USD, 9 ticks above the mid of 500,001: 1,000 x 9 / 500,010; 2 bp of fee are 0.2 USD
    assert worst_fill_usd(limits, seen, BUY, 500_010, 10, 2.0) == pytest.approx(1_000 * 9 / 500_010 + 0.2)
    assert worst_fill_usd(limits, seen, BUY, 499_990, 10, -1.0) == 0.0  # below the mid a fill is worth something


def test_the_drawdown_counts_pending_orders_at_their_worst_fill() -> None:
    rules = trading(risk={"max_drawdown_usd": 1.0})
    account = new_account()
    own.take_slot(account, own.TAKER_SLOT, BUY, 500_100, 100, NOW)  # 10,000 USD x 99.5 / 500,100 = 1.99 USD
    assert act(account, FLAT, parameters=rules).reason == records.DRAWDOWN
    calm = new_account()
    own.take_slot(calm, own.TAKER_SLOT, BUY, 500_001, 100, NOW)
    assert act(calm, FLAT, parameters=rules).reason != records.DRAWDOWN


def test_an_order_whose_worst_fill_breaks_the_drawdown_is_not_sent() -> None:
    rules = trading(risk={"max_drawdown_usd": 0.04})  # 84 contracts at 2.5 ticks above the mid: 0.042 USD
    outcome = act(new_account(), UP, parameters=rules)
    assert outcome.reason == records.DRAWDOWN
    assert not outcome.intents.size
    assert act(held(84), DOWN, parameters=rules, now=NOW + MS).intents.size  # the way out stays open


def test_two_orders_of_one_row_share_what_may_still_be_lost() -> None:
    fees, enough_for_one = (0.0, 5e-4), 1.5 * 500.0 * 5e-4  # quotes of 5 contracts of 100 USD, 5 bp if they are taken
    rules = trading(risk={"max_drawdown_usd": enough_for_one}, probe={"order_usd": 500.0})
    outcome = act(new_account(), parameters=rules, kind="probe", fees=fees)
    assert outcome.intents[:, [sent.SIDE, sent.QTY]].tolist() == [[BUY, 5]]
    assert len(act(new_account(), parameters=trading(probe={"order_usd": 500.0}), kind="probe", fees=fees).intents) == 2


@pytest.mark.parametrize(
    "forecast",
    [
        [math.nan, 0.1, 0.8, -2.0, 0.0, 2.0, 0.0],
        [0.1, 0.1, 0.8, -2.0, math.inf, 2.0, 0.0],
        [0.3, 0.3, 0.3, -2.0, 0.0, 2.0, 0.0],
        [-0.1, 0.2, 0.9, -2.0, 0.0, 2.0, 0.0],
    ],
)
def test_a_forecast_off_the_simplex_latches_the_desk(forecast: list[float]) -> None:
    account = held(10)
    outcome = act(account, np.array(forecast))
    assert outcome.reason == records.DEGENERATE
    assert outcome.intents[0, [sent.SIDE, sent.QTY]].tolist() == [SELL, 10]
    later = act(account, UP, now=NOW + 2 * MS)
    assert later.reason == records.DEGENERATE
    own.forget_forecast(account)
    assert act(account, UP, now=NOW + 3 * MS).reason != records.DEGENERATE


def test_equal_forecasts_for_too_long_latch_the_desk() -> None:
    rules, account = trading(risk={"degenerate_rows": 3}), new_account()
    reasons = [act(account, forecast, parameters=rules).reason for forecast in (FLAT, FLAT, DOWN, FLAT, FLAT, FLAT)]
    assert records.DEGENERATE not in reasons
    assert act(account, FLAT, parameters=rules).reason == records.DEGENERATE


def test_an_unready_forecast_is_not_judged() -> None:
    account = new_account()
    assert act(account, np.zeros(7), ready=False).reason == records.NOT_READY
    assert account[1][own.DEGENERATE] == 0


@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(sum))
def test_shares_lie_on_the_simplex(weights: list[float]) -> None:
    shares = np.array(weights) / sum(weights)
    assert on_simplex(np.array([*shares, -1.0, 0.0, 1.0, 0.0]), 1e-6)
    assert not on_simplex(np.array([*(1.01 * shares), -1.0, 0.0, 1.0, 0.0]), 1e-3)


def at(row_ts: int, account: Account, parameters: TradingParameters = TRADING) -> Outcome:
    return act(account, FLAT, row(ROW_TS=row_ts), parameters, now=row_ts + MS)


def test_the_kill_switch_cancels_until_every_order_is_acknowledged_gone() -> None:
    account = new_account()
    resting = own.take_slot(account, own.BID_SLOT, BUY, 499_990, 5, NOW)
    own.acknowledge(account[0], resting)
    unheard = own.take_slot(account, own.ASK_SLOT, SELL, 500_010, 5, NOW)  # its acknowledgement never comes
    account[1][own.KILLED] = 1
    assert own.kill_state(account) == "unverified"
    first = at(NOW, account)
    assert first.reason == records.KILL_UNVERIFIED
    assert first.intents[:, [sent.VERB, sent.ORDER]].tolist() == [[records.CANCEL, resting]]
    assert not at(NOW + 400 * MS, account).intents.size
    again = at(NOW + 600 * MS, account)  # half a second without an answer
    assert again.intents[:, sent.ORDER].tolist() == [resting, unheard]
    own.finish(account[0], resting)
    assert at(NOW + 700 * MS, account).reason == records.KILL_UNVERIFIED
    own.finish(account[0], unheard)
    assert at(NOW + 800 * MS, account).reason == records.KILLED
    assert own.kill_state(account) == "verified"


def test_the_kill_switch_chases_orders_while_the_market_cannot_be_seen() -> None:
    account = new_account()
    order_id = own.take_slot(account, own.BID_SLOT, BUY, 499_990, 5, NOW)
    own.acknowledge(account[0], order_id)
    account[1][own.KILLED] = 1
    blind = [act(account, seen=row(STATUS=1), now=NOW + after * MS) for after in (0, 500)]
    assert [outcome.intents[:, sent.ORDER].tolist() for outcome in blind] == [[order_id], [order_id]]
    assert {outcome.reason for outcome in blind} == {records.KILL_UNVERIFIED}
