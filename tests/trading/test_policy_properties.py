"""Whatever market, forecast and venue do: no policy goes beyond its caps, crosses itself, overfills or trades blind."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.events import BUY, SELL
from market.orders import IOC, POST_ONLY
from tests.builders_decisions import NOW, Outcome, act, expects, row
from tests.builders_trading import trading
from trading import account as own
from trading import intents as sent
from trading import records
from trading.account import Account, begin_parent, new_account
from trading.parameters import PolicyKind
from trading.parent import ParentOrder

ROW_NS = 20_000_000
CAP = 40  # lots of 100 USD
RULES = trading(
    risk={"max_position_usd": 4_000.0, "max_orders_per_s": 60, "max_drawdown_usd": 1e9},
    quote={"inventory_usd": 3_000.0, "max_hold_s": 0.2},
    execute={"sweep_ms": 400.0},
)


class Row(NamedTuple):
    """One row of a made-up session."""

    bid: int
    spread: int
    depth: int
    delay_ms: int
    status: int
    mean_bp: float
    answers: list[int]  # per slot: 0 nothing, 1 acknowledged, 2 a lot filled, 3 filled, 4 ended


ROWS = st.lists(
    st.builds(
        Row,
        st.integers(499_990, 500_010),
        st.integers(1, 5),
        st.integers(5, 80),
        st.sampled_from([5, 5, 5, 150, 250]),
        st.sampled_from([0, 0, 0, 0, 1]),
        st.floats(-4.0, 4.0),
        st.lists(st.integers(0, 4), min_size=own.SLOTS, max_size=own.SLOTS),
    ),
    min_size=10,
    max_size=60,
)


def answer(account: Account, answers: list[int]) -> None:
    """What the venue says about each working order; a fill may overtake its acknowledgement."""
    orders, integers, _ = account
    for slot, kind in enumerate(answers):
        order_id, side, leaves = (int(orders[slot, place]) for place in (own.ORDER_ID, own.SIDE, own.LEAVES))
        if orders[slot, own.STATE] == own.FREE or kind == 0:
            continue
        if kind == 1:
            own.acknowledge(orders, order_id)
        elif kind == 4:
            own.finish(orders, order_id)
        else:
            lots = 1 if kind == 2 else leaves
            own.fill(orders, integers, order_id, side, lots, leaves - lots)


def exposure(account: Account) -> int:
    """The most lots that the position can come to if every order of one side fills."""
    position = int(account[1][own.POSITION])
    return max(
        position + int(own.open_lots(account[0], BUY)), -position + int(own.open_lots(account[0], SELL)), abs(position)
    )


def step(account: Account, place: int, now: Row, kind: PolicyKind) -> Outcome:
    seen = row(
        ROW_TS=NOW + place * ROW_NS,
        BEST_BID=now.bid,
        BEST_ASK=now.bid + now.spread,
        BID_QTY=now.depth,
        ASK_QTY=now.depth,
        DELAY_NS=now.delay_ms * 1_000_000,
        STATUS=now.status,
    )
    forecast = expects(now.mean_bp)
    frozen = seen.copy(), forecast.copy()
    outcome = act(account, forecast, seen, RULES, kind, now=int(seen[0]) + 1_000_000)
    assert np.array_equal(seen, frozen[0])
    assert np.array_equal(forecast, frozen[1])
    return outcome


def check(account: Account, working: np.ndarray, now: Row, outcome: Outcome) -> None:
    """``working`` : the order table before the decision."""
    for intent in outcome.intents:
        side, price = int(intent[sent.SIDE]), int(intent[sent.PRICE])
        if intent[sent.VERB] == records.CANCEL:
            assert working[intent[sent.SLOT], own.STATE] == own.RESTING
            continue
        assert now.status == 0
        assert now.delay_ms <= 200
        assert intent[sent.QTY] > 0
        other_touch = now.bid + now.spread if side == BUY else now.bid
        if intent[sent.TIF] == POST_ONLY:
            assert side * (other_touch - price) > 0
        else:
            assert intent[sent.TIF] == IOC
            assert now.delay_ms <= 100 or outcome.reason in (records.SWEPT, records.LEFT_INVENTORY)
        against = account[0][(account[0][:, own.STATE] != own.FREE) & (account[0][:, own.SIDE] == -side)]
        assert (side * (against[:, own.PRICE] - price) > 0).all()


KINDS: list[PolicyKind] = ["take", "probe", "quote", "execute"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(rows=ROWS, side=st.sampled_from([BUY, SELL]))
def test_no_policy_crosses_itself_or_the_touch_or_goes_beyond_its_caps(
    kind: PolicyKind, rows: list[Row], side: int
) -> None:
    account = new_account()
    begin_parent(account, ParentOrder(side, 25, NOW + ROW_NS, NOW + 45 * ROW_NS))
    for place, now in enumerate(rows):
        answer(account, now.answers)
        working, before = account[0].copy(), exposure(account)
        outcome = step(account, place, now, kind)
        check(account, working, now, outcome)
        assert exposure(account) <= max(CAP, before)
        if kind == "execute":
            done = 25 - int(own.parent_left(account[1]))
            assert done >= 0
            assert done + int(own.open_lots(account[0], side)) <= 25
            assert own.open_lots(account[0], -side) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "closed",
    [{"status": 1}, {"delay_ms": 5_000}, {"depth": 0}, {"killed": 1}, {"bid": -5}],
    ids=lambda closed: next(iter(closed)),
)
def test_a_cancel_passes_every_gate(kind: PolicyKind, closed: dict[str, Any]) -> None:
    account = new_account()
    begin_parent(account, ParentOrder(BUY, 25, NOW, NOW + 45 * ROW_NS))
    for slot, side in ((own.BID_SLOT, BUY), (own.ASK_SLOT, SELL)):
        order_id = own.take_slot(account, slot, side, 500_000 - 5 * side, 3, NOW)
        own.acknowledge(account[0], order_id)
    account[1][own.RING : own.RING + own.RING_SIZE] = NOW + 1_000_000  # no order may leave this second
    account[1][own.KILLED] = closed.get("killed", 0)
    seen = {name: value for name, value in closed.items() if name != "killed"}
    now = Row(500_000, 1, 50, 5, 0, 0.0, [])._replace(**seen)
    outcome = step(account, 0, now, kind)
    assert outcome.intents[:, [sent.VERB, sent.SLOT]].tolist() == [[records.CANCEL, 0], [records.CANCEL, 1]]
    assert outcome.reason not in (records.ACTED, records.ORDER_PENDING)


def test_equal_inputs_give_equal_decisions_and_accounts() -> None:
    rng = np.random.default_rng(5)
    rows = [
        Row(int(bid), 2, 40, 5, 0, float(mean), answers.tolist())
        for bid, mean, answers in zip(
            rng.integers(499_995, 500_005, 80), rng.normal(0, 2, 80), rng.integers(0, 5, (80, 3)), strict=True
        )
    ]
    first, second = new_account(), new_account()
    for place, now in enumerate(rows):
        for account in (first, second):
            answer(account, now.answers)
        a, b = (step(account, place, now, "quote") for account in (first, second))
        assert a.intents.tobytes() == b.intents.tobytes()
        assert all(one.tobytes() == two.tobytes() for one, two in zip(first, second, strict=True))
    assert first[1][own.NEXT_ORDER] > 20
