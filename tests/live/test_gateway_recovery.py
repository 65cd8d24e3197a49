"""What may not go wrong when the account's line, an answer or a process is lost at a bad moment."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from live.exporter import PrometheusMeters
from live.figures import GatewayFigures
from live.gateways.client import Holding
from live.gateways.exchange import ExchangeGateway
from market.errors import NoAnswer, VenueError
from market.events import BUY
from market.orders import (
    ACKED,
    ALREADY_DONE,
    CANCEL_REJECTED,
    FILL,
    NEVER_ARRIVED,
    ORDER_REJECTED,
    POST_ONLY,
    REPORT,
)
from tests.builders_live import in_loop, until
from tests.builders_market import USDM_BTC
from tests.builders_orders import BID, connected, floor
from tests.builders_runner import new_runner, quick_plan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")


def rest(gateway: ExchangeGateway, order_id: int) -> None:
    gateway.place(order_id, BUY, BID, 5, POST_ONLY, 0)


def told(*rows: tuple[int, ...]) -> np.ndarray:
    """Reports on order 1 by number, lots, lots left, kind and reason."""
    return np.array(
        [(n, 1, BID, qty, leaves, 1, 1, kind, reason, BUY, 1) for n, qty, leaves, kind, reason in rows], REPORT
    )


def test_what_is_heard_of_an_order_after_its_end_is_replayed_behind_a_snapshot() -> None:
    first = ExchangeGateway(USDM_BTC)
    rest(first, 1)
    first.hear(told((0, 5, 5, ACKED, 0), (1, 5, 0, FILL, 0)))
    second = ExchangeGateway(USDM_BTC)
    second.load(first.dump())
    late = told((2, 0, 0, CANCEL_REJECTED, ALREADY_DONE))
    second.hear(late)
    assert second.reports(0).tobytes() == late.tobytes()
    assert second.position == first.position == 5


@in_loop
async def test_a_line_that_is_lost_while_it_reconciles_lets_no_order_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    async with floor() as here, connected(here) as gateway:
        client = gateway._open.client
        ask, go = client.holding, [asyncio.Event(), asyncio.Event()]
        asked, over = list[int](), list[int]()

        async def slowly() -> Holding:
            mine = len(asked)
            asked.append(mine)
            try:
                await go[mine].wait()
                return await ask()
            finally:
                over.append(mine)

        monkeypatch.setattr(client, "holding", slowly)
        here.streams.drop_all()
        await until(lambda: len(asked) == 1)
        here.streams.drop_all()
        await until(lambda: len(asked) == 2)
        go[0].set()
        await until(lambda: 0 in over)
        assert not gateway.up
        go[1].set()
        await until(lambda: gateway.up)


@in_loop
async def test_meters_say_whether_orders_leave_and_how_many_are_unknown() -> None:
    meters = PrometheusMeters("symbol")
    async with floor() as here, connected(here) as gateway:
        GatewayFigures(meters, gateway)
        assert (meters.value("order_line_up"), meters.value("unsettled_orders")) == (1.0, 0.0)
        here.venue.faults.mute = True
        here.venue.faults.plan("place", "unanswered")
        rest(gateway, 1)
        assert meters.value("unsettled_orders") == 1.0
        await here.heard(gateway, ORDER_REJECTED)
        assert meters.value("unsettled_orders") == 0.0
        here.streams.drop_all()
        await until(lambda: meters.value("order_line_up") == 0.0)


def test_a_runner_meters_the_way_to_an_exchange_and_none_on_paper(tmp_path: Path) -> None:
    for kind, shown in (("exchange", True), ("paper", False)):
        runner = new_runner(tmp_path / kind, plan=replace(quick_plan(), gateway=kind))
        assert (b"\norder_line_up{" in runner.meters.text()) == shown
        runner.close()


@in_loop
async def test_an_answer_that_cannot_be_read_leaves_no_order_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async with floor() as here:
        gateway = here.gateway()
        await here.connect(gateway)
        place = gateway._open.client.place

        async def unreadable(*order: Any) -> Any:
            await place(*order)
            raise VenueError("0.00015 is no multiple of 0.001")

        monkeypatch.setattr(gateway._open.client, "place", unreadable)
        rest(gateway, 1)
        await until(lambda: not gateway.up)
        with pytest.raises(VenueError, match="no multiple"):
            gateway.reports(2**62)
        await gateway.close()
        assert here.venue.orders[1].status == "CANCELED"


@in_loop
async def test_an_order_that_arrives_behind_the_last_question_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async with floor() as here, connected(here) as gateway:
        client = gateway._open.client
        place, ask = client.place, client.standing
        here.venue.faults.mute = True

        async def unanswered(*_: Any) -> Any:
            raise NoAnswer("the exchange does not answer")

        async def just_before(client_id: str) -> Any:
            monkeypatch.setattr(client, "standing", ask)
            answer = await ask(client_id)
            await place(gateway.orders._lives[1], client_id)
            gateway.orders._deadlines[1] = time.monotonic()  # is over by the time we hear the answer
            return answer

        monkeypatch.setattr(client, "place", unanswered)
        monkeypatch.setattr(client, "standing", just_before)
        rest(gateway, 1)
        reports = await here.heard(gateway, ACKED)
        assert [int(row["kind"]) for row in reports] == [ACKED]
        assert [life.order_id for life in gateway.alive] == [1]


@in_loop
async def test_an_order_that_works_though_the_journal_says_its_end_stops_trading() -> None:
    async with floor() as here, connected(here) as before:
        rest(before, 1)
        await here.heard(before, ACKED)
        gateway = here.gateway()
        rest(gateway, 1)
        gateway.hear(told((0, 5, 0, ORDER_REJECTED, NEVER_ARRIVED)))
        with pytest.raises(VenueError, match="1 orders work in"):
            await here.connect(gateway)


@in_loop
async def test_a_question_that_is_not_answered_while_reconciling_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with floor() as here, connected(here) as gateway:
        client = gateway._open.client
        ask = client.open_orders

        async def silent_once() -> Any:
            monkeypatch.setattr(client, "open_orders", ask)
            raise NoAnswer("the exchange does not answer")

        monkeypatch.setattr(client, "open_orders", silent_once)
        here.streams.drop_all()
        await until(lambda: not gateway.up)
        await until(lambda: gateway.up)
        assert gateway.counts["unasked"] == 1
        assert gateway.counts["reconciled"] == 2
