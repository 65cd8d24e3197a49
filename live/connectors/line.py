"""One WebSocket connection to a venue: it hands each message to the symbol that it is of, without reading it whole."""

import asyncio
from collections.abc import Callable

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSProtocolError, WSTransport

from live.clock import Clock
from live.connectors.dialect import Dialect, Request
from market.errors import VenueError

Deliver = Callable[[bytes, bool], None]  # a message, and whether it changes the book


class Stamps:
    """A clock that never falls, also where the one below it does, nor shows less than ``newest`` (ns UTC)."""

    def __init__(self, clock: Clock, newest: int = 0) -> None:
        self._clock = clock
        self._newest = newest

    def now(self) -> int:
        """This instant, ns UTC, or the newest one before it if that is later."""
        now = self._clock.now()
        if now > self._newest:
            self._newest = now
        return self._newest


class Line(WSListener):
    """A connection from its handshake to its end."""

    def __init__(self, dialect: Dialect, most_bytes: int) -> None:
        """``most_bytes``: a message that is larger, or grows beyond it piece by piece, ends the line."""
        self._loop = asyncio.get_running_loop()
        self._routes: dict[bytes, Deliver] = {}  # by the venue's symbol
        self._heads: dict[bytes, tuple[Deliver, bool]] = {}  # the same by the first words of messages seen so far
        self.unroutable = 0  # messages of no symbol that was subscribed, and answers to nothing
        self.heard_s = self._loop.time()  # when anything came, by the loop's clock
        self.close_code: WSCloseCode | None = None  # what the venue said goodbye with
        self.gone = self._loop.create_future()  # the connection is over
        self._dialect = dialect
        self._most_bytes = most_bytes
        self._asked: dict[str, tuple[asyncio.Future[str], Callable[[], None]]] = {}  # requests without an answer
        self._parts = b""  # of a message that comes in pieces
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the way to speak."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand a whole message on."""
        self.heard_s = self._loop.time()
        kind = frame.msg_type
        if kind is WSMsgType.TEXT or kind is WSMsgType.CONTINUATION:
            message = self._parts + frame.get_payload_as_bytes() if self._parts else frame.get_payload_as_bytes()
            if len(message) > self._most_bytes:
                self._refuse(transport)
            elif frame.fin:
                self._parts = b""
                self._take(message)
            else:
                self._parts = message
        elif kind is WSMsgType.CLOSE:
            self.close_code = frame.get_close_code()
            transport.send_close(self.close_code)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell who waits."""
        if not self.gone.done():
            self.gone.set_result(None)

    def lead(self, symbol: bytes, deliver: Deliver) -> None:
        """Hand the messages of a symbol to whoever takes them from now on."""
        self._routes[symbol] = deliver
        self._heads.clear()

    def forget(self, symbol: bytes) -> None:
        """Hand on no more messages of a symbol."""
        self._routes.pop(symbol, None)
        self._heads.clear()

    def leads(self, symbol: bytes) -> bool:
        """Whether messages of a symbol are handed on."""
        return symbol in self._routes

    def ask(self, request: Request, agreed: Callable[[], None]) -> "asyncio.Future[str]":
        """Send a request; the future becomes the venue's refusal, empty where it agrees.

        ``agreed`` is called before any message that follows the venue's answer is handed on.
        Raises VenueError if the connection is lost.
        """
        answer: asyncio.Future[str] = self._loop.create_future()
        self._asked[request.number] = (answer, agreed)
        self._send(request.message)
        return answer

    def ping(self) -> None:
        """Ask whether the venue is there."""
        if self._dialect.ping is not None:
            self._send(self._dialect.ping)
        elif self._transport and not self._transport.is_disconnected:
            self._transport.send_ping()

    async def down(self) -> None:
        """Return when the connection is over."""
        if self._transport:
            try:
                await self._transport.wait_disconnected()
            except WSProtocolError as error:
                self.close_code = error.code
            except OSError:
                self.close_code = None  # a broken line, no goodbye

    def cut(self) -> None:
        """Hang up, if that has not happened yet; nothing more is handed on."""
        self._shut()
        if self._transport:
            self._transport.disconnect(graceful=False)

    def _take(self, message: bytes) -> None:
        head = message[: message.find(b",")]
        known = self._heads.get(head)
        if known:
            known[0](message, known[1])
            return
        route = self._dialect.route(message)
        deliver = self._routes.get(route.symbol) if route else None
        if route and deliver:
            if route.symbol in head:  # else others begin alike
                self._heads[head] = (deliver, route.depth)
            deliver(message, route.depth)
        elif route or not self._answered(message):
            self.unroutable += 1

    def _shut(self) -> None:
        self._routes.clear()
        self._heads.clear()

    def _answered(self, message: bytes) -> bool:
        """Whether a message is the answer to a request."""
        answer = self._dialect.answer(message)
        if answer is None or answer.number not in self._asked:
            return False
        asked, agreed = self._asked.pop(answer.number)
        if not asked.cancelled():
            if not answer.refusal:
                agreed()
            asked.set_result(answer.refusal)
        return True

    def _refuse(self, transport: WSTransport) -> None:
        """End the line over a message that is too large."""
        self.close_code, self._parts = WSCloseCode.MESSAGE_TOO_BIG, b""
        self._shut()
        transport.disconnect(graceful=False)

    def _send(self, message: bytes) -> None:
        if self._transport is None or self._transport.is_disconnected:
            raise VenueError("the connection is lost")
        self._transport.send(WSMsgType.TEXT, message)
