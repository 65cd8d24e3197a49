"""A fault planted in each kind of background work: it is told, counted, and begun again or the end of trading."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live import keeping
from live.api import Access, api
from live.clock import ReplayClock
from live.connectors.trunk import Trunk
from live.exchange import Replay
from live.exporter import PrometheusMeters
from live.floor import Floor
from live.gateways.account_stream import AccountStream
from live.gateways.exchange import ExchangeGateway
from live.gateways.hearing import Hearing
from live.gateways.settling import Settling
from live.replay import decision_of
from live.supervision import consume, guard
from live.telling import Teller
from live.warmup import warm
from live.watch import Watch
from market.errors import BackgroundError
from market.events import BUY
from market.orders import ACKED, POST_ONLY
from storage.hot_cache import RedisCache
from storage.journal import DECISION, read_journal
from storage.outbox import Outbox
from tests.builders_live import Reader, clock_of, feed_of, follow, in_loop, short_capture, until, venue
from tests.builders_market import COINM_BTC
from tests.builders_orders import BID, floor
from tests.builders_orders import Floor as Venue
from tests.builders_runner import START, TapeFeed, drive, new_runner, quick_plan, synthetic_frames
from trading.records import STOOD_DOWN

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")
SPEED = 4.0


class Planted(Exception):
    """A fault that nobody foresees."""


def dies(*_: object, **__: object) -> Any:
    raise Planted("of\nours")


async def dies_later(*_: object, **__: object) -> None:
    dies()


def once(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, that fails the first time."""
    calls = iter((dies,))
    return lambda *given: next(calls, work)(*given)


def deaths(meters: PrometheusMeters, task: str) -> float:
    return meters.value("background_task_deaths_total", task=task)


@pytest.fixture(scope="module")
def compiled() -> None:
    """Kernels compiled before a clock runs."""
    warm(quick_plan())


@in_loop
async def test_a_consumer_that_ends_is_told_counted_and_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    meters, runs = PrometheusMeters("x"), list[int]()

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            dies()
        if len(runs) > 2:
            await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(consume(meters, "figures", work))
        await until(lambda: len(runs) == 3)
    task.cancel()
    assert deaths(meters, "figures") == 2
    assert [record.getMessage() for record in caplog.records] == [
        "background task figures has ended: Planted: of ours",
        "background task figures has ended: it returned",
    ]


@in_loop
async def test_the_figures_of_the_page_go_on_after_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, looks = new_runner(tmp_path), list[Watch]()
    monkeypatch.setattr(Watch, "look", once(looks.append))
    app = api(Floor([runner]), {}, runner.meters, Access("", "", 1.0))
    async with app.router.lifespan_context(app):
        await until(lambda: looks)
    runner.close()
    assert deaths(runner.meters, "figures") == 1


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("faulty", [dies_later(), asyncio.sleep(0)], ids=["fault", "return"])
@in_loop
async def test_what_safety_rests_on_ends_trading_in_order(tmp_path: Path, faulty: Any) -> None:
    runner = new_runner(tmp_path, ReplayClock(START, time.monotonic_ns(), SPEED))
    trading = Floor([runner])
    feed = TapeFeed(synthetic_frames(60.0))
    running = asyncio.create_task(trading.run({runner.plan.instrument.name: feed}, SPEED, until_end=False))
    await until(lambda: any(not desk.session.idle for desk in runner.desks))
    guard(runner.meters, "loop watch", faulty, trading.fail)
    with pytest.raises(BackgroundError, match="background task loop watch has ended"):
        await running
    assert runner.idle
    assert deaths(runner.meters, "loop watch") == 1
    made = [decision_of(r.payload).record for r in read_journal(tmp_path / "journal") if r.kind == DECISION]
    assert int(made[-1]["reason"][0]) == STOOD_DOWN


@pytest.mark.usefixtures("compiled")
@in_loop
async def test_a_state_that_cannot_be_made_into_bytes_ends_trading_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "write_snapshot", dies)
    runner = new_runner(tmp_path, ReplayClock(START, time.monotonic_ns(), SPEED))
    runner._keeper._every_s = 0.5
    feed = TapeFeed(synthetic_frames(60.0))
    with pytest.raises(BackgroundError, match="the state cannot be kept: Planted: of ours"):
        await Floor([runner]).run({runner.plan.instrument.name: feed}, SPEED, until_end=False)
    assert runner.idle
    assert deaths(runner.meters, "keeping") >= 1


async def stops_trading(here: Venue, gateway: ExchangeGateway, said: str) -> None:
    """Its end is told, nothing leaves any more, and what rests is taken back with the gateway's close."""
    await until(lambda: here.deaths)
    assert not gateway.up
    with pytest.raises(BackgroundError, match=said):
        gateway.reports(2**62)
    await gateway.close()
    assert [order.status for order in here.venue.orders.values()] == ["CANCELED"]


@pytest.mark.parametrize("task", ["watch_over", "_keep", "on_news"])
@in_loop
async def test_a_fault_in_the_way_to_the_exchange_stops_trading(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    async with floor() as here:
        gateway = here.gateway()
        planted = asyncio.Event()

        async def later(*_: object) -> None:
            await planted.wait()
            dies()

        if task == "watch_over":
            monkeypatch.setattr(Settling, task, later)
        if task == "_keep":
            monkeypatch.setattr(AccountStream, task, later)
        await here.connect(gateway)
        gateway.place(1, BUY, BID, 5, POST_ONLY, 0)
        await here.heard(gateway, ACKED)
        if task == "on_news":
            monkeypatch.setattr(Hearing, task, dies)
            news = {"s": "X", "c": "y", "x": "NEW", "X": "NEW", "i": 1, "z": "0", "T": 1}
            here.streams.send({"e": "ORDER_TRADE_UPDATE", "o": news})
        planted.set()
        await stops_trading(here, gateway, "a task of the order gateway has ended: Planted")


@in_loop
async def test_a_fault_in_admitting_late_symbols_ends_their_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trunk, "_admit_late", dies_later)
    async with venue(Replay([short_capture(tmp_path, COINM_BTC.name, 10)], "2024-08-08T23:54:18")) as exchange:
        reader = Reader()
        with pytest.raises(Planted):
            await follow(feed_of(exchange.ports, reader), reader, clock_of(exchange))


class Server:
    """Takes every batch."""

    def __init__(self) -> None:
        self.tables: set[str] = set()

    def insert(self, table: str, frame: object, token: str) -> None:
        self.tables.add(table)


def until_true(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


def test_the_outbox_goes_on_after_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "put", once(Outbox.put))
    server, meters, runner = Server(), PrometheusMeters("x"), new_runner(tmp_path)
    teller = Teller(server, Outbox(tmp_path / "outbox", 10_000_000), meters, batch_s=0.01)
    runner.audience.append(teller)
    runner.on_connection(True, START)
    drive(runner, synthetic_frames(1.0))
    until_true(lambda: server.tables)
    teller.close()
    runner.close()
    assert deaths(meters, "outbox") == 1


def test_the_hot_cache_goes_on_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    written, told = list[object](), list[str]()
    monkeypatch.setattr(RedisCache, "_write", once(lambda cache, batch: written.extend(batch)))
    cache = RedisCache("redis://127.0.0.1:1", on_death=told.append)
    until_true(lambda: cache.put("x", {}, 1) or "x" in written)
    cache.close()
    assert told == ["hot cache"]
