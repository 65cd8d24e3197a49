"""Redis and ClickHouse are stopped and started under a runner that a venue feeds: it goes on, and no row is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from live.connectors.connect import connect
from live.exchange import Replay
from live.feed import Subscription
from live.floor import Floor
from live.hot import HotRows
from live.runner import Runner
from live.telling import Teller
from market.sources.capture import capture_line
from storage.clickhouse import Login
from storage.clickhouse import connect as ask
from storage.hot_cache import HotCache, Hottest, hot_cache
from storage.journal import DECISION, read_journal
from storage.live_tables import LiveTables
from storage.outbox import Outbox
from tests.builders_clickhouse import PASSWORD, USER, StoppableFront, embedded_parameters, stoppable_front
from tests.builders_live import clock_of, in_loop, until, venue, wire_at
from tests.builders_market import COINM_BTC
from tests.builders_redis import RedisServer, redis_server
from tests.builders_runner import ROW, SECOND, START, new_runner, synthetic_frames

LOGIN: Final = Login(USER, PASSWORD)
ROOM: Final = 100_000_000
SYMBOL: Final = COINM_BTC.name


class Audience(NamedTuple):
    """Who hears of the rows."""

    cache: HotCache
    outbox: Outbox


@asynccontextmanager
async def fed(folder: Path) -> AsyncIterator[Runner]:
    """A runner whose market comes from a venue over real sockets; stopped in order at the end."""
    tape = folder / "tape.txt"
    tape.write_bytes(b"".join(capture_line(ts, frame) for ts, frame in synthetic_frames(60.0)))
    async with venue(Replay([tape], start=str(START + SECOND // 2))) as exchange:
        runner = new_runner(folder, clock_of(exchange))
        subscription = Subscription(COINM_BTC, runner.needs_snapshot)
        feeds = connect([subscription], wire_at(exchange.ports), np.random.default_rng(1))
        floor = Floor([runner])
        running = asyncio.create_task(floor.run(feeds, 1.0, until_end=False))
        try:
            yield runner
        finally:
            floor.stop()
            await running


async def through_an_outage(runner: Runner, heard: Audience, redis: RedisServer, front: StoppableFront) -> None:
    """Return once both are missed, trading has gone on all the same, both are back, and all that waited is told."""
    decided, dropped = runner.desks[0].session.decided, heard.cache.dropped
    meters = runner.meters
    await until(lambda: meters.value("hot_dropped") > dropped and meters.value("outbox_bytes") > 0)
    await until(lambda: runner.desks[0].session.decided > decided + 25)
    await asyncio.to_thread(redis.come_back)
    front.start()
    back = runner.stamps.now()
    await until(lambda: heard.cache.newest_ts(SYMBOL) > back and meters.value("outbox_bytes") == 0)


def require_all_told(folder: Path, url: str) -> None:
    """Every row was decided once by each desk, and the server holds each of these decisions once."""
    made = [(r.place, r.ts) for r in read_journal(folder / "journal") if r.kind == DECISION]
    for place in (0, 1):
        assert set(np.diff([ts for of, ts in made if of == place]).tolist()) == {ROW}
    client = ask(embedded_parameters(url=url), folder, LOGIN)
    for table, count in (("live_signals", len(made)), ("live_latencies", len(made)), ("live_rows", len(made) // 2)):
        key = "ts" if table == "live_rows" else "(ts, desk)"
        asked = f"SELECT count(), uniqExact({key}) FROM tickloop.{table}"
        assert client.query(asked).result_rows == [(count, count)], table
    client.close()


@in_loop
async def test_both_servers_may_stop_hang_and_start_under_a_running_runner(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, stoppable_front(tmp_path / "server") as front:
        async with fed(tmp_path) as runner:
            meters = runner.meters
            heard = Audience(hot_cache(redis.url), Outbox(tmp_path / "outbox", ROOM))
            tables = LiveTables(embedded_parameters(url=front.url), LOGIN)
            teller = Teller(tables, heard.outbox, meters, batch_s=0.2)
            hot = HotRows(heard.cache, Hottest((SYMBOL,), 1), {SYMBOL: partial(getattr, runner, "frames")}, meters)
            runner.audience += [hot, teller]
            await until(lambda: heard.cache.newest_ts(SYMBOL) > 0 and runner.desks[0].session.decided > 25)
            for number, leave in (
                (signal.SIGTERM, front.stop),
                (signal.SIGKILL, front.hang),
                (signal.SIGSTOP, front.stop),
            ):
                redis.stop(number)
                leave()
                await through_an_outage(runner, heard, redis, front)
        teller.close()
        heard.cache.close()
        require_all_told(tmp_path, front.url)
    assert heard.outbox.bytes == 0
    for counter in ("untold_rows", "untold_batches", "background_task_deaths"):
        assert meters.value(f"{counter}_total") == 0
