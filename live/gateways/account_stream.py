"""The account's own stream: what became of our orders, by an allow-list of fields. Keys and balances are never kept."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import numpy as np
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from live.gateways.client import VenueClient
from market.errors import VenueError

KEEP_S: Final = 1_500.0  # a listen key lives an hour
FIRST_RETRY_S: Final = 0.1
LONGEST_RETRY_S: Final = 10.0
_MOST_BYTES: Final = 1024 * 1024


class OrderNews(msgspec.Struct):
    """Of an ``ORDER_TRADE_UPDATE``: nothing else of it is read."""

    s: str  # symbol
    c: str  # client order id
    x: str  # what happened: NEW, TRADE, CANCELED, EXPIRED
    X: str  # where the order stands
    i: int  # the venue's order id
    z: str  # filled in all
    T: int  # ms UTC
    l: str = "0"  # filled now  # noqa: E741
    L: str = "0"  # its price
    t: int = 0  # trade id
    m: bool = False  # maker


class _Message(msgspec.Struct):
    e: str
    o: OrderNews | None = None


class AccountStream:
    """One connection at a time, taken up again when it is lost."""

    def __init__(
        self,
        client: VenueClient,
        ws_url: str,
        on_news: Callable[[OrderNews], None],
        generator: np.random.Generator,
    ) -> None:
        """``generator`` spreads the retries."""
        self.counts = dict.fromkeys(("connections", "disconnections", "messages", "malformed"), 0)
        self._client = client
        self._ws_url = ws_url.rstrip("/")
        self._on_news = on_news
        self._generator = generator
        self._renew: WSTransport | None = None

    async def run(self, on_up: Callable[[], None], on_down: Callable[[], None]) -> None:
        """Deliver news until cancelled; ``on_up`` and ``on_down`` frame each connection."""
        failures = 0
        while True:
            try:
                await self._connection(on_up, on_down)
                failures = 0
            except VenueError:
                failures += 1
            longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures, 30))
            await asyncio.sleep(longest * self._generator.uniform(0.5, 1.0))

    async def _connection(self, on_up: Callable[[], None], on_down: Callable[[], None]) -> None:
        key = await self._client.listen_key()
        try:
            transport, _ = await ws_connect(
                lambda: _Ear(self._hear), f"{self._ws_url}/ws/{key}", enable_auto_ping=True, max_frame_size=_MOST_BYTES
            )
        except (OSError, WSError, TimeoutError) as error:
            raise VenueError(f"no account stream at {self._ws_url} ({type(error).__name__})") from None
        self._renew = transport
        self.counts["connections"] += 1
        on_up()
        keeping = asyncio.create_task(self._keep())
        keeping.add_done_callback(lambda _: transport.disconnect())
        try:
            await transport.wait_disconnected()
        finally:
            keeping.cancel()
            transport.disconnect()
            self.counts["disconnections"] += 1
            on_down()
        if keeping.done() and not keeping.cancelled():
            keeping.result()

    async def _keep(self) -> None:
        """Keep the key; where the venue does not, the next connection asks for one of its own."""
        with suppress(VenueError):
            while True:
                await asyncio.sleep(KEEP_S)
                await self._client.keep_listening()

    def _drop(self) -> None:
        if self._renew is not None:
            self._renew.disconnect()

    def _hear(self, frame: bytes) -> None:
        self.counts["messages"] += 1
        try:
            message = msgspec.json.decode(frame, type=_Message)
        except msgspec.DecodeError:
            self.counts["malformed"] += 1
            self._drop()  # what it said is asked for again
            return
        if message.e == "listenKeyExpired":
            self._drop()
        elif message.e == "ORDER_TRADE_UPDATE" and message.o is not None:
            self._on_news(message.o)


class _Ear(WSListener):
    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._hear(bytes(frame.get_payload_as_memoryview()))
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
