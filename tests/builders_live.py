"""A replay venue, a client of its own and captures cut short, for the tests of the live room."""

import asyncio
import copy
import functools
import gzip
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ParamSpec, cast

import numpy as np

from config.connectors import ConnectorSettings, SocketSettings, VenueSettings, Wire
from live.clock import Clock, ReplayClock
from live.connectors.connect import connect
from live.connectors.symbol_feed import SymbolFeed
from live.exchange import Exchange, Replay
from live.exchange_reels import Listing
from live.exchange_tape import Tape, TapeFrame
from live.feed import Feed, Subscription
from market.book import apply_events, new_book
from market.events import EVENT, Events
from market.instrument import Instrument
from market.reader import FrameReader
from market.sources.capture import split_line
from storage.captures import capture_lines
from tests.builders import recording
from tests.builders_market import CLOCK, COINM_BTC, RUNS

QUICK = ConnectorSettings(
    venues={},
    symbols_per_socket=20,
    ping_s=15.0,
    stall_s=20.0,
    acknowledge_s=10.0,
    first_retry_s=0.01,
    longest_retry_s=0.05,
    snapshot_retry_s=0.01,
    rest_weight_per_minute=1_000_000,
    connects_per_minute=10_000,
    most_frame_bytes=1 << 22,
    renew_s=80_000.0,
    renew_overlap_s=0.2,
)
DEADLINE_S = 240.0  # a cold cache of kernels on a loaded machine takes minutes
LEAD_S = 0.4
Arguments = ParamSpec("Arguments")


def in_loop(test: Callable[Arguments, Coroutine[None, None, None]]) -> Callable[Arguments, None]:
    """The test, run in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@dataclass
class Reader:
    """Keeps what a feed delivers and rebuilds the book from it, as a runner would."""

    instrument: Instrument = COINM_BTC
    frames: list[tuple[bytes, int]] = field(default_factory=list)  # snapshots among them
    connections: list[tuple[bool, int]] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)  # that brought each frame
    batches: list[Events] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = FrameReader(self.instrument, CLOCK)
        self.book = self.book_before_end = new_book()
        self._counted: Counter[str] = Counter()

    def on_frame(self, data: bytes, ingest_ts: int, connection: int = 0) -> None:
        """Keep and apply."""
        self.frames.append((data, ingest_ts))
        self.sockets.append(connection)
        self._take(self.reader.read(data, ingest_ts, connection))

    def on_connection(self, up: bool, ts: int) -> None:
        """Keep; a lost line closes the book."""
        self.connections.append((up, ts))
        if not up:
            self.book_before_end = copy.deepcopy(self.book)
            self._counted.update(self.reader.decoder.counts)
            self._take(self.reader.lose(ts))

    def of_kind(self, kind: int) -> Events:
        """All events of a kind so far."""
        events = np.concatenate([np.zeros(0, EVENT), *self.batches], dtype=EVENT)
        return events[events["kind"] == kind]

    def _take(self, events: Events) -> None:
        self.batches.append(events.copy())
        apply_events(self.book, events)

    def needs_snapshot(self) -> bool:
        """Whether the decoder holds depth back."""
        return self.reader.decoder.waiting

    @property
    def counts(self) -> dict[str, int]:
        """What the decoders noticed, one after each loss of the line."""
        return Counter(self.reader.decoder.counts) + self._counted

    def streamed(self) -> list[bytes]:
        """The frames that came over the WebSocket."""
        return [data for data, _ in self.frames if data.startswith(b'{"stream"')]


def short_capture(folder: Path, run: str, seconds: float, name: str = "short.gz") -> Path:
    """The first seconds of a real run, from its beginning, as a capture of its own."""
    path, first = folder / name, 0
    with gzip.open(path, "wb", compresslevel=1) as file:
        for line in capture_lines(recording(RUNS[run][1][0])):
            ts, _ = split_line(line)
            first = first or ts
            if ts > first + seconds * 1e9:
                break
            file.write(line)
    return path


def played(replay: Replay, start_ns: int, end_ns: int) -> list[TapeFrame]:
    """What a venue streams between two instants."""
    return [frame for frame in Tape(replay.files).frames() if start_ns <= frame.ts <= end_ns and frame.stream]


@asynccontextmanager
async def venue(
    replay: Replay,
    instrument: Instrument = COINM_BTC,
    ports: tuple[int, int] = (0, 0),
    more: Sequence[Listing] = (),
) -> AsyncIterator[Exchange]:
    """A venue inside the running loop, on free ports unless given, that does not let its clients wait for long."""
    exchange = Exchange(instrument, replace(replay, lead_s=LEAD_S), more)
    await exchange.open("127.0.0.1", *ports)
    try:
        yield exchange
    finally:
        exchange.close()


def wire_at(ports: Sequence[int], settings: ConnectorSettings = QUICK) -> Wire:
    """All venues at two ports of this machine."""
    ws, rest = ports
    return Wire(settings, VenueSettings(f"http://127.0.0.1:{rest}", (SocketSettings(f"ws://127.0.0.1:{ws}", ()),)))


def feeds_of(wire: Wire, *readers: Reader, until_end: bool = True) -> list[SymbolFeed]:
    """Feeds of the readers' instruments, in their order."""
    subscriptions = [Subscription(reader.instrument, reader.needs_snapshot) for reader in readers]
    feeds = connect(subscriptions, wire, np.random.default_rng(1), until_end=until_end)
    return [cast(SymbolFeed, feeds[reader.instrument.name]) for reader in readers]


def feed_of(ports: Sequence[int], reader: Reader, until_end: bool = True, **settings: float) -> SymbolFeed:
    """A feed of the reader's instrument from a venue on loopback."""
    return feeds_of(wire_at(ports, replace(QUICK, **settings)), reader, until_end=until_end)[0]


def clock_of(exchange: Exchange) -> ReplayClock:
    """The clock of a venue, started."""
    answer = exchange.clock()
    return ReplayClock(answer["recorded_ns"], answer["monotonic_ns"], answer["speed"])


async def follow(feed: Feed, reader: Reader, clock: Clock) -> None:
    """Read a feed to its end; raises TimeoutError after the tests' deadline."""
    await asyncio.wait_for(feed.run(reader.on_frame, reader.on_connection, clock), DEADLINE_S)


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; raises TimeoutError after the tests' deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.001)


def other_symbol(instrument: Instrument, venue_symbol: str) -> Instrument:
    """The same market under another symbol."""
    return replace(instrument, venue_symbol=venue_symbol, name=f"{instrument.venue}-{venue_symbol}")


def bybit_of(instrument: Instrument) -> Instrument:
    """A contract of Bybit on the grid of one of Binance, so that its tape can be played as that."""
    symbol, venue = instrument.venue_symbol.partition("_")[0], f"bybit-{instrument.contract}"
    return replace(instrument, name=f"{venue}-{symbol}", venue=venue, venue_symbol=symbol)
