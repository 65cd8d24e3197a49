"""Hand-made rows through ``decide``: what it sends, and what each gate stops."""

import math
from typing import Any

import numpy as np
import pytest

from market.events import BUY, SELL
from market.orders import IOC, POST_ONLY
from tests.builders_decisions import DOWN, FLAT, NOW, UP, act, held, row
from tests.builders_market import USDM_BTC
from tests.builders_trading import trading
from trading import account as own
from trading import intents as sent
from trading import records
from trading.account import new_account

WARY = trading(sizing={"confidence_cancel": 0.35})


@pytest.mark.parametrize(("forecast", "side", "limit"), [(UP, BUY, 500_003), (DOWN, SELL, 499_998)])
def test_an_edge_sends_one_immediate_order_towards_the_target(forecast: np.ndarray, side: int, limit: int) -> None:
    outcome = act(new_account(), forecast)
    # mean 1.4 bp, variance 3.6 - 1.96 = 1.64; share = (1.4 - 0.02) / 1.64 = 0.84 of 100 contracts
    assert outcome.reason == records.ACTED
    assert outcome.intents.tolist() == [[records.PLACE, 1, side, IOC, own.TAKER_SLOT, limit, 84]]
    assert outcome.thoughts[sent.MU_BP] == pytest.approx(side * 1.4)


def test_linear_and_inverse_contracts_ask_for_the_same_money() -> None:
    inverse = act(new_account())
    linear = act(new_account(), instrument=USDM_BTC, seen=row(BID_QTY=10**6, ASK_QTY=10**6))
    assert linear.intents[0, sent.QTY] * 0.001 * 50_000 == pytest.approx(inverse.intents[0, sent.QTY] * 100, rel=0.01)


def test_a_cost_above_the_expected_return_sends_nothing() -> None:
    outcome = act(new_account(), fees=(0.0, 1e-4))
    assert outcome.reason == records.NO_EDGE
    assert not outcome.intents.size


def test_a_position_waits_for_its_horizon_and_then_leaves() -> None:
    account = held(50)
    account[1][own.SIGNAL_TS] = NOW
    waiting = act(account, FLAT, now=NOW + 40_000_000)
    assert not waiting.intents.size
    assert waiting.thoughts[sent.TARGET] == 50
    late = NOW + 1_000_000_000
    leaving = act(account, FLAT, row(ROW_TS=late), now=late)
    assert leaving.intents[0, [sent.SIDE, sent.QTY]].tolist() == [SELL, 50]


def test_one_order_at_a_time_works_towards_the_target() -> None:
    account = new_account()
    act(account)
    assert act(account).reason == records.ORDER_PENDING


@pytest.mark.parametrize(
    ("reason", "seen", "state"),
    [
        (records.ROW_INVALID, row(STATUS=1), {}),
        (records.ROW_INVALID, row(BEST_BID=500_001), {}),
        (records.DELAYED, row(DELAY_NS=200_000_001), {}),
        (records.LATE_DECISION, row(), {"now": NOW + 50_000_001}),
        (records.LATE_DECISION, row(), {"now": NOW - 1}),
        (records.THIN_BOOK, row(ASK_QTY=9), {}),
        (records.BAD_INPUT, row(), {"equity": math.nan}),
        (records.NOT_READY, row(), {"ready": False}),
        (records.DEGENERATE, row(), {"forecast": np.array([math.nan, 0.1, 0.8, -2.0, 0.0, 2.0, 0.0])}),
        (
            records.LOW_CONFIDENCE,
            row(),
            {"forecast": np.array([0.34, 0.33, 0.33, -2.0, 0.0, 2.0, 0.0]), "parameters": WARY},
        ),
    ],
)
def test_a_row_that_cannot_be_trusted_sends_no_order(reason: int, seen: np.ndarray, state: dict[str, Any]) -> None:
    outcome = act(new_account(), seen=seen, **state)
    assert outcome.reason == reason
    assert not outcome.intents.size


def test_a_closed_gate_still_cancels_what_rests() -> None:
    account = new_account()
    act(account, kind="probe")
    account[0][:2, own.STATE] = own.RESTING
    outcome = act(account, seen=row(STATUS=1), kind="probe")
    assert outcome.intents[:, sent.VERB].tolist() == [records.CANCEL, records.CANCEL]


def test_the_rate_cap_stops_the_order_over_it() -> None:
    account = new_account()
    account[1][own.RING : own.RING + 10] = NOW
    assert act(account).reason == records.RATE
    assert act(account, now=NOW + 1_000_000_000, seen=row(ROW_TS=NOW + 999_000_000)).reason == records.ACTED


def test_the_exposure_cap_counts_position_and_open_orders() -> None:
    capped = trading(risk={"max_position_usd": 5_000.0})
    assert act(new_account(), parameters=capped).intents[0, sent.QTY] == 50
    assert act(held(50), parameters=capped).reason == records.EXPOSURE


def test_a_losing_streak_pauses_and_flattens() -> None:
    account = held(10)
    for _ in range(3):
        own.close_trip(account[1], account[2], account[2][own.TRIP_EQUITY] - 1.0, 5_000_000_000, 3, NOW)
    outcome = act(account)
    assert outcome.reason == records.LOSS_STREAK
    assert outcome.intents[0, [sent.SIDE, sent.QTY]].tolist() == [SELL, 10]


def test_a_drawdown_latches_until_somebody_resets_it() -> None:
    account = new_account()
    act(account, FLAT, equity=0.01)  # 500 USD above the start
    assert act(account, equity=0.0079).reason == records.DRAWDOWN  # 105 USD below the peak
    assert act(account, equity=0.02).reason == records.DRAWDOWN


def test_the_kill_switch_stops_new_risk() -> None:
    account = new_account()
    account[1][own.KILLED] = 1
    outcome = act(account)
    assert outcome.reason == records.KILLED
    assert not outcome.intents.size


def test_a_volatility_spike_halves_the_target() -> None:
    account = new_account()
    account[2][[own.FAST_VARIANCE, own.SLOW_VARIANCE]] = 100.0, 1.0
    outcome = act(account)
    assert outcome.intents[0, sent.QTY] == 42
    assert outcome.thoughts[sent.HALVINGS] == 1


def test_visible_depth_caps_the_order() -> None:
    outcome = act(new_account(), seen=row(ASK_QTY=30))
    assert outcome.intents[0, sent.QTY] == 30
    assert outcome.thoughts[sent.CAPPED] == 1


def test_the_probe_keeps_one_post_only_order_at_each_touch() -> None:
    account = new_account()
    outcome = act(account, kind="probe")
    assert outcome.intents[:, [sent.SIDE, sent.TIF, sent.PRICE, sent.QTY]].tolist() == [
        [BUY, POST_ONLY, 500_000, 5],
        [SELL, POST_ONLY, 500_001, 5],
    ]
    account[0][:2, own.STATE] = own.RESTING
    moved = act(account, kind="probe", seen=row(BEST_BID=499_999))
    assert moved.intents[:, [sent.VERB, sent.ORDER]].tolist() == [[records.CANCEL, 1]]


def test_members_that_are_further_apart_than_the_edge_leave_none() -> None:
    parameters = trading(sizing={"lcb_z": 2.0})  # a mean of 1.4 bp, a spread of 0.02 bp to pay
    said, targets = UP.copy(), []
    for spread_bp in (0.0, 0.2, 0.4, 0.68, 0.7):
        said[sent.SPREAD] = spread_bp
        targets.append(int(act(new_account(), said, parameters=parameters).thoughts[sent.TARGET]))
    assert targets == sorted(targets, reverse=True)
    assert len(set(targets)) == 5
    assert targets[-1] == 0
    said[sent.SPREAD] = 0.7
    assert act(new_account(), said, parameters=parameters).reason == records.NO_EDGE
    assert act(new_account(), said).thoughts[sent.TARGET] == targets[0]  # with lcb_z at 0 the spread counts for nothing
    said[sent.SPREAD] = math.nan
    assert act(new_account(), said).reason == records.DEGENERATE
