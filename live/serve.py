"""The floor as a process: warm, resume, listen, trade, and come down in order on SIGTERM."""

import asyncio
import json
import logging
import os
import selectors
import signal
import socket
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import uvicorn
from fastapi import FastAPI

from config.connectors import Wire
from config.live import HotSettings
from config.settings import Settings
from config.stores import RegistrySettings
from live.api import Access, api
from live.api.access import LARGEST_REQUEST, require_guard
from live.api.explanations import Explanations
from live.clock import Clock, WallClock, replay_clock, speed_of
from live.connectors.connect import connect, require_connector
from live.exporter import PrometheusMeters
from live.feed import Feed, Subscription
from live.floor import Floor
from live.gateways.exchange import Calls
from live.gateways.opening import Permit, orders_of
from live.gateways.permission import require_rehearsal
from live.hot import HotAges, HotRows
from live.latencies import in_words
from live.logs import secrets_of, write_json_lines
from live.machine_figures import DiskFigures, watch_loop
from live.plan import MODEL_DESK, LivePlan
from live.rollout import Rollout
from live.runner import Audience, Folders, Runner
from live.supervision import guard, note_death
from live.telling import Teller
from live.warmup import warm
from market.errors import ConfigError, ModelError, RegistryError, VenueError
from storage.clickhouse import login_from
from storage.clickhouse_parameters import WarehouseParameters
from storage.files import replace_file
from storage.hot_cache import Hottest, hot_cache, redis_login_from
from storage.live_tables import LiveTables
from storage.outbox import Outbox
from storage.promotions import PromotionLedger

LOG: Final = logging.getLogger(__name__)
PAGES_END_S: Final = 2  # how long open requests may take at the end


@dataclass(frozen=True, slots=True)
class Told:
    """The ClickHouse server that is told of every row, if it has an address, and where batches wait for it."""

    warehouse: WarehouseParameters
    outbox: Path
    outbox_mb: float


@dataclass(frozen=True, slots=True)
class Lines:
    """Where a runner listens and what it talks to."""

    wire: Wire
    api_host: str
    api_port: int  # 0: a free one
    venue_patience_s: float  # how long to wait for a venue that is not there yet
    swap_patience_s: float  # how long a pushed model waits for a flat desk
    markouts_ms: tuple[int, ...]  # how long after a fill its price is looked at in an explanation
    snapshot_s: float  # how often the state is kept beside the journal
    awake_s: float  # see live.floor.Floor
    registry: RegistrySettings
    hot: HotSettings
    told: Told
    permits: Mapping[str, Permit]  # by symbol, of desks whose orders go to an exchange


def lines_of(settings: Settings, permits: Mapping[str, Permit]) -> Lines:
    """The lines that a profile asks for."""
    live = settings.live
    told = Told(settings.warehouse, settings.paths.outbox, live.outbox_mb)
    patience = (live.venue_patience_s, live.swap_patience_s)
    markouts_ms, beats = settings.reports.markouts_ms, (60.0 * live.snapshot_min, live.awake_us / 1e6)
    return Lines(
        settings.wire,
        live.api_host,
        live.api_port,
        *patience,
        markouts_ms,
        *beats,
        settings.registry,
        live.hot,
        told,
        permits,
    )


@dataclass(frozen=True, slots=True)
class Secrets:
    """From the environment, never from a file that is committed."""

    read_token: str
    deploy_token: str
    deploy_key: bytes
    kill_token: str
    metrics_token: str


def secrets_from(environment: dict[str, str]) -> Secrets:
    """Tokens and key of a runner; what is not set stays empty, and closes its door."""
    return Secrets(
        environment.get("TICKLOOP_READ_TOKEN", ""),
        environment.get("TICKLOOP_DEPLOY_TOKEN", ""),
        environment.get("TICKLOOP_DEPLOY_KEY", "").encode(),
        environment.get("TICKLOOP_KILL_TOKEN", ""),
        environment.get("TICKLOOP_METRICS_TOKEN", ""),
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """When a run ends by itself, and where it says that it is ready."""

    until_end: bool  # stop when a replay has come to its end
    ready_file: Path | None  # JSON of api_port and pid, written whole once the API listens


def serve(
    plans: Sequence[LivePlan],
    folders: Mapping[str, Folders],
    ledger: Path,
    lines: Lines,
    secrets: Secrets,
    ending: Ending,
) -> None:
    """Run until SIGTERM or SIGINT, or until the replay ends; ``folders`` are by symbol.

    Raises ConfigError if a venue has no connector or orders on a recorded market would leave this machine, VenueError
    if the port is taken or no venue answers, JournalError if a journal cannot be resumed.
    """
    for plan in plans:
        require_connector(plan.instrument)
    access = _access(lines, secrets)
    require_guard(access)
    listener = _listen(lines.api_host, lines.api_port)
    write_json_lines(secrets_of(os.environ))
    LOG.info("warming the kernels")
    warm(plans[0])
    # epoll rounds every wait up to a millisecond, select waits for microseconds
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as loop:
        loop.run(_serve(plans, folders, PromotionLedger(ledger), lines, (access, secrets.deploy_key), ending, listener))


async def _serve(
    plans: Sequence[LivePlan],
    folders: Mapping[str, Folders],
    ledger: PromotionLedger,
    lines: Lines,
    doors: tuple[Access, bytes],
    ending: Ending,
    listener: socket.socket,
) -> None:
    """``doors`` : who may do what, and the key of pushed bundles."""
    access, deploy_key = doors
    clocks = await _clocks(plans, lines)
    meters = PrometheusMeters(plans[0].instrument.name)
    floor = _open_floor(plans, folders, clocks, meters, lines)
    _tell_resumed(floor)
    rollouts = _rollouts(floor, ledger, deploy_key, lines.registry)
    _keep_fallbacks(floor, rollouts)
    pages = page_server(api(floor, rollouts, meters, access, Explanations(folders, lines.markouts_ms)))
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, floor.stop)
    serving = asyncio.create_task(pages.serve(sockets=[listener]))
    serving.add_done_callback(lambda _: floor.stop())
    _tell_ready(listener, ending)
    feeds = _feeds_of(floor, lines.wire, ending.until_end)
    audience = _audience_of(floor, lines, meters)
    DiskFigures(meters, floor.runners[0].folders.journal)
    watching = guard(meters, "loop watch", watch_loop(meters), floor.fail)
    try:
        async with _orders_of(floor, lines.permits):
            await floor.run(feeds, speed_of(clocks[plans[0].instrument.name]), ending.until_end)
    finally:
        watching.cancel()
        pages.should_exit = True
        await serving
        audience.close()
    for symbol, feed in feeds.items():
        LOG.info(f"stopped {symbol}; feed {feed.counts}")
        for desk, latencies in zip(floor[symbol].desks, floor[symbol].latencies, strict=True):
            LOG.info(in_words(symbol, desk.name, latencies.summary()))


def _access(lines: Lines, secrets: Secrets) -> Access:
    tokens = (
        secrets.read_token,
        secrets.deploy_token,
        lines.swap_patience_s,
        secrets.kill_token,
        secrets.metrics_token,
    )
    return Access(*tokens, lines.api_host)


async def _clocks(plans: Sequence[LivePlan], lines: Lines) -> dict[str, Clock]:
    """The clock of each symbol's venue: of the recording that it plays, the machine's for any other.

    Raises VenueError if a venue does not answer, ConfigError if venues play at different speeds, or orders on a
    recorded market would leave this machine.
    """
    urls = {plan.instrument.name: lines.wire.venue(plan.instrument.venue).rest_url for plan in plans}
    venues = list(dict.fromkeys(urls.values()))
    replays = await asyncio.gather(*(replay_clock(url, lines.venue_patience_s) for url in venues))
    if any(replays):
        for permit in lines.permits.values():
            require_rehearsal((permit.settings.rest_url, permit.settings.ws_url))
    wall = WallClock()
    clocks: dict[str, Clock] = {url: replay or wall for url, replay in zip(venues, replays, strict=True)}
    speeds = {url: speed_of(clock) for url, clock in clocks.items()}
    if len(set(speeds.values())) > 1:
        told = ", ".join(f"{url} at {speed:g}x" for url, speed in speeds.items())
        raise ConfigError(f"venues of one process go at one speed: {told}")
    return {symbol: clocks[url] for symbol, url in urls.items()}


def _open_floor(
    plans: Sequence[LivePlan],
    folders: Mapping[str, Folders],
    clocks: Mapping[str, Clock],
    meters: PrometheusMeters,
    lines: Lines,
) -> Floor:
    runners: list[Runner] = []
    try:
        for plan in plans:
            symbol = plan.instrument.name
            own_meters = meters.beside(symbol) if runners else meters
            runners.append(Runner(plan, folders[symbol], clocks[symbol], own_meters, lines.snapshot_s))
    except BaseException:
        for runner in runners:
            runner.close()
        raise
    return Floor(runners, lines.awake_s)


@asynccontextmanager
async def _orders_of(floor: Floor, permits: Mapping[str, Permit]) -> AsyncIterator[None]:
    """Open the model's gateway of every symbol that has a permit, for as long as the floor runs."""
    async with AsyncExitStack() as opened:
        for runner in floor.runners:
            permit = permits.get(runner.plan.instrument.name)
            desk, died = runner.desks[MODEL_DESK], partial(note_death, runner.meters)
            calls = Calls(runner.stamps.now, died)
            await opened.enter_async_context(orders_of(desk, runner.folders.journal, permit, calls))
        yield


def _tell_resumed(floor: Floor) -> None:
    for runner in floor.runners:
        if torn := runner.journal.mended:
            LOG.info(f"cut {torn.size} bytes of an unfinished record off {torn.path}")
        if runner.resumed:
            again = f"{runner.replayed} of {runner.resumed} decisions were made again and came out as written"
            LOG.info(f"resumed from the journal: {again}")


def _rollouts(floor: Floor, ledger: PromotionLedger, key: bytes, registry: RegistrySettings) -> dict[str, Rollout]:
    if not key:
        return {}
    return {
        name: Rollout(floor[name].plan, floor[name].folders.bundles, ledger, key, registry.model_of(name))
        for name in floor.symbols
    }


def _keep_fallbacks(floor: Floor, rollouts: dict[str, Rollout]) -> None:
    """Each symbol's fallback of an earlier run, kept again; one that cannot serve is told of, and trading goes on."""
    for runner in floor.runners:
        name = runner.plan.instrument.name
        try:
            kept = rollouts[name].kept_fallback() if name in rollouts else None
        except (ModelError, RegistryError) as error:
            LOG.warning(f"{name} has no fallback: {error}")
            continue
        if kept is not None:
            runner.fallback.keep(kept)
            LOG.info(f"{name} keeps bundle {kept.bundle_sha[:12]} as its fallback")


def _feeds_of(floor: Floor, wire: Wire, until_end: bool) -> dict[str, Feed]:
    subscriptions = [Subscription(runner.plan.instrument, runner.needs_snapshot) for runner in floor.runners]
    return connect(subscriptions, wire, np.random.default_rng(os.getpid()), until_end=until_end)


def _audience_of(floor: Floor, lines: Lines, meters: PrometheusMeters) -> ExitStack:
    """Let hot cache and warehouse hear of every row, until what is returned is closed."""
    closing = ExitStack()
    died = partial(meters.count, "background_task_deaths")
    login = redis_login_from(os.environ)
    cache = hot_cache(lines.hot.redis_url, lines.hot.ttl_ms, login, lambda name: died(task=name))
    closing.callback(cache.close)
    messages = {runner.plan.instrument.name: partial(getattr, runner, "frames") for runner in floor.runners}
    listeners: list[Audience] = [HotRows(cache, Hottest(lines.hot.symbols, lines.hot.top), messages, meters)]
    if lines.told.warehouse.url:
        outbox = Outbox(lines.told.outbox, round(lines.told.outbox_mb * 1e6))
        teller = Teller(LiveTables(lines.told.warehouse, login_from(os.environ)), outbox, meters)
        closing.callback(teller.close)
        listeners.append(teller)
    for runner in floor.runners:
        runner.audience += listeners
        HotAges(cache, runner.plan.instrument.name, runner.stamps.now, runner.meters)
    return closing


def page_server(app: FastAPI) -> uvicorn.Server:
    """The server of the pages: small messages in, none compressed, and no signal of its own."""
    return _Pages(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=PAGES_END_S,
            ws_max_size=LARGEST_REQUEST,
            ws_per_message_deflate=False,
        )
    )


class _Pages(uvicorn.Server):
    """A web server that leaves the signals to the runner."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise VenueError(f"port {port} for the runner's pages is taken: {error.strerror}") from error
    return listener


def _tell_ready(listener: socket.socket, ending: Ending) -> None:
    host, port = listener.getsockname()
    LOG.info(f"runner pages at http://{host}:{port}")
    if ending.ready_file:
        replace_file(ending.ready_file, json.dumps({"api_port": port, "pid": os.getpid()}).encode())
