"""The doors of the replay venue's order side: signed HTTP with a body, and the account's stream."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from live.exchange_orders import OrderVenue
from market.errors import VenueError

MOST_BYTES: Final = 64 * 1024


class AccountStreams:
    """Whoever listens to the account."""

    def __init__(self) -> None:
        self.venue: OrderVenue | None = None
        self._listeners: set[WSTransport] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def send(self, message: dict[str, Any]) -> None:
        """Tell everyone, twice where that fault is on."""
        faults = self.venue.faults if self.venue else None
        if faults and faults.mute:
            return
        frame = msgspec.json.encode(message)
        for transport in tuple(self._listeners):
            for _ in range(2 if faults and faults.duplicate else 1):
                transport.send(WSMsgType.TEXT, frame)

    def admit(self, request: WSUpgradeRequest) -> "_Listener | None":
        """A listener at the account's stream, None (not found) elsewhere."""
        path = urlsplit(request.path.decode(errors="replace")).path
        return _Listener(self, self.venue) if self.venue and self.venue.admits(path) else None

    def add(self, transport: WSTransport) -> None:
        """Let it hear of the account."""
        self._listeners.add(transport)
        self._note_listeners()

    def remove(self, transport: WSTransport) -> None:
        """It is gone."""
        if transport in self._listeners:
            self._listeners.remove(transport)
            self._note_listeners()

    def _note_listeners(self) -> None:
        if self.venue is not None:
            self.venue.heard_by(len(self._listeners))

    def drop_all(self) -> None:
        """Cut every line without a word."""
        for transport in tuple(self._listeners):
            transport.disconnect(graceful=False)


class _Listener(WSListener):
    def __init__(self, streams: AccountStreams, venue: OrderVenue) -> None:
        self._streams = streams
        self._venue = venue

    def on_ws_connected(self, transport: WSTransport) -> None:
        if not self._venue.greets:
            self._streams.add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type is WSMsgType.TEXT:
            greeting = self._venue.greet(frame.get_payload_as_bytes())
            if greeting is not None:
                transport.send(WSMsgType.TEXT, msgspec.json.encode(greeting.answer))
                if greeting.admitted:
                    self._streams.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._streams.remove(transport)


class OrderDoors:
    """Both servers of one account."""

    def __init__(self, venue: OrderVenue, streams: AccountStreams) -> None:
        self._venue = venue
        self._streams = streams
        self._servers: list[asyncio.Server] = []
        streams.venue = venue

    @property
    def ports(self) -> tuple[int, int]:
        """WebSocket and REST port."""
        ws, rest = (server.sockets[0].getsockname()[1] for server in self._servers)
        return ws, rest

    async def open(self, host: str, ws_port: int, rest_port: int) -> None:
        """Listen; port 0 takes a free one. Raises VenueError if a port is taken."""
        try:
            self._servers.append(await ws_create_server(self._streams.admit, host, ws_port, use_aiofastnet=False))
            self._servers.append(await asyncio.start_server(self._talk, host, rest_port, limit=MOST_BYTES))
        except OSError as error:
            self.close()
            raise VenueError(f"cannot listen on {host}: {os.strerror(error.errno or 0)}") from error

    def close(self) -> None:
        """Let go of listeners and ports."""
        self._streams.drop_all()
        for server in self._servers:
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await serve_one(reader, writer, self._venue.answer, lambda: self._venue.faults.retry_after_s):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass  # the client has left, or says more than a request may hold
        finally:
            writer.close()


async def serve_one(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[str, str, str, dict[str, str]], Awaitable[tuple[HTTPStatus, Any] | None]],
    retry_after_s: Callable[[], int],
) -> bool:
    """Read one HTTP/1.1 request and answer it, or keep silent until the client leaves; whether the line stays open.

    ``retry_after_s`` : what a client that asks too often is told
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(min(int(headers.get("content-length", 0)), MOST_BYTES))
    parts = urlsplit(target)
    said = await answer(method, parts.path, body.decode() or parts.query, headers)
    if said is None:
        await reader.read(1)  # until the client gives up
        return False
    status, content = said
    payload = msgspec.json.encode(content)
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
        *([f"Retry-After: {retry_after_s()}"] if status is HTTPStatus.TOO_MANY_REQUESTS else []),
    )
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
    await writer.drain()
    return True
