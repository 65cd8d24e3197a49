"""The floor as a process: warm, resume, listen, trade, and come down in order on SIGTERM."""

import asyncio
import logging
import os
import selectors
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from config.connectors import Wire
from config.refusals import refusals_in
from config.stores import RegistrySettings
from live.api import Access, api
from live.api.access import require_guard
from live.api.explanations import Explanations
from live.clock import Clock, WallClock, replay_clock, speed_of
from live.connectors.connect import connect, hosts_of, require_connector
from live.connectors.pace import Hosts
from live.exporter import PrometheusMeters
from live.feed import Feed, Subscription
from live.floor import Floor
from live.gateways.line import Calls
from live.gateways.opening import Permit, orders_of
from live.gateways.permission import require_rehearsal
from live.hot import HotAges, HotRows
from live.latencies import in_words
from live.lines import Ending, Lines, Places, Secrets, access_of
from live.logs import secrets_of, write_json_lines
from live.machine_figures import DiskFigures, watch_loop
from live.pages import listen, served, tell_ready
from live.plan import MODEL_DESK, LivePlan
from live.rollout import Rollout
from live.runner import Audience, Folders, Runner
from live.supervision import guard, note_death
from live.telling import Teller
from live.warmup import warm
from market.errors import ConfigError, ModelError, RegistryError
from storage.clickhouse import login_from
from storage.hot_cache import Hottest, hot_cache, redis_login_from
from storage.live_tables import LiveTables
from storage.outbox import Outbox
from storage.promotions import PromotionLedger

LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Doors:
    """Who comes in by what."""

    access: Access
    deploy_key: bytes  # of pushed bundles
    listener: socket.socket  # of the pages


def serve(plans: Sequence[LivePlan], places: Places, lines: Lines, secrets: Secrets, ending: Ending) -> None:
    """Run until SIGTERM or SIGINT, or until the replay ends.

    Raises ConfigError if a venue has no connector or orders on a recorded market would leave this machine, VenueError
    if the port is taken or no venue answers, JournalError if a journal cannot be resumed.
    """
    for plan in plans:
        require_connector(plan.instrument)
    access = access_of(lines, secrets)
    require_guard(access)
    doors = _Doors(access, secrets.deploy_key, listen(lines.api_host, lines.api_port))
    write_json_lines(secrets_of(os.environ))
    LOG.info("warming the kernels")
    warm(plans[0])
    # epoll rounds every wait up to a millisecond, select waits for microseconds
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as loop:
        loop.run(_serve(plans, places, lines, doors, ending))


async def _serve(plans: Sequence[LivePlan], places: Places, lines: Lines, doors: _Doors, ending: Ending) -> None:
    clocks, hosts = await _clocks(plans, lines), hosts_of(lines.wire)
    meters = PrometheusMeters(plans[0].instrument.name)
    floor = _open_floor(plans, places.folders, clocks, meters, lines)
    _tell_resumed(floor)
    rollouts = _rollouts(floor, PromotionLedger(places.ledger), doors.deploy_key, lines.registry)
    _keep_fallbacks(floor, rollouts)
    app = api(floor, rollouts, meters, doors.access, Explanations(places.folders, lines.markouts_ms))
    _stop_on_signals(floor)
    with _audience_of(floor, lines, meters), _watched(floor, meters, places):
        async with served(app, floor, doors.listener):
            tell_ready(doors.listener, ending.ready_file)
            feeds = _feeds_of(floor, lines.wire, hosts, ending.until_end)
            async with _orders_of(floor, lines.permits, hosts):
                await floor.run(feeds, speed_of(clocks[plans[0].instrument.name]), ending.until_end)
    _tell_stopped(floor, feeds)


def _stop_on_signals(floor: Floor) -> None:
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, floor.stop)


@contextmanager
def _watched(floor: Floor, meters: PrometheusMeters, places: Places) -> Iterator[None]:
    """Figures of the process for as long as it trades; where the watch on the loop ends by a fault, trading does."""
    DiskFigures(meters, floor.runners[0].folders.journal)
    for reason, count in refusals_in(places.refusals).items():
        meters.count("refused_starts", count, reason=reason)
    watching = guard(meters, "loop watch", watch_loop(meters), floor.fail)
    try:
        yield
    finally:
        watching.cancel()


def _tell_stopped(floor: Floor, feeds: Mapping[str, Feed]) -> None:
    for symbol, feed in feeds.items():
        LOG.info(f"stopped {symbol}; feed {feed.counts}")
        for desk, latencies in zip(floor[symbol].desks, floor[symbol].latencies, strict=True):
            LOG.info(in_words(symbol, desk.name, latencies.summary()))


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
async def _orders_of(floor: Floor, permits: Mapping[str, Permit], hosts: Hosts) -> AsyncIterator[None]:
    """Open the model's gateway of every symbol that has a permit, for as long as the floor runs."""
    async with AsyncExitStack() as opened:
        for runner in floor.runners:
            permit = permits.get(runner.plan.instrument.name)
            desk, died = runner.desks[MODEL_DESK], partial(note_death, runner.meters)
            calls = Calls(runner.stamps.now, died)
            await opened.enter_async_context(orders_of(desk, runner.folders.journal, permit, calls, hosts))
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


def _feeds_of(floor: Floor, wire: Wire, hosts: Hosts, until_end: bool) -> dict[str, Feed]:
    subscriptions = [Subscription(runner.plan.instrument, runner.needs_snapshot) for runner in floor.runners]
    return connect(subscriptions, wire, np.random.default_rng(os.getpid()), hosts, until_end=until_end)


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
