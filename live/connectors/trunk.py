"""One socket that many symbols share, kept up: it connects, subscribes, pings, is renewed, and comes back when lost."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import numpy as np
from picows import WSCloseCode, WSError, ws_connect
from picows.common import WSHandshakeError

from config.connectors import ConnectorSettings, SocketSettings
from live.connectors.dialect import Dialect
from live.connectors.line import Line
from live.connectors.pace import Bucket, backoff_s, take
from live.connectors.rest import UnknownSymbol, told_wait_s
from live.connectors.splice import Splice
from live.connectors.symbol_feed import SymbolFeed
from market.errors import VenueError

_TOO_MANY: Final = (403, 418, 429)  # handshakes refused to who connects too often
_SHORTEST_S: Final = 0.01


class Trunk:
    """See ``live.connectors.symbol_feed.Wires``; opens once all its symbols listen."""

    def __init__(
        self,
        dialect: Dialect,
        socket: SocketSettings,
        place: int,
        settings: ConnectorSettings,
        bucket: Bucket,
        check: Callable[[SymbolFeed], Awaitable[None]],
        generator: np.random.Generator,
        until_end: bool,
    ) -> None:
        """``place``: number of this socket among those of a symbol; ``check`` raises UnknownSymbol for such."""
        self.members: list[SymbolFeed] = []
        self._dialect = dialect
        self._socket = socket
        self._url = socket.ws_url.rstrip("/") + dialect.path()
        self._place = place
        self._settings = settings
        self._bucket = bucket
        self._check = check
        self._generator = generator
        self._until_end = until_end
        self._numbers = itertools.count(1)
        self._listening: set[SymbolFeed] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._line: Line | None = None

    def join(self, feed: SymbolFeed) -> None:
        """Listen from now on."""
        self._listening.add(feed)
        self._start()

    async def leave(self, feed: SymbolFeed) -> None:
        """Listen no more; the last one to leave takes the line down."""
        self._listening.discard(feed)
        if feed in self.members:
            self.members.remove(feed)
        if self._line:
            self._line.forget(self._key(feed))
        feed.line_down(self._place)
        self._start()
        if not self._listening and self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def subscribe_again(self, feed: SymbolFeed) -> None:
        """Have the venue send the book of a symbol anew. Raises VenueError if it refuses."""
        if self._line is None or not feed.is_up(self._place):
            raise VenueError("the connection is lost")
        topics = self._dialect.book_topics(self._topics(feed))
        for verb in ("unsubscribe", "subscribe"):
            request = self._dialect.request(verb, next(self._numbers), [feed.instrument], topics)
            await self._agreed(self._line, self._line.ask(request, _nothing))

    def _start(self) -> None:
        if self._keeping is None and self._listening and len(self._listening) == len(self.members):
            self._keeping = asyncio.create_task(self._keep())
            self._keeping.add_done_callback(self._kept)

    def _kept(self, keeping: "asyncio.Task[None]") -> None:
        if not keeping.cancelled() and (error := keeping.exception()):
            for feed in self.members:
                feed.fail(error)

    async def _keep(self) -> None:
        """Line after line, until the stream has ended where we stop there."""
        failures = 0
        while True:
            try:
                failures = 0 if await self._connection() else failures + 1
            except VenueError as error:
                failures += 1
                self._tell("refusals", str(error))
            if self._until_end and self.members and all(feed.ended for feed in self.members):
                return
            await asyncio.sleep(self._wait_s(failures))

    async def _connection(self) -> bool:
        """Whether one line, or those that replaced it, brought anything. Raises VenueError if there is none to be had.

        A symbol that the venue does not know is tried again beside the others.
        """
        ready = await self._known(list(self.members))
        before = sum(feed.counts["frames"] for feed in self.members)
        line = self._line = await self._opened()
        late: asyncio.Task[None] | None = None
        try:
            await self._subscribe(line, ready, self._admit)
            late = asyncio.create_task(self._admit_late())
            late.add_done_callback(self._kept)
            await self._watch()
        finally:
            if late:
                late.cancel()
            await self._take_down()
        return sum(feed.counts["frames"] for feed in self.members) > before

    async def _take_down(self) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        line.cut()
        await line.down()
        ended, oversize = line.close_code == WSCloseCode.OK, line.close_code == WSCloseCode.MESSAGE_TOO_BIG
        for feed in list(self.members):
            if feed.is_up(self._place):
                feed.say(self._farewell(ended, oversize))
            feed.counts["unroutable"] += line.unroutable
            feed.counts["oversize"] += oversize
            feed.line_down(self._place)
            if ended:
                feed.line_ended(self._place)

    def _farewell(self, ended: bool, oversize: bool) -> str:
        if oversize:
            return f"{self._url} has sent a message of more than {self._settings.most_frame_bytes} bytes"
        return "the venue has ended the stream" if ended else f"the connection to {self._url} is lost"

    async def _known(self, feeds: list[SymbolFeed]) -> list[SymbolFeed]:
        """Those of some symbols that the venue knows. Raises VenueError if it knows none, or does not answer."""
        refused: VenueError | None = None
        for feed in feeds:
            try:
                if not feed.known:
                    await self._check(feed)
                feed.known = True
            except UnknownSymbol as error:
                refused = error
                feed.counts["unknown_symbol"] += 1
                feed.say(str(error))
        known = [feed for feed in feeds if feed.known]
        if refused and not known:
            raise refused
        return known

    async def _opened(self) -> Line:
        """A line that is up. Raises VenueError if there is none to be had."""
        await take(self._bucket, 1)
        line = Line(self._dialect, self._settings.most_frame_bytes)
        try:
            await ws_connect(lambda: line, self._url, max_frame_size=self._settings.most_frame_bytes)
        except WSHandshakeError as error:
            self._heed(error)
            raise VenueError(f"no stream from {self._url}: {error}") from error
        except (OSError, WSError, TimeoutError) as error:
            raise VenueError(f"no stream from {self._url}: {error}") from error
        return line

    def _heed(self, error: WSHandshakeError) -> None:
        """Stay away for as long as the venue asks."""
        if error.response is not None and error.response.status in _TOO_MANY:
            wait_s = told_wait_s(error.response.headers.get("Retry-After"))
            self._bucket.close(wait_s, asyncio.get_running_loop().time())

    async def _subscribe(self, line: Line, feeds: list[SymbolFeed], agreed: Callable[[Line, SymbolFeed], None]) -> None:
        """Subscribe symbols; ``agreed`` hears of each that the venue takes. Raises VenueError if it takes none."""
        groups = [feeds] if self._dialect.together else [[feed] for feed in feeds]
        refusals = await asyncio.gather(*(self._request(line, group, agreed) for group in groups if group))
        if refusals and all(refusals):
            raise VenueError(refusals[0])

    async def _request(self, line: Line, feeds: list[SymbolFeed], agreed: Callable[[Line, SymbolFeed], None]) -> str:
        """Subscribe symbols by one request; the venue's refusal, empty where it agrees."""

        def admit() -> None:
            for feed in feeds:
                agreed(line, feed)

        instruments = [feed.instrument for feed in feeds]
        request = self._dialect.request("subscribe", next(self._numbers), instruments, self._topics(feeds[0]))
        try:
            await self._agreed(line, line.ask(request, admit))
        except UnknownSymbol as error:
            for feed in feeds:
                feed.counts["unknown_symbol"] += 1
                feed.say(str(error))
            return str(error)
        return ""

    async def _agreed(self, line: Line, answer: "asyncio.Future[str]") -> None:
        """Return when the venue has agreed. Raises UnknownSymbol if it refuses, VenueError if it does not answer."""
        patience_s = self._settings.acknowledge_s
        await asyncio.wait((answer, line.gone), timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            raise VenueError(f"{self._url} has not answered a subscription within {patience_s:g} s")
        if refusal := answer.result():
            raise UnknownSymbol(f"{self._url} refuses a subscription: {refusal}")

    def _admit(self, line: Line, feed: SymbolFeed) -> None:
        """A symbol is on the line."""
        self._route(line, feed)
        feed.line_up(self._place)

    def _route(self, line: Line, feed: SymbolFeed) -> None:
        line.lead(self._key(feed), partial(feed.deliver, self._place))

    async def _admit_late(self) -> None:
        """Try again to subscribe the symbols that the venue has refused."""
        failures = 0
        while any(not feed.is_up(self._place) for feed in self.members):
            failures += 1
            await asyncio.sleep(self._wait_s(failures))
            missing = [feed for feed in self.members if not feed.is_up(self._place)]
            try:
                if self._line and missing:
                    await self._subscribe(self._line, await self._known(missing), self._admit)
            except VenueError:
                continue  # each symbol has been told, and has said so

    async def _watch(self) -> None:
        """Return when the line is over, or has been silent for too long; ping it, renew it when it is old."""
        loop, settings = asyncio.get_running_loop(), self._settings
        pinged_s, renew_s = loop.time(), loop.time() + settings.renew_s
        while self._line and not self._line.gone.done():
            due_s = min(self._line.heard_s + settings.stall_s, pinged_s + settings.ping_s, renew_s)
            await asyncio.wait((self._line.gone,), timeout=max(_SHORTEST_S, due_s - loop.time()))
            now_s = loop.time()
            if self._line.gone.done():
                return
            if now_s >= self._line.heard_s + settings.stall_s:
                self._tell("stalls", f"{self._url} has been silent for {settings.stall_s:g} s")
                return
            if now_s >= pinged_s + settings.ping_s:
                self._line.ping()
                pinged_s = now_s
            if now_s >= renew_s:
                renewed = await self._renewed(self._line)
                renew_s = loop.time() + (settings.renew_s if renewed else settings.longest_retry_s)

    async def _renewed(self, old: Line) -> bool:
        """Whether a new line has taken the place of the old one, without a gap where both say the same."""
        feeds = [feed for feed in self.members if feed.is_up(self._place)]
        splices = {feed: Splice() for feed in feeds}
        try:
            new = await self._opened()
        except VenueError as error:
            self._tell("refusals", str(error))
            return False
        try:
            for feed in feeds:
                self._listen_twice(old, feed, splices[feed])
            await self._subscribe(new, feeds, lambda line, feed: line.lead(self._key(feed), splices[feed].hear_new))
            await asyncio.wait(
                (old.gone, new.gone), timeout=self._settings.renew_overlap_s, return_when=asyncio.FIRST_COMPLETED
            )
        except VenueError as error:
            self._tell("refusals", str(error))
        if old.gone.done() or new.gone.done() or not all(new.leads(self._key(feed)) for feed in feeds):
            for feed in feeds:
                self._route(old, feed)
            new.cut()
            return False
        await self._cut_over(old, new, splices)
        return True

    async def _cut_over(self, old: Line, new: Line, splices: dict[SymbolFeed, Splice]) -> None:
        old.cut()
        self._line = new
        for feed, splice in splices.items():
            if feed not in self.members:
                new.forget(self._key(feed))
                continue
            feed.counts["renewals"] += 1
            if splice.torn:
                feed.line_down(self._place)
                feed.line_up(self._place)
            self._route(new, feed)
            splice.release(partial(feed.deliver, self._place))
        await old.down()

    def _listen_twice(self, old: Line, feed: SymbolFeed, splice: Splice) -> None:
        """Let the splice hear as well what the old line delivers."""
        place = self._place

        def deliver(message: bytes, depth: bool) -> None:
            splice.hear_old(message)
            feed.deliver(place, message, depth)

        old.lead(self._key(feed), deliver)

    def _key(self, feed: SymbolFeed) -> bytes:
        return self._dialect.symbol(feed.instrument)

    def _topics(self, feed: SymbolFeed) -> tuple[str, ...]:
        return self._socket.topics or self._dialect.topics(feed.instrument)

    def _tell(self, count: str, words: str) -> None:
        """Count something that befell the whole socket, and let one symbol say it."""
        for feed in self.members:
            feed.counts[count] += 1
        if self.members:
            self.members[0].say(words)

    def _wait_s(self, failures: int) -> float:
        return backoff_s(failures, self._settings.first_retry_s, self._settings.longest_retry_s, self._generator)


def _nothing() -> None:
    """Nobody waits for the agreement."""
