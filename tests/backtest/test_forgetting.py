"""A venue that runs for months: orders that are done leave its table, and nobody can tell from what it says."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from backtest import orders
from backtest.venue import SimulatedVenue
from market.events import BUY
from market.orders import ALREADY_DONE, DUPLICATE_ID, GTC, UNKNOWN_ORDER
from tests.builders_venue import COIN, FOREVER, MS, VENUE, Action, act, level, opened, parameters, sessions

MANY = 5_000  # orders, each cancelled
NEVER_SENT = 1_000_000


def renamed(actions: Iterable[Action]) -> Iterator[Action]:
    """The same actions with ids that rise from order to order; an id used twice still is."""
    names: dict[int, int] = {}
    for name, *rest in actions:
        if name == "place":
            names.setdefault(rest[0], len(names) + 1)
        if name in ("place", "cancel", "modify"):
            rest[0] = names.get(rest[0], NEVER_SENT)
        yield (name, *rest)


@given(sessions(), parameters())
def test_it_says_what_one_that_keeps_all_says(actions: list[Action], changes: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "ROOM", 1)
        forgetful, whole = (SimulatedVenue(COIN, replace(VENUE, **changes), forgets=how) for how in (True, False))
        for name, *arguments in renamed(actions):
            forgotten = name in ("cancel", "modify") and whole.order(arguments[0]) and not forgetful.order(arguments[0])
            if not forgotten:  # nobody asks for what he was told is done
                said, meant = (getattr(venue, name)(*arguments) for venue in (forgetful, whole))
            if name == "reports":
                assert said.tobytes() == meant.tobytes()
    assert forgetful.tallies == whole.tallies


def test_its_table_does_not_grow_with_the_orders() -> None:
    venue = SimulatedVenue(COIN, VENUE, forgets=True)
    venue.on_events(opened())
    for order_id in range(1, MANY + 1):
        now_ns = 10 * order_id * MS
        venue.place(order_id, BUY, 95, 1, GTC, now_ns)
        venue.cancel(order_id, now_ns + MS)
        venue.on_events(level(10 * order_id + 9, BUY, 90, order_id))
        venue.reports(now_ns + 9 * MS)
    assert venue.dump()["orders"].size <= orders.ROOM
    assert venue.tallies["cancels"] == MANY


def test_an_order_it_forgot_is_done_and_its_id_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "ROOM", 1)
    venue = SimulatedVenue(COIN, VENUE, forgets=True)
    sent = [("on_events", opened()), ("place", 1, BUY, 101, 1, GTC, 10 * MS), ("on_events", level(20, BUY, 90, 1))]
    act(venue, [*sent, ("reports", FOREVER), ("place", 2, BUY, 90, 1, GTC, 30 * MS)])
    assert venue.order(1) is None
    loaded = SimulatedVenue(COIN, VENUE, forgets=True)
    loaded.load(venue.dump())
    for after in (venue, loaded):
        asked = [("cancel", 1, 40 * MS), ("cancel", 3, 41 * MS), ("place", 1, BUY, 90, 1, GTC, 42 * MS)]
        said = act(after, [*asked, ("on_events", level(50, BUY, 91, 1)), ("reports", FOREVER)])
        assert said["order_id"].tolist() == [2, 1, 3, 1]
        assert said["reason"].tolist() == [0, ALREADY_DONE, UNKNOWN_ORDER, DUPLICATE_ID]
