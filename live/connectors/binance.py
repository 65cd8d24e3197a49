"""The connector to Binance (USD-M, COIN-M, spot): subscribes, stamps, asks for snapshots, comes back when cut off."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec
import numpy as np
from picows import WSCloseCode, WSError, WSListener, ws_connect

from live.clock import Clock
from live.connectors.binance_api import DEPTH_LIMIT, INVALID_SYMBOL, rest_prefix, stream_names
from live.connectors.line import Line, Stamps
from live.feed import OnConnection, OnFrame
from market.errors import VenueError
from market.instrument import Instrument

LOG: Final = logging.getLogger(__name__)
_REST_TIMEOUT_S: Final = 10.0
_MOST_BYTES: Final = 64 * 1024 * 1024  # of one frame
_COUNTS: Final = (
    "connections",
    "disconnections",
    "refusals",  # attempts that led to no connection
    "unknown_symbol",  # those of them for a symbol that the venue does not know
    "frames",
    "snapshots",
    "snapshot_failures",
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait before asking again, seconds of our own time."""

    first_s: float  # after the first failure; doubles with each that follows
    longest_s: float
    snapshot_s: float  # between two requests for a snapshot


PATIENCE: Final = Patience(first_s=0.25, longest_s=30.0, snapshot_s=1.0)


class BinanceFeed:
    """The streams of one symbol; see ``live.feed.Feed``."""

    def __init__(
        self,
        instrument: Instrument,
        ws_url: str,
        rest_url: str,
        needs_snapshot: Callable[[], bool],
        generator: np.random.Generator,
        *,
        until_end: bool = False,
        patience: Patience = PATIENCE,
    ) -> None:
        """``needs_snapshot``: whether the book waits for one; ``generator`` spreads the retries of many feeds.

        ``until_end``: stop when the venue closes the stream as complete, not when it is lost.

        Raises ConfigError if the instrument is of another venue.
        """
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.ended = False
        self._url = f"{ws_url.rstrip('/')}/stream?streams={'/'.join(stream_names(instrument))}"
        self._depth_url = f"{rest_url.rstrip('/')}{rest_prefix(instrument)}/depth"
        self._symbol = instrument.venue_symbol.upper()
        self._needs_snapshot = needs_snapshot
        self._generator = generator
        self._until_end = until_end
        self._patience = patience
        self._last_words = ""

    async def run(self, on_frame: OnFrame, on_connection: OnConnection, clock: Clock) -> None:
        """Deliver frames until cancelled, or until the stream has ended where the feed stops there."""
        stamps, failures = Stamps(clock), 0
        async with httpx.AsyncClient(timeout=_REST_TIMEOUT_S) as rest:
            while True:
                try:
                    await self._depth(rest, 5)
                    failures = 0 if await self._connection(rest, stamps, on_frame, on_connection) else failures + 1
                except VenueError as error:
                    failures += 1
                    self.counts["refusals"] += 1
                    self._say(str(error))
                if self.ended and self._until_end:
                    return
                await asyncio.sleep(self._backoff_s(failures))

    async def _connection(
        self, rest: httpx.AsyncClient, stamps: Stamps, on_frame: OnFrame, on_connection: OnConnection
    ) -> bool:
        """Whether one connection, from the handshake to its end, brought any frame.

        Raises VenueError if there is none to be had, and whatever a callback raises.
        """
        line = Line(stamps, on_frame, on_connection, self._needs_snapshot)
        asking = asyncio.create_task(self._snapshots(rest, line))
        try:
            await self._open(line)
            self.counts["connections"] += 1
            self._last_words = ""
            await _closed(line, asking)
        finally:
            asking.cancel()
            line.cut()
            await line.down()  # so that its last words come before this returns
            self.counts["frames"] += line.frames
        self.counts["disconnections"] += 1
        self.ended = line.close_code == WSCloseCode.OK
        self._say("the venue has ended the stream" if self.ended else "the connection is lost")
        return line.frames > 0

    async def _open(self, line: WSListener) -> None:
        try:
            await ws_connect(lambda: line, self._url, enable_auto_ping=True, max_frame_size=_MOST_BYTES)
        except (OSError, WSError, TimeoutError) as error:
            raise VenueError(f"no stream from {self._url}: {error}") from error

    async def _snapshots(self, rest: httpx.AsyncClient, line: Line) -> None:
        """Deliver a snapshot whenever the line wants one."""
        while True:
            await line.wanted.wait()
            try:
                body = await self._depth(rest, DEPTH_LIMIT)
            except VenueError as error:
                self.counts["snapshot_failures"] += 1
                self._say(str(error))
            else:
                self.counts["snapshots"] += 1
                line.deliver_snapshot(body)
            await asyncio.sleep(self._patience.snapshot_s)
            line.wanted.clear()

    async def _depth(self, rest: httpx.AsyncClient, levels: int) -> bytes:
        """Body of the venue's depth snapshot; raises VenueError if it gives none."""
        try:
            answer = await rest.get(self._depth_url, params={"symbol": self._symbol, "limit": levels})
        except httpx.TransportError as error:
            raise VenueError(f"no venue answers at {self._depth_url}: {error}") from error
        if answer.status_code == httpx.codes.OK:
            return answer.content
        if _code(answer.content) == INVALID_SYMBOL:
            self.counts["unknown_symbol"] += 1
            raise VenueError(f"the venue at {self._depth_url} does not know symbol={self._symbol}")
        raise VenueError(f"{self._depth_url} answers {answer.status_code}: {' '.join(answer.text.split())[:120]}")

    def _backoff_s(self, failures: int) -> float:
        longest = min(self._patience.longest_s, self._patience.first_s * 2.0 ** min(failures, 30))
        return longest * self._generator.uniform(0.5, 1.0)

    def _say(self, words: str) -> None:
        """One line in the log, not one for every retry."""
        if words != self._last_words:
            LOG.warning(words)
            self._last_words = words


async def _closed(line: Line, asking: asyncio.Task[None]) -> None:
    """Return when the line is down; raises what a callback raised, also on the way of a snapshot."""
    down = asyncio.ensure_future(line.down())
    try:
        await asyncio.wait((down, asking), return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            asking.result()
        await down
    finally:
        down.cancel()


def _code(body: bytes) -> int | None:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return answer.get("code") if isinstance(answer, dict) else None
