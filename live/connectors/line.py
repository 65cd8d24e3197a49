"""One WebSocket connection to a venue: stamps what arrives and notices when the book wants a snapshot."""

import asyncio
from collections.abc import Callable
from typing import Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSProtocolError, WSTransport

from live.clock import Clock
from live.feed import OnConnection, OnFrame

_DEPTH: Final = b"@depth"
_HEAD: Final = 80  # bytes of a frame that hold the name of its stream


class Stamps:
    """A clock that never falls, also where the one below it does, nor shows less than ``newest`` (ns UTC)."""

    def __init__(self, clock: Clock, newest: int = 0) -> None:
        self._clock = clock
        self._newest = newest

    def now(self) -> int:
        """This instant, ns UTC, or the newest one before it if that is later."""
        self._newest = max(self._newest, self._clock.now())
        return self._newest


class Line(WSListener):
    """A connection from its handshake to its end."""

    def __init__(
        self, stamps: Stamps, on_frame: OnFrame, on_connection: OnConnection, needs_snapshot: Callable[[], bool]
    ) -> None:
        self.wanted = asyncio.Event()  # somebody should ask for a snapshot
        self.frames = 0
        self.close_code: WSCloseCode | None = None  # what the venue said goodbye with
        self._stamps = stamps
        self._on_frame = on_frame
        self._on_connection = on_connection
        self._needs_snapshot = needs_snapshot
        self._fresh = True  # no snapshot since the connection came up
        self._failed = False
        self._parts = b""  # of a message that comes in pieces
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Report the connection."""
        self._transport = transport
        self._on_connection(True, self._stamps.now())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Stamp a frame and hand it on; once a callback has failed, nothing more."""
        if frame.msg_type is WSMsgType.CLOSE:
            self.close_code = frame.get_close_code()
            transport.send_close(self.close_code)
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.CONTINUATION) and not self._failed:
            self._parts += frame.get_payload_as_bytes()
            if frame.fin:
                message, self._parts = self._parts, b""
                self._deliver(message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Report the loss."""
        self._on_connection(False, self._stamps.now())

    def deliver_snapshot(self, body: bytes) -> None:
        """Hand on the body of a snapshot that has just arrived, unless the line is down by now."""
        if self._transport and not self._transport.is_disconnected:
            self._fresh = False
            self._on_frame(body, self._stamps.now())

    async def down(self) -> None:
        """Return when the connection is over; raises what a callback raised."""
        if self._transport:
            try:
                await self._transport.wait_disconnected()
            except (WSProtocolError, OSError):
                self.close_code = None  # a broken line, no goodbye

    def cut(self) -> None:
        """Hang up, if that has not happened yet."""
        if self._transport:
            self._transport.disconnect(graceful=False)

    def _deliver(self, message: bytes) -> None:
        stamp = self._stamps.now()
        self.frames += 1
        self._failed = True
        self._on_frame(message, stamp)
        self._failed = False
        if _DEPTH in message[:_HEAD] and (self._fresh or self._needs_snapshot()):
            self.wanted.set()
