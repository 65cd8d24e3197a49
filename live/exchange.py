"""The replay venue: serves a capture over loopback sockets as Binance would, at its recorded receive times.

Frames leave unmodified. The clock of the tape starts when somebody subscribes or asks for it, and
whoever stamps frames with that clock sees the delays that were recorded.
"""

import asyncio
import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from picows import ws_create_server

from live.clock import ReplayClock
from live.connectors.binance_api import DEPTH_LIMIT
from live.exchange_book import VenueBook
from live.exchange_faults import Fault, FaultPlan, messages_with
from live.exchange_player import Player
from live.exchange_rest import Rest
from live.exchange_sockets import Clients, rest_listener
from live.exchange_tape import Tape, TapeFrame, stretch
from market.errors import ConfigError, VenueError
from market.instrument import Instrument

_MS: Final = 1_000_000  # ns


@dataclass(frozen=True, slots=True)
class Replay:
    """What to play, and how."""

    files: Sequence[Path]  # consecutive captures of one symbol, in order
    start: str | None = None  # as live.exchange_tape.stretch reads it
    end: str | None = None
    speed: float = 1.0  # seconds of tape a second
    faults: Sequence[Fault] = ()
    start_now: bool = False  # not with the first subscription
    lead_s: float = 2.0  # of our time between the start of the clock and the first frame: time to subscribe

    def __post_init__(self) -> None:
        if not 0 < self.speed < float("inf"):
            raise ConfigError(f"speed={self.speed} must be above 0 and finite")
        if not self.lead_s >= 0:
            raise ConfigError(f"lead_s={self.lead_s} must be at or above 0")


class Exchange:
    """One symbol's venue; lives inside a running event loop."""

    def __init__(self, instrument: Instrument, replay: Replay) -> None:
        self.start_ns, self.end_ns = stretch(replay.files, replay.start, replay.end)
        self.clients = Clients(self._on_subscription)
        self._replay = replay
        self._book = VenueBook(instrument)
        self._tape = Tape(replay.files)
        self.player = Player(self._tape.frames(), self.end_ns, FaultPlan(replay.faults, self.start_ns), self._send)
        self._clock: ReplayClock | None = None
        self._playing: asyncio.Task[None] | None = None
        self._failed = asyncio.get_running_loop().create_future()
        self._servers: list[asyncio.Server] = []
        replies = {"clock": self.clock, "start": self._started_clock, "status": self.status}
        self._rest = Rest(instrument, self._depth, self._time_ms, replies)

    @property
    def ports(self) -> tuple[int, int]:
        """WebSocket and REST port."""
        ws, rest = (server.sockets[0].getsockname()[1] for server in self._servers)
        return ws, rest

    async def open(self, host: str, ws_port: int, rest_port: int) -> None:
        """Rebuild the book up to the start and listen; port 0 takes a free one.

        Raises VenueError if a port is taken.
        """
        self.player.skip(self.start_ns, self._book.apply)
        self._book.snapshot(DEPTH_LIMIT)  # compiled before anybody waits for it
        for port, listener in ((ws_port, self.clients.admit), (rest_port, rest_listener(self._rest.answer))):
            try:
                self._servers.append(await ws_create_server(listener, host, port, use_aiofastnet=False))
            except OSError as error:
                self.close()
                raise VenueError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from error
        if self._replay.start_now:
            self._begin()

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when ``stop`` is set; raises what the tape fails with before."""
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait((stopped, self._failed), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._failed.done():
            self._failed.result()

    def close(self) -> None:
        """Stop playing, let go of clients and ports."""
        if self._playing:
            self._playing.cancel()
        self.clients.drop_all()
        for server in self._servers:
            server.close()

    def clock(self) -> dict[str, Any]:
        """The tape's clock; before the start, how it would stand if it started now."""
        clock = self._clock or self._fresh_clock()
        return {
            "recorded_ns": clock.recorded_ns,
            "monotonic_ns": clock.monotonic_ns,
            "speed": clock.speed,
            "started": self._clock is not None,
        }

    def status(self) -> dict[str, Any]:
        """How far the tape has come, and how late its frames left, ms."""
        return {
            **self.player.progress(),
            "clients": len(self.clients),
            "bad_lines": self._tape.bad_lines,
            "unreadable": self._book.unreadable,
        }

    def _on_subscription(self) -> None:
        if self.player.finished:
            self.clients.end()
        self._begin()

    def _begin(self) -> None:
        if self._clock is None:
            self._clock = self._fresh_clock()
            self._playing = asyncio.get_running_loop().create_task(self.player.play(self._clock))
            self._playing.add_done_callback(self._on_played)

    def _on_played(self, playing: asyncio.Task[None]) -> None:
        if playing.cancelled():
            return
        if error := playing.exception():
            self._failed.set_exception(error)
        else:
            self.clients.end()

    def _fresh_clock(self) -> ReplayClock:
        return ReplayClock(self.start_ns, time.monotonic_ns() + int(self._replay.lead_s * 1e9), self._replay.speed)

    def _started_clock(self) -> dict[str, Any]:
        self._begin()
        return self.clock()

    def _time_ms(self) -> int:
        return (self._clock or self._fresh_clock()).now() // _MS + self._book.lead_ms()

    def _depth(self, limit: int) -> dict[str, Any] | None:
        return self._book.snapshot(limit) if self._book.whole else None

    def _send(self, frame: TapeFrame, kinds: Sequence[str]) -> int:
        """Take a frame into the book, then let it leave with these faults; how often somebody got it."""
        self._book.apply(frame)
        if "disconnect" in kinds:
            self.clients.drop_all()
        return sum(self.clients.send(frame.stream, message) for message in messages_with(kinds, frame.data))


def serve(
    instrument: Instrument,
    replay: Replay,
    ports: tuple[int, int] = (0, 0),
    ready_file: Path | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Run a venue on loopback until SIGTERM or SIGINT.

    ports : WebSocket and REST, 0 for a free one
    ready_file : JSON of ws_port, rest_port and pid, written whole once both listen

    Raises VenueError if a port is taken, and what ``stretch`` raises.
    """
    # epoll rounds every wait up to a millisecond, select waits for microseconds
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_serve(instrument, replay, ports, ready_file, announce))


async def _serve(
    instrument: Instrument,
    replay: Replay,
    ports: tuple[int, int],
    ready_file: Path | None,
    announce: Callable[[str], None] | None,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    exchange = Exchange(instrument, replay)
    await exchange.open("127.0.0.1", *ports)
    try:
        ws_port, rest_port = exchange.ports
        if ready_file:
            _write_whole(ready_file, {"ws_port": ws_port, "rest_port": rest_port, "pid": os.getpid()})
        if announce:
            announce(f"{instrument.name}: ws://127.0.0.1:{ws_port} and http://127.0.0.1:{rest_port}")
        await exchange.wait(stop)
    finally:
        exchange.close()


def _write_whole(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content))
    partial.replace(path)
