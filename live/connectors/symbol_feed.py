"""The feed of one symbol: what its sockets bring, stamped, and the snapshots that its book asks for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from live.clock import Clock
from live.connectors.line import Stamps
from live.connectors.rest import Rest
from live.feed import OnConnection, OnFrame, Subscription
from market.errors import VenueError

LOG: Final = logging.getLogger(__name__)
COUNTS: Final = (
    "connections",
    "disconnections",
    "refusals",  # attempts that led to no connection
    "unknown_symbol",  # those of them for a symbol that the venue does not know
    "renewals",  # lines replaced before the venue ended them
    "stalls",  # lines given up because nothing came
    "oversize",  # lines given up because a message was too large
    "unroutable",  # messages on the symbol's lines that were of no symbol
    "frames",
    "snapshots",
    "snapshot_failures",
)


class Wires(Protocol):
    """A socket that the symbol shares with others, as its feed sees it."""

    def join(self, feed: "SymbolFeed") -> None:
        """Listen from now on."""
        ...

    async def leave(self, feed: "SymbolFeed") -> None:
        """Listen no more; the last one to leave takes the line down."""
        ...


Books = Callable[["SymbolFeed"], Awaitable[bytes | None]]  # body of a snapshot, None where it comes by the socket


class SymbolFeed:
    """See ``live.feed.Feed``."""

    def __init__(self, subscription: Subscription, rest: Rest, by_rest: bool, retry_s: float, until_end: bool) -> None:
        """``by_rest``: each new connection begins by asking for the book."""
        self.instrument, self.needs_snapshot = subscription
        self.counts = dict.fromkeys(COUNTS, 0)
        self.ended = False
        self.wires: list[Wires] = []
        self.known = False  # the venue knows the symbol
        self.bring_book: Books
        self._rest = rest
        self._by_rest = by_rest
        self._retry_s = retry_s
        self._until_end = until_end
        self._up: set[int] = set()  # numbers of the sockets that are up ...
        self._ended: set[int] = set()  # ... and of those whose stream is complete
        self._fresh = False  # no snapshot since all of them came up
        self._wanted = asyncio.Event()
        self._turns = 0  # how often a socket was lost
        self._last_words = ""

    async def run(self, on_frame: OnFrame, on_connection: OnConnection, clock: Clock) -> None:
        """Deliver frames until cancelled, or until the stream has ended where the feed stops there."""
        self._on_frame, self._on_connection = on_frame, on_connection
        self._stamps = clock if isinstance(clock, Stamps) else Stamps(clock)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asking = asyncio.create_task(self._bring_books())
        asking.add_done_callback(self._asked)
        async with self._rest:
            try:
                for wires in self.wires:
                    wires.join(self)
                await self._over
            finally:
                asking.cancel()
                for wires in self.wires:
                    await wires.leave(self)

    def deliver(self, socket: int, message: bytes, depth: bool) -> None:
        """Take a message of one of the sockets."""
        if self._over.done():
            return
        self.counts["frames"] += 1
        try:
            self._on_frame(message, self._stamps.now(), socket)
        except Exception as error:  # noqa: BLE001  as in _call, without a closure for each message
            self.fail(error)
        if depth and self.whole and (self._fresh or self.needs_snapshot()):
            self._wanted.set()

    def line_up(self, socket: int) -> None:
        """A socket of the symbol is subscribed."""
        self.counts["connections"] += 1
        self._up.add(socket)
        self._last_words = ""
        if self.whole:
            self._fresh = self._by_rest
            self._call(lambda: self._on_connection(True, self._stamps.now()))

    def line_down(self, socket: int) -> None:
        """A socket of the symbol is lost, if it was up."""
        if socket in self._up:
            self._up.discard(socket)
            self.counts["disconnections"] += 1
            self._turns += 1
            self._call(lambda: self._on_connection(False, self._stamps.now()))

    def line_ended(self, socket: int) -> None:
        """The venue has said that a socket's stream is complete."""
        self._ended.add(socket)
        self.ended = len(self._ended) == len(self.wires)
        if self.ended and self._until_end and not self._over.done():
            self._over.set_result(None)

    def is_up(self, socket: int) -> bool:
        """Whether a socket of the symbol is subscribed."""
        return socket in self._up

    @property
    def whole(self) -> bool:
        """Whether all sockets of the symbol are up."""
        return len(self._up) == len(self.wires)

    def fail(self, error: BaseException) -> None:
        """Let ``run`` raise this."""
        if not self._over.done():
            self._over.set_exception(error)

    def say(self, words: str) -> None:
        """One line in the log, not one for every retry."""
        if words != self._last_words:
            LOG.warning(words)
            self._last_words = words

    def _call(self, callback: Callable[[], None]) -> None:
        """Call back; where that fails, this symbol's feed ends, and others of the line go on."""
        try:
            callback()
        except Exception as error:  # noqa: BLE001  run() raises it
            self.fail(error)

    def _asked(self, asking: "asyncio.Task[None]") -> None:
        if not asking.cancelled() and (error := asking.exception()):
            self.fail(error)

    async def _bring_books(self) -> None:
        """Ask for the book whenever somebody wants it."""
        while True:
            await self._wanted.wait()
            try:
                await self._bring_one()
            except VenueError as error:
                self.counts["snapshot_failures"] += 1
                self.say(str(error))
            await asyncio.sleep(self._retry_s)
            self._wanted.clear()

    async def _bring_one(self) -> None:
        turns = self._turns
        body = await self.bring_book(self)
        self.counts["snapshots"] += 1
        if turns != self._turns:
            return  # it is of a line that has been lost since
        self._fresh = False
        if body is not None:
            self._call(lambda: self._on_frame(body, self._stamps.now(), 0))
