"""Parent orders by hand: the schedule, what the forecast makes of it, and the end of the window."""

from typing import Any

import numpy as np
import pytest

from market.errors import ConfigError
from market.events import BUY, SELL
from market.orders import IOC, POST_ONLY
from tests.builders_decisions import NOW, Outcome, act, expects, row
from tests.builders_trading import TRADING, session, trading
from trading import account as own
from trading import intents as sent
from trading import records
from trading.account import Account, begin_parent, new_account
from trading.parent import ParentOrder

SECOND = 1_000_000_000
PARENT = ParentOrder(BUY, 100, NOW, NOW + 100 * SECOND)  # a contract a second


def given(parent: ParentOrder = PARENT, position: int = 0, done: int = 0) -> Account:
    account = new_account()
    account[1][own.POSITION] = position
    begin_parent(account, parent)
    account[1][own.POSITION] += parent.side * done
    return account


def worked(account: Account, seconds: float, mean_bp: float = 0.0, **state: Any) -> Outcome:
    """The decision that many seconds after the parent's start."""
    at = NOW + round(seconds * SECOND)
    seen = row(ROW_TS=at, **state.pop("view", {}))
    parameters = trading(execute=state.pop("execute", {}), **state.pop("rules", {}))
    return act(account, expects(mean_bp), seen, parameters, "execute", now=at, **state)


def order(outcome: Outcome) -> list[int]:
    """Side, time in force, price and lots of the one order placed."""
    assert outcome.intents[:, sent.VERB].tolist() == [records.PLACE]
    found: list[int] = outcome.intents[0, [sent.SIDE, sent.TIF, sent.PRICE, sent.QTY]].tolist()
    return found


@pytest.mark.parametrize(
    ("seconds", "done", "mean_bp", "reason", "sends"),
    [
        (20.0, 20, 0.0, records.ACTED, [BUY, POST_ONLY, 500_000, 10]),  # on time: a tenth ahead may be posted
        (20.0, 17, 0.0, records.ACTED, [BUY, POST_ONLY, 500_000, 13]),
        (20.0, 15, 0.0, records.TOOK_BEHIND, [BUY, IOC, 500_003, 5]),  # a twentieth late
        (20.0, 20, 0.6, records.TOOK_EDGE, [BUY, IOC, 500_003, 10]),  # 0.6 bp up, 0.02 to cross, more than 0.5
        (20.0, 20, 0.51, records.ACTED, [BUY, POST_ONLY, 500_000, 10]),
        (20.0, 20, -0.6, records.WAITING, None),  # it gets cheaper
        (20.0, 15, -0.6, records.TOOK_BEHIND, [BUY, IOC, 500_003, 5]),  # but not later
        (20.0, 30, 0.6, records.ON_SCHEDULE, None),  # no further ahead than a tenth
        (99.5, 60, -5.0, records.SWEPT, [BUY, IOC, 500_003, 40]),
        (50.0, 100, 0.0, records.PARENT_DONE, None),
        (100.0, 60, 0.0, records.NO_PARENT, None),
        (-0.1, 0, 0.0, records.NO_PARENT, None),
    ],
)
def test_a_parent_order_is_worked_by_schedule_and_forecast(
    seconds: float, done: int, mean_bp: float, reason: int, sends: list[int] | None
) -> None:
    outcome = worked(given(done=done), seconds, mean_bp)
    assert outcome.reason == reason
    assert outcome.intents.size == 0 if sends is None else order(outcome) == sends


def test_a_sale_is_the_mirror_of_a_purchase() -> None:
    sale = ParentOrder(SELL, 100, PARENT.start_ts, PARENT.end_ts)
    assert order(worked(given(sale, done=20), 20.0, -0.6)) == [SELL, IOC, 499_998, 10]
    assert worked(given(sale, done=20), 20.0, 0.6).reason == records.WAITING


def test_what_was_held_before_is_not_the_parents() -> None:
    outcome = worked(given(position=-30, done=20), 20.0)
    assert order(outcome)[3] == 10
    assert outcome.thoughts[sent.TARGET] == 70


def test_without_a_forecast_the_schedule_goes_on() -> None:
    assert order(worked(given(done=15), 20.0, ready=False)) == [BUY, IOC, 500_003, 5]
    assert order(worked(given(done=20), 20.0, np.nan)) == [BUY, POST_ONLY, 500_000, 10]


def test_one_order_is_at_most_a_share_of_the_touch() -> None:
    thin = {"view": {"BID_QTY": 24, "ASK_QTY": 24}, "rules": {"routing": {"take_min_touch_usd": 1_000.0}}}
    assert order(worked(given(done=0), 20.0, **thin))[3] == 12  # half of 24, of 20 that are late
    assert order(worked(given(done=0), 99.5, **thin))[3] == 100  # the sweep takes what it can get


def test_an_order_that_waits_counts_until_its_cancel_is_answered() -> None:
    account = given(done=20)
    own.take_slot(account, own.BID_SLOT, BUY, 500_000, 75, NOW)
    own.acknowledge(account[0], 1)
    swept = worked(account, 99.5)
    assert swept.reason == records.SWEPT
    assert swept.intents[:, [sent.VERB, sent.QTY]].tolist() == [[records.CANCEL, 0], [records.PLACE, 5]]


def test_what_waits_for_more_than_may_be_done_now_is_cancelled() -> None:
    account = given(done=20)
    own.take_slot(account, own.BID_SLOT, BUY, 500_000, 40, NOW + 20 * SECOND)
    own.acknowledge(account[0], 1)
    assert worked(account, 20.0).intents[:, sent.VERB].tolist() == [records.CANCEL]


@pytest.mark.parametrize(
    "stale",
    [
        {"view": {"DELAY_NS": 150_000_000}},
        {"view": {"INGEST_TS": NOW + 20 * SECOND - 600_000_000}},
        {"view": {"ASK_QTY": 15}},
    ],
)
def test_where_nothing_may_be_taken_a_late_parent_posts(stale: dict[str, Any]) -> None:
    outcome = worked(given(done=10), 20.0, **stale)
    assert order(outcome)[:3] == [BUY, POST_ONLY, 500_000]


def test_a_halt_cancels_and_keeps_what_the_parent_bought() -> None:
    account = given(done=50)
    own.take_slot(account, own.BID_SLOT, BUY, 500_000, 5, NOW)
    own.acknowledge(account[0], 1)
    account[1][own.KILLED] = 1
    outcome = worked(account, 20.0)
    assert outcome.reason == records.KILL_UNVERIFIED
    assert outcome.intents[:, sent.VERB].tolist() == [records.CANCEL]


def test_the_exposure_cap_stops_a_parent() -> None:
    outcome = worked(given(done=15), 20.0, rules={"risk": {"max_position_usd": 1_500.0}})
    assert outcome.reason == records.EXPOSURE


@pytest.mark.parametrize(
    "flawed", [(0, 10, 0, 1), (BUY, 0, 0, 1), (SELL, -3, 0, 1), (BUY, 10, 5, 5)], ids=["side", "lots", "less", "span"]
)
def test_a_parent_order_that_asks_for_nothing_is_refused(flawed: tuple[int, int, int, int]) -> None:
    with pytest.raises(ConfigError):
        ParentOrder(*flawed)


def test_parents_are_worked_one_after_another() -> None:
    trader = session("execute", TRADING)
    trader.work([PARENT])
    with pytest.raises(ConfigError, match="begins before"):
        trader.work([ParentOrder(SELL, 5, PARENT.end_ts - 1, PARENT.end_ts + SECOND)])
    trader.work([ParentOrder(SELL, 5, PARENT.end_ts, PARENT.end_ts + SECOND)])
    assert len(trader.parents) == 2
