"""Quotes by hand: where they stand, when they lean, when they are pulled, and when an inventory is left."""

from typing import Any

import numpy as np
import pytest

from market.events import BUY, SELL
from market.orders import IOC, POST_ONLY
from tests.builders_decisions import NOW, Outcome, act, expects, held, row
from tests.builders_trading import TRADING, trading
from trading import account as own
from trading import intents as sent
from trading import records
from trading.account import Account, new_account
from trading.parameters import TradingParameters

MS = 1_000_000
WIDE = {"BEST_BID": 500_000, "BEST_ASK": 500_010}


def quoted(
    mean_bp: float = 0.0,
    account: Account | None = None,
    seen: np.ndarray | None = None,
    parameters: TradingParameters = TRADING,
    **state: Any,
) -> Outcome:
    account = new_account() if account is None else account
    return act(account, expects(mean_bp), seen, parameters, "quote", **state)


def prices(outcome: Outcome) -> dict[int, int]:
    """Price by side of the orders placed."""
    placed = outcome.intents[outcome.intents[:, sent.VERB] == records.PLACE]
    assert (placed[:, sent.TIF] == POST_ONLY).all()
    return dict(zip(placed[:, sent.SIDE].tolist(), placed[:, sent.PRICE].tolist(), strict=True))


def sizes(outcome: Outcome) -> list[int]:
    return outcome.intents[:, sent.QTY].tolist()


@pytest.mark.parametrize(
    ("mean_bp", "position", "keys", "bid", "ask"),
    [
        (0.0, 0, {}, 500_000, 500_010),
        (0.0, 0, {"distance_ticks": 3.0}, 499_997, 500_013),
        (0.1, 0, {}, 500_003, 500_013),  # half of 5 ticks: 2.5, rounded towards the market
        (-0.1, 0, {}, 499_997, 500_007),
        (0.9, 0, {}, 500_009, 500_033),  # 22.5 ticks up: the bid stays a tick short of the ask
        (0.0, 20, {}, 499_998, 500_008),  # half of the inventory: half of 4 ticks down
        (0.0, -40, {}, 500_004, 500_014),  # all of it
        (0.1, 20, {}, 500_001, 500_011),  # both: 2.5 up, 2 down
        (0.1, 0, {"forecast_share": 0.0}, 500_000, 500_010),
        (0.0, 0, {"min_edge_bp": 0.2}, 499_994, 500_016),  # 10 ticks from the mid at 500,005, and then a whole one
        (0.1, 0, {"min_edge_bp": 0.2}, 499_999, 500_021),  # the same around 500,010
    ],
)
def test_quotes_stand_where_forecast_inventory_and_fee_put_them(
    mean_bp: float, position: int, keys: dict[str, Any], bid: int, ask: int
) -> None:
    outcome = quoted(mean_bp, held(position), row(**WIDE), trading(quote=keys))
    expected = {BUY: bid, SELL: ask}
    if position == -40:
        del expected[SELL]  # the side that would add to a full inventory is not quoted
    assert prices(outcome) == expected
    assert outcome.reason == records.ACTED


def test_the_makers_fee_moves_both_quotes_away() -> None:
    outcome = quoted(seen=row(**WIDE), parameters=trading(quote={"min_edge_bp": 0.0}), fees=(2e-5, 5e-4))
    assert prices(outcome) == {BUY: 499_994, SELL: 500_016}  # 0.2 bp of 500,005 is 10.0001 ticks


@pytest.mark.parametrize(("mean_bp", "kept"), [(1.1, BUY), (-1.1, SELL)])
def test_the_side_that_the_forecast_runs_against_is_pulled(mean_bp: float, kept: int) -> None:
    account = new_account()
    quoted(0.0, account)
    account[0][:2, own.STATE] = own.RESTING
    lazy = trading(quote={"tolerance_ticks": 100.0})
    outcome = quoted(mean_bp, account, parameters=lazy)
    assert outcome.reason == records.PULLED
    assert outcome.intents[:, [sent.VERB, sent.SIDE]].tolist() == [[records.CANCEL, -kept]]
    assert list(prices(quoted(mean_bp, parameters=lazy))) == [kept]


def test_a_quote_is_a_share_of_its_touch_and_no_more_than_the_inventory_takes() -> None:
    assert sizes(quoted()) == [10, 10]  # 1,000 USD of 100 USD contracts
    assert sizes(quoted(seen=row(BID_QTY=12, ASK_QTY=30))) == [6, 10]  # half of what stands there
    assert sizes(quoted(account=held(35))) == [5, 10]
    full = quoted(account=held(40))
    assert full.intents[:, sent.SIDE].tolist() == [SELL]
    assert quoted(seen=row(BID_QTY=1, ASK_QTY=1), parameters=trading(routing={"min_touch_usd": 0.0})).reason == (
        records.THIN_BOOK
    )


def test_a_volatility_spike_halves_the_quotes() -> None:
    account = new_account()
    account[2][[own.FAST_VARIANCE, own.SLOW_VARIANCE]] = 100.0, 1.0
    assert sizes(quoted(account=account)) == [5, 5]


def test_a_quote_keeps_its_place_within_the_tolerance_and_its_age() -> None:
    account = new_account()
    quoted(0.0, account)
    account[0][:2, own.STATE] = own.RESTING
    near = quoted(0.0, account, row(BEST_BID=499_999, BEST_ASK=500_000))
    assert near.reason == records.ORDER_PENDING
    assert not near.intents.size
    later = NOW + 5_001 * MS
    aged = quoted(0.0, account, row(ROW_TS=later), now=later)
    assert aged.intents[:, sent.VERB].tolist() == [records.CANCEL] * 2


def test_a_quote_that_moved_away_is_replaced_after_its_cancel_is_answered() -> None:
    account = new_account()
    quoted(0.0, account)
    account[0][:2, own.STATE] = own.RESTING
    far = row(BEST_BID=499_980, BEST_ASK=499_981)
    assert quoted(0.0, account, far).intents[:, sent.VERB].tolist() == [records.CANCEL] * 2
    assert quoted(0.0, account, far).reason == records.ORDER_PENDING
    own.finish(account[0], 1)
    # the new bid would be no problem for the ask at 500,001 that still waits for its cancel
    assert prices(quoted(0.0, account, far)) == {BUY: 499_980}


def test_a_quote_waits_while_an_own_order_stands_in_its_way() -> None:
    account = new_account()
    quoted(0.0, account)
    account[0][:2, own.STATE] = own.RESTING
    own.finish(account[0], 1)
    above = row(BEST_BID=500_005, BEST_ASK=500_006)  # our ask at 500,001 still works
    outcome = quoted(0.0, account, above)
    assert outcome.intents[:, [sent.VERB, sent.SIDE]].tolist() == [[records.CANCEL, SELL]]


def test_an_inventory_held_too_long_is_taken_off_at_once() -> None:
    account = held(20)
    quoted(0.0, account)
    account[0][:] = 0
    later = NOW + 31_000 * MS
    outcome = quoted(0.0, account, row(ROW_TS=later), now=later)
    assert outcome.reason == records.LEFT_INVENTORY
    assert outcome.intents[:, [sent.SIDE, sent.TIF, sent.QTY]].tolist() == [[SELL, IOC, 20]]


def test_an_inventory_is_left_when_it_is_expected_to_lose_more_than_the_way_out_costs() -> None:
    # half a spread of 0.02 bp, a fee of 1 bp and the margin of 1 bp
    assert quoted(-1.9, held(20), fees=(0.0, 1e-4)).reason != records.LEFT_INVENTORY
    leaving = quoted(-2.1, held(20), fees=(0.0, 1e-4))
    assert leaving.reason == records.LEFT_INVENTORY
    assert leaving.intents[:, [sent.SIDE, sent.QTY]].tolist() == [[SELL, 20]]


def test_without_a_forecast_quotes_are_cancelled_and_none_is_placed() -> None:
    account = new_account()
    quoted(0.0, account)
    account[0][:2, own.STATE] = own.RESTING
    outcome = quoted(0.0, account, ready=False)
    assert outcome.reason == records.NOT_READY
    assert outcome.intents[:, sent.VERB].tolist() == [records.CANCEL] * 2
