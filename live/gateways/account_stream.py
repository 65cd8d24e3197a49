"""The account's own stream: what became of our orders, by an allow-list of fields. Keys and balances are never kept."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import numpy as np
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from live.connectors.pace import backoff_s
from live.gateways.client import VenueClient
from live.gateways.news import OrderNews
from live.gateways.renewing import Insistence, wait_of
from market.errors import VenueError

FIRST_RETRY_S: Final = 0.1
LONGEST_RETRY_S: Final = 10.0
ANSWER_S: Final = 10.0  # for the venue to take our greetings
_MOST_BYTES: Final = 1024 * 1024


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
        self.counts = dict.fromkeys(("connections", "disconnections", "messages", "malformed", "unrenewed"), 0)
        self._client = client
        self._ws_url = ws_url.rstrip("/")
        self._on_news = on_news
        self._generator = generator
        self._insistence = Insistence(generator, self._on_unrenewed)
        self._renew: WSTransport | None = None
        self._due = 0  # greetings that the venue has not taken
        self._greeted = asyncio.Event()

    async def run(self, on_up: Callable[[], None], on_down: Callable[[], None]) -> None:
        """Deliver news until cancelled; ``on_up`` and ``on_down`` frame each connection."""
        failures = 0
        while True:
            try:
                await self._connection(on_up, on_down)
                failures, wait_s = 0, 0.0
            except VenueError as error:
                failures, wait_s = failures + 1, wait_of(error)
            await asyncio.sleep(max(wait_s, backoff_s(failures, FIRST_RETRY_S, LONGEST_RETRY_S, self._generator)))

    async def _connection(self, on_up: Callable[[], None], on_down: Callable[[], None]) -> None:
        address = await self._client.stream_address(self._ws_url)
        try:
            transport, _ = await ws_connect(
                lambda: _Ear(self._hear), address, enable_auto_ping=True, max_frame_size=_MOST_BYTES
            )
        except (OSError, WSError, TimeoutError) as error:
            raise VenueError(f"no account stream at {self._ws_url} ({type(error).__name__})") from None
        self._renew = transport
        await self._greet(transport)
        self.counts["connections"] += 1
        on_up()
        keeping = asyncio.create_task(self._keep(transport))
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

    async def _greet(self, transport: WSTransport) -> None:
        """Say who we are where the address does not. Raises VenueError if the venue does not take it."""
        await self._client.clock.settled()
        greetings = self._client.greetings()
        self._due, self._greeted = len(greetings), asyncio.Event()
        if not greetings:
            return
        for greeting in greetings:
            transport.send(WSMsgType.TEXT, greeting)
        waits = [asyncio.ensure_future(wait) for wait in (self._greeted.wait(), transport.wait_disconnected())]
        try:
            await asyncio.wait(waits, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            if not self._greeted.is_set():
                transport.disconnect()
        if not self._greeted.is_set():
            await self._client.clock.learn("refused")  # its stamp may be why
            raise VenueError(f"the account stream at {self._ws_url} does not take our greeting")

    async def _keep(self, transport: WSTransport) -> None:
        """Keep the stream; where the venue does not, the next connection begins anew."""
        with suppress(VenueError):
            await self._client.keep(lambda said: transport.send(WSMsgType.TEXT, said), self._insistence)

    def _on_unrenewed(self, _: VenueError) -> None:
        self.counts["unrenewed"] += 1

    def _drop(self) -> None:
        if self._renew is not None:
            self._renew.disconnect()

    def _hear(self, frame: bytes) -> None:
        self.counts["messages"] += 1
        try:
            heard = self._client.read(frame)
        except (ValueError, ArithmeticError):  # whatever its decoder trips over; a Decimal of no number is the latter
            self.counts["malformed"] += 1
            self._drop()  # what it said is asked for again
            return
        if heard.over:
            self._drop()
        if heard.taken:
            self._due -= heard.taken
            if self._due <= 0:
                self._greeted.set()
        for news in heard.news:
            self._on_news(news)


class _Ear(WSListener):
    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._hear(bytes(frame.get_payload_as_memoryview()))
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
