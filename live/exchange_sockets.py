"""The replay venue's sockets: who is subscribed to what, and REST answers over the same small server."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, WSUpgradeResponse
from picows import WSUpgradeResponseWithListener as Response

MOST_WAITING: Final = 64 * 1024 * 1024  # bytes not yet taken by a client; one that is slower is dropped
_JSON: Final = {"Content-Type": "application/json"}


class Client(WSListener):
    """One subscriber."""

    def __init__(self, streams: frozenset[str], clients: "Clients") -> None:
        self.streams = streams
        self.transport: WSTransport | None = None
        self._clients = clients

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Join the others."""
        self.transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=MOST_WAITING)
        self._clients.join(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Nothing that a client says matters, but for its goodbye."""
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave."""
        self._clients.leave(self)

    def pause_writing(self) -> None:
        """It reads too slowly: the others do not wait for it."""
        if self.transport:
            self.transport.disconnect(graceful=False)


class Clients:
    """All subscribers of a venue."""

    def __init__(self, on_subscription: Callable[[], None]) -> None:
        self._on_subscription = on_subscription
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

    def admit(self, request: WSUpgradeRequest) -> Client | None:
        """A listener for ``/stream?streams=a/b``, None (not found) for another path."""
        parts = urlsplit(request.path.decode(errors="replace"))
        if parts.path != "/stream":
            return None
        streams = parse_qs(parts.query).get("streams", [""])[0]
        return Client(frozenset(streams.split("/")), self)

    def join(self, client: Client) -> None:
        """Count a client in."""
        self._clients.add(client)
        self._on_subscription()

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)

    def send(self, stream: str, message: bytes) -> bool:
        """Hand a message to everyone subscribed to its stream; whether there was anyone."""
        readers = [client.transport for client in self._clients if stream in client.streams]
        for transport in readers:
            if transport:
                transport.send(WSMsgType.TEXT, message)
        return bool(readers)

    def end(self) -> None:
        """Tell everyone that the stream is complete: close code 1000."""
        for client in tuple(self._clients):
            if client.transport:
                client.transport.send_close(WSCloseCode.OK, b"end of the tape")

    def drop_all(self) -> None:
        """Cut every line without a word."""
        for client in tuple(self._clients):
            if client.transport:
                client.transport.disconnect(graceful=False)


def rest_listener(answer: Callable[[str], tuple[HTTPStatus, bytes]]) -> Callable[[WSUpgradeRequest], Response]:
    """Serves what ``answer`` says about a path over a server made for WebSockets."""

    def listener(request: WSUpgradeRequest) -> Response:
        status, body = answer(request.path.decode(errors="replace"))
        if status is HTTPStatus.OK:
            return Response(WSUpgradeResponse.create_ok_response(body, _JSON), None)
        return Response(WSUpgradeResponse.create_error_response(status, body, _JSON), None)

    return listener
