"""Take, post or stand aside, by delay, silence and depth."""

import pytest

from market.orders import IOC, POST_ONLY
from tests.builders_decisions import FLAT, NOW, UP, act, held, row
from trading import account as own
from trading import intents as sent
from trading import records
from trading.account import new_account

MS = 1_000_000


@pytest.mark.parametrize(
    ("changes", "reason", "tif"),
    [
        ({}, records.ACTED, IOC),
        ({"DELAY_NS": 100 * MS}, records.ACTED, IOC),
        ({"DELAY_NS": 100 * MS + 1}, records.ACTED, POST_ONLY),
        ({"DELAY_NS": 200 * MS + 1}, records.DELAYED, None),
        ({"INGEST_TS": NOW - 498 * MS}, records.ACTED, IOC),
        ({"INGEST_TS": NOW - 500 * MS}, records.ACTED, POST_ONLY),
        ({"INGEST_TS": NOW - 1_000 * MS}, records.SILENT, None),
        ({"ASK_QTY": 20}, records.ACTED, IOC),
        ({"ASK_QTY": 19}, records.ACTED, POST_ONLY),
        ({"BID_QTY": 19}, records.ACTED, IOC),  # a buyer does not meet it
        ({"ASK_QTY": 9}, records.THIN_BOOK, None),
    ],
)
def test_an_order_is_taken_posted_or_not_sent(changes: dict[str, int], reason: int, tif: int | None) -> None:
    outcome = act(new_account(), UP, row(**changes))
    assert outcome.reason == reason
    assert outcome.intents[:, sent.TIF].tolist() == ([] if tif is None else [tif])


def test_a_posted_order_waits_at_its_touch_and_goes_when_its_edge_does() -> None:
    account, stale = new_account(), row(DELAY_NS=150 * MS)
    posted = act(account, UP, stale)
    assert posted.intents[0, [sent.PRICE, sent.QTY]].tolist() == [500_000, 84]
    own.acknowledge(account[0], 1)
    assert act(account, UP, stale).reason == records.ORDER_PENDING
    assert act(account, FLAT, stale).intents[:, sent.VERB].tolist() == [records.CANCEL]


def test_a_posted_order_makes_way_for_one_that_may_take() -> None:
    account = new_account()
    act(account, UP, row(DELAY_NS=150 * MS))
    own.acknowledge(account[0], 1)
    first = act(account, UP)
    assert first.intents[:, sent.VERB].tolist() == [records.CANCEL]  # its lots are still spoken for
    own.finish(account[0], 1)
    assert act(account, UP).intents[:, sent.TIF].tolist() == [IOC]


def test_an_exit_that_may_not_take_posts() -> None:
    account = held(50)
    outcome = act(account, FLAT, row(DELAY_NS=150 * MS))
    assert outcome.intents[:, [sent.SIDE, sent.TIF, sent.PRICE, sent.QTY]].tolist() == [[-1, POST_ONLY, 500_001, 50]]
