"""The stream: what the page shows, pushed a few times a second to few clients, none of which may hold the loop up.

A client first says who it is and what it wants, ``{"token": ..., "symbol": ..., "hz": ...}``; saying it again changes
the symbol. A message is built only once the last one was taken, so that nothing queues; who does not take one is gone.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from live.api.access import POLICY_VIOLATION, Access, Refusals, same
from live.views import Pulse
from live.watch import Watch

MOST_CLIENTS: Final = 8
SLOWEST_HZ: Final = 1.0
FASTEST_HZ: Final = 10.0
MOST_STRANGERS: Final = 16  # that have not said who they are; they take no place of a client
HELLO_S: Final = 2.0  # until a client has said who it is
TAKE_S: Final = 2.0  # until a client has taken a message
TRY_AGAIN: Final = 1013


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a client says."""

    token: str = ""
    symbol: str = ""  # empty: the list of symbols alone
    hz: float = 5.0


class Refusal(Exception):
    """The client is sent away: close code, reason to count, one line."""

    def __init__(self, code: int, reason: str, line: str) -> None:
        super().__init__(line)
        self.code = code
        self.reason = reason


def add_stream(router: APIRouter, watches: Mapping[str, Watch], guard: tuple[Access, Refusals]) -> None:
    """The WebSocket."""
    access, refusals = guard
    clients: set[WebSocket] = set()
    strangers: set[WebSocket] = set()

    @router.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        client = _Client(socket, watches, access)
        try:
            with _place_among(strangers, socket, MOST_STRANGERS, "wait to be let in"):
                await client.greet()
            with _place_among(clients, socket, MOST_CLIENTS, "read the stream"):
                await client.serve()
        except Refusal as refusal:
            refusals.count(refusal.reason)
            await _close(socket, refusal)
        except WebSocketDisconnect:
            return


@contextmanager
def _place_among(taken: set[WebSocket], socket: WebSocket, most: int, who: str) -> Iterator[None]:
    """A place for as long as it lasts. Raises Refusal if there is none."""
    if len(taken) >= most:
        raise Refusal(TRY_AGAIN, "clients", f"{most} clients {who} already")
    taken.add(socket)
    try:
        yield
    finally:
        taken.discard(socket)


class _Client:
    def __init__(self, socket: WebSocket, watches: Mapping[str, Watch], access: Access) -> None:
        self._socket = socket
        self._watches = watches
        self._access = access
        self._wish = Wish()

    async def greet(self) -> None:
        """Learn who it is and what it wants. Raises Refusal if it may not read, or says nothing."""
        try:
            async with asyncio.timeout(HELLO_S):
                await self._listen_once()
        except TimeoutError as error:
            raise Refusal(POLICY_VIOLATION, "silent", f"no first message within {HELLO_S:g} s") from error

    async def serve(self) -> None:
        """Push until either side ends. Raises Refusal, or WebSocketDisconnect once the client has gone."""
        listening = asyncio.create_task(self._listen())
        pushing = asyncio.create_task(self._push())
        done, waiting = await asyncio.wait((listening, pushing), return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for task in done:
            task.result()

    async def _listen(self) -> None:
        while True:
            await self._listen_once()

    async def _listen_once(self) -> None:
        text = await _received(self._socket)
        try:
            wish = msgspec.json.decode(text, type=Wish)
        except msgspec.MsgspecError as error:
            raise Refusal(POLICY_VIOLATION, "malformed", f"no wish of the stream: {error}") from error
        if self._access.read_token and not same(wish.token, self._access.read_token):
            raise Refusal(POLICY_VIOLATION, "token", "wrong or missing token")
        if wish.symbol and wish.symbol not in self._watches:
            raise Refusal(POLICY_VIOLATION, "symbol", f"no symbol {wish.symbol[:64]!r}")
        self._wish = wish

    async def _push(self) -> None:
        sequence = 0
        while True:
            sequence += 1
            try:
                async with asyncio.timeout(TAKE_S):
                    await self._socket.send_text(self._pulse(sequence))
            except TimeoutError as error:
                raise Refusal(TRY_AGAIN, "slow", f"a message was not taken within {TAKE_S:g} s") from error
            await asyncio.sleep(1 / min(max(self._wish.hz, SLOWEST_HZ), FASTEST_HZ))

    def _pulse(self, sequence: int) -> str:
        watch = self._watches.get(self._wish.symbol)
        lines = tuple(each.line() for each in self._watches.values())
        return msgspec.json.encode(Pulse(sequence, lines, watch.view() if watch else None)).decode()


async def _received(socket: WebSocket) -> str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    text = message.get("text")
    if text is None:
        raise Refusal(POLICY_VIOLATION, "malformed", "no wish of the stream: it is not text")
    return str(text)


async def _close(socket: WebSocket, refusal: Refusal) -> None:
    """Say why; a client that takes nothing any more is not waited for."""
    try:
        async with asyncio.timeout(TAKE_S):
            await socket.close(refusal.code, str(refusal)[:120])
    except (TimeoutError, RuntimeError):
        return
