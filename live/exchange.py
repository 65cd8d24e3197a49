"""The replay venue: serves captures over loopback sockets as Binance or Bybit would, at their recorded receive times.

Binance's frames leave unmodified. The clock of the tape starts when somebody subscribes or asks for it, and
whoever stamps frames with that clock sees the delays that were recorded.
"""

import asyncio
import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from picows import ws_create_server

from live.clock import ReplayClock
from live.connectors.binance_api import DEPTH_LIMIT
from live.exchange_bybit import BybitVoice
from live.exchange_delivery import Delivery
from live.exchange_doors import Doors
from live.exchange_faults import Fault, FaultPlan
from live.exchange_player import Player
from live.exchange_reels import Listing, reels_of, shared_stretch
from live.exchange_rest import Rest
from live.exchange_sockets import Clients, rest_listener
from live.exchange_tape import TapeFrame
from market.errors import ConfigError, VenueError
from market.instrument import Instrument

if TYPE_CHECKING:
    from live.exchange_order_side import Offer

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
    tape: Instrument | None = None  # whose captures they are; those of the instrument that is traded unless given

    def __post_init__(self) -> None:
        if not 0 < self.speed < float("inf"):
            raise ConfigError(f"speed={self.speed} must be above 0 and finite")
        if not self.lead_s >= 0:
            raise ConfigError(f"lead_s={self.lead_s} must be at or above 0")


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a venue listens, and whom it tells that it does."""

    ports: tuple[int, int] = (0, 0)  # WebSocket and REST, 0 for a free one
    ready_file: Path | None = None  # JSON of ws_port, rest_port and pid, written whole once both listen
    announce: Callable[[str], None] = lambda line: None


class Exchange:
    """A venue; lives inside a running event loop."""

    def __init__(self, instrument: Instrument, replay: Replay, more: Sequence[Listing] = ()) -> None:
        """``more``: what is traded here beside ``instrument``, over the time that all tapes share.

        Raises ConfigError if two listings would be told by the same streams, or a tape cannot be played as its
        instrument; DataError where the tapes have no time in common.
        """
        listings = [Listing(instrument, replay.files, replay.tape or instrument), *more]
        self.start_ns, self.end_ns = shared_stretch([listing.files for listing in listings], replay.start, replay.end)
        self.tape = replay.tape or instrument  # whose words the frames of the first tape are
        self.clients = Clients(self._on_subscription)
        self._replay = replay
        self._reels = reels_of(listings)
        self.onlookers: list[Callable[[TapeFrame], None]] = []  # told every frame, before it leaves
        plan = self._plan = FaultPlan(replay.faults, self.start_ns)
        self.delivery = Delivery(self.clients, plan)
        frames = merge(*(reel.tape.frames() for reel in self._reels), key=attrgetter("ts"))
        self.player = Player(frames, self.end_ns, self._send)
        self._clock: ReplayClock | None = None
        self._playing: asyncio.Task[None] | None = None
        self._failed = asyncio.get_running_loop().create_future()
        self._servers: list[asyncio.Server] = []
        replies = {"clock": self.clock, "start": self._started_clock, "status": self.status}
        instruments = [listing.instrument for listing in listings]
        self._rest = Rest(instruments, self._depth, self._time_ms, self._book_refusal, replies)
        voices = [voice for reel in self._reels for voice in reel.voices if isinstance(voice, BybitVoice)]
        self._doors = Doors(self.clients, voices, self._book_refusal, self._handshake_refusal, self._time_ms)

    @property
    def ports(self) -> tuple[int, int]:
        """WebSocket and REST port."""
        ws, rest = (server.sockets[0].getsockname()[1] for server in self._servers)
        return ws, rest

    async def open(self, host: str, ws_port: int, rest_port: int) -> None:
        """Rebuild the books up to the start and listen; port 0 takes a free one.

        Raises VenueError if a port is taken.
        """
        self.player.skip(self.start_ns, self._skip)
        for reel in self._reels:
            reel.book.snapshot(DEPTH_LIMIT, "")  # compiled before anybody waits for it
        for port, listener in ((ws_port, self._doors.admit), (rest_port, rest_listener(self._rest.answer))):
            try:
                server = await ws_create_server(listener, host, port, use_aiofastnet=False, enable_auto_pong=False)
            except OSError as error:
                self.close()
                raise VenueError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from error
            self._servers.append(server)
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
            "bad_lines": sum(reel.tape.bad_lines for reel in self._reels),
            "unreadable": sum(reel.book.unreadable for reel in self._reels),
        }

    def asked(self, of: str) -> int:
        """How many questions there have been for a "book", or for a "handshake"."""
        return self._plan.asked[of]

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

    def _skip(self, frame: TapeFrame) -> None:
        self._reels[frame.reel].book.apply(frame)
        self._show(frame)

    def _show(self, frame: TapeFrame) -> None:
        for look in self.onlookers:
            look(frame)

    def now(self) -> int:
        """This instant of the tape, ns UTC."""
        return (self._clock or self._fresh_clock()).now()

    def _time_ms(self) -> int:
        return self.now() // _MS + self._reels[0].book.lead_ms() + self.delivery.clock_step_ms

    def _depth(self, instrument: Instrument, limit: int) -> dict[str, Any] | None:
        book = next(reel.book for reel in self._reels if reel.serves(instrument))
        return book.snapshot(limit, instrument.venue_symbol) if book.whole else None

    def _book_refusal(self) -> str:
        return self._plan.refusal("book", self.now())

    def _handshake_refusal(self) -> str:
        return self._plan.refusal("handshake", self.now())

    def _send(self, frame: TapeFrame) -> tuple[int, float]:
        """Take a frame into its book, then let it leave; how often somebody got it, and how long to be silent."""
        self._show(frame)
        sent = 0
        for stream, data, depth in self._reels[frame.reel].sayings(frame, self.clients.wanted):
            sent += self.delivery.deliver(frame.ts, stream, data, depth)
        stall_s, self.delivery.stall_s = self.delivery.stall_s, 0.0
        return sent, stall_s


def serve(
    instrument: Instrument,
    replay: Replay,
    opening: Opening = Opening(),
    more: Sequence[Listing] = (),
    offer: "Offer | None" = None,
) -> None:
    """Run a venue on loopback until SIGTERM or SIGINT.

    more : what is traded there beside ``instrument``
    offer : whose orders in ``instrument`` it takes; the ready file then names order_ws_port and order_rest_port too

    Raises VenueError if a port is taken, and what ``stretch`` raises.
    """
    # epoll rounds every wait up to a millisecond, select waits for microseconds
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_serve(instrument, replay, opening, more, offer))


async def _serve(
    instrument: Instrument, replay: Replay, opening: Opening, more: Sequence[Listing], offer: "Offer | None"
) -> None:
    from live.exchange_order_side import OrderSide

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with ExitStack() as closing:
        exchange = Exchange(instrument, replay, more)
        closing.callback(exchange.close)
        side = OrderSide(exchange, instrument, offer) if offer else None
        await exchange.open("127.0.0.1", *opening.ports)
        found = dict(zip(("ws_port", "rest_port"), exchange.ports, strict=True))
        if side:
            closing.callback(side.close)
            await side.open()
            found |= dict(zip(("order_ws_port", "order_rest_port"), side.doors.ports, strict=True))
        names = ", ".join([instrument.name, *(listing.instrument.name for listing in more)])
        _tell_open(opening, names, found)
        await exchange.wait(stop)


def _tell_open(opening: Opening, names: str, ports: dict[str, int]) -> None:
    if opening.ready_file:
        _write_whole(opening.ready_file, ports | {"pid": os.getpid()})
    opening.announce(f"{names}: ws://127.0.0.1:{ports['ws_port']} and http://127.0.0.1:{ports['rest_port']}")


def _write_whole(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content))
    partial.replace(path)
