"""One runner as a process: warm, resume, listen, trade, and come down in order on SIGTERM."""

import asyncio
import json
import os
import selectors
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import uvicorn

from config.connectors import Wire
from live.api import api
from live.api_rollout import Access
from live.clock import Clock, ReplayClock, WallClock, replay_clock
from live.connectors.connect import connect, require_connector
from live.exporter import PrometheusMeters
from live.feed import Subscription
from live.plan import LivePlan
from live.rollout import Rollout
from live.runner import Folders, Runner
from live.warmup import warm
from market.errors import VenueError
from storage.files import replace_file
from storage.promotions import PromotionLedger

LOOPBACK: Final = "127.0.0.1"
PAGES_END_S: Final = 2  # how long open requests may take at the end


@dataclass(frozen=True, slots=True)
class Lines:
    """Where a runner listens and what it talks to."""

    wire: Wire
    api_port: int  # 0: a free one
    venue_patience_s: float  # how long to wait for a venue that is not there yet
    swap_patience_s: float  # how long a pushed model waits for a flat desk


@dataclass(frozen=True, slots=True)
class Secrets:
    """From the environment, never from a file that is committed."""

    read_token: str
    deploy_token: str
    deploy_key: bytes


def secrets_from(environment: dict[str, str]) -> Secrets:
    """Tokens and key of a runner; what is not set stays empty, and closes its door."""
    return Secrets(
        environment.get("TICKLOOP_READ_TOKEN", ""),
        environment.get("TICKLOOP_DEPLOY_TOKEN", ""),
        environment.get("TICKLOOP_DEPLOY_KEY", "").encode(),
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """When a run ends by itself, and who is told that it is ready."""

    until_end: bool  # stop when a replay has come to its end
    ready_file: Path | None  # JSON of api_port and pid, written whole once the API listens
    announce: Callable[[str], None]


def serve(plan: LivePlan, folders: Folders, ledger: Path, lines: Lines, secrets: Secrets, ending: Ending) -> None:
    """Run until SIGTERM or SIGINT, or until the replay ends.

    Raises ConfigError if the venue has no connector, VenueError if the port is taken or no venue answers, JournalError
    if the journal cannot be resumed.
    """
    require_connector(plan.instrument)
    listener = _listen(lines.api_port)
    ending.announce("warming the kernels")
    warm(plan)
    # epoll rounds every wait up to a millisecond, select waits for microseconds
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as loop:
        loop.run(_serve(plan, folders, ledger, lines, secrets, ending, listener))


async def _serve(
    plan: LivePlan,
    folders: Folders,
    ledger: Path,
    lines: Lines,
    secrets: Secrets,
    ending: Ending,
    listener: socket.socket,
) -> None:
    replay = await replay_clock(lines.wire.venue(plan.instrument.venue).rest_url, lines.venue_patience_s)
    clock: Clock = replay or WallClock()
    meters = PrometheusMeters(plan.instrument.name)
    runner = Runner(plan, folders, clock, meters)
    if torn := runner.journal.mended:
        ending.announce(f"cut {torn.size} bytes of an unfinished record off {torn.path}")
    if runner.resumed:
        ending.announce(f"resumed from the journal: {runner.resumed} decisions came out as written")
    rollout = (
        Rollout(plan, folders.bundles, PromotionLedger(ledger), secrets.deploy_key) if secrets.deploy_key else None
    )
    access = Access(secrets.read_token, secrets.deploy_token, lines.swap_patience_s)
    pages = _Pages(
        uvicorn.Config(
            api(runner, rollout, meters, access),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=PAGES_END_S,
        )
    )
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, runner.stop)
    serving = asyncio.create_task(pages.serve(sockets=[listener]))
    serving.add_done_callback(lambda _: runner.stop())
    _tell_ready(listener, ending)
    subscription = Subscription(plan.instrument, runner.needs_snapshot)
    feeds = connect([subscription], lines.wire, np.random.default_rng(os.getpid()), until_end=ending.until_end)
    feed = feeds[plan.instrument.name]
    try:
        await runner.run(feed, replay.speed if isinstance(replay, ReplayClock) else 1.0, ending.until_end)
    finally:
        pages.should_exit = True
        await serving
    ending.announce(f"stopped; feed {feed.counts}")


class _Pages(uvicorn.Server):
    """A web server that leaves the signals to the runner."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise VenueError(f"port {port} for the runner's pages is taken: {error.strerror}") from error
    return listener


def _tell_ready(listener: socket.socket, ending: Ending) -> None:
    port = listener.getsockname()[1]
    ending.announce(f"runner pages at http://{LOOPBACK}:{port}")
    if ending.ready_file:
        replace_file(ending.ready_file, json.dumps({"api_port": port, "pid": os.getpid()}).encode())
