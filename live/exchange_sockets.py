"""The replay venue's sockets: who is subscribed to what, and REST answers over the same small server."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final, Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, WSUpgradeResponse
from picows import WSUpgradeResponseWithListener as Response

MOST_WAITING: Final = 64 * 1024 * 1024  # bytes not yet taken by a client; one that is slower is dropped
RETRY_AFTER_S: Final = 1  # that whoever asks too often is told to wait
_JSON: Final = {"Content-Type": "application/json"}


class Manners(Protocol):
    """What a venue makes of what its subscribers say."""

    def hear(self, client: "Client", message: bytes) -> None:
        """Answer a message, and subscribe."""
        ...


class Client(WSListener):
    """One subscriber."""

    def __init__(self, streams: Iterable[str], clients: "Clients", manners: Manners) -> None:
        self.streams = set(streams)
        self.transport: WSTransport | None = None
        self.muted = False
        self._clients = clients
        self._manners = manners

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Join the others."""
        self.transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=MOST_WAITING)
        self._clients.join(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer, or say goodbye."""
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
        elif self.muted:
            return
        elif frame.msg_type is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.TEXT:
            self._manners.hear(self, frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave."""
        self._clients.leave(self)

    def pause_writing(self) -> None:
        """It reads too slowly: the others do not wait for it."""
        if self.transport:
            self.transport.disconnect(graceful=False)

    def say(self, message: bytes) -> None:
        """Send one message to it alone."""
        if self.transport and not self.muted:
            self.transport.send(WSMsgType.TEXT, message)


class Clients:
    """All subscribers of a venue."""

    def __init__(self, on_subscription: Callable[[], None]) -> None:
        self._on_subscription = on_subscription
        self._clients: set[Client] = set()
        self._readers: dict[str, list[Client]] = {}  # by stream

    def __len__(self) -> int:
        return len(self._clients)

    def wanted(self, stream: str) -> bool:
        """Whether anybody is subscribed to a stream."""
        return bool(self._readers.get(stream))

    def join(self, client: Client) -> None:
        """Count a client in, with what it subscribed to by its path."""
        self._clients.add(client)
        if client.streams:
            self.subscribe(client, client.streams)
            self._on_subscription()

    def subscribe(self, client: Client, streams: Iterable[str]) -> None:
        """Let a client read streams; ``begun`` says that it has been answered."""
        for stream in streams:
            client.streams.add(stream)
            readers = self._readers.setdefault(stream, [])
            if client not in readers:
                readers.append(client)

    def begun(self) -> None:
        """A subscription has been answered: the tape may start, or has ended."""
        self._on_subscription()

    def unsubscribe(self, client: Client, streams: Iterable[str]) -> None:
        """Let a client read streams no more."""
        for stream in list(streams):
            client.streams.discard(stream)
            if client in self._readers.get(stream, ()):
                self._readers[stream].remove(client)

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)
        self.unsubscribe(client, client.streams)

    def send(self, stream: str, message: bytes) -> int:
        """Hand a message to everyone subscribed to its stream; to how many."""
        readers = self._readers.get(stream, ())
        for client in tuple(readers):
            client.say(message)
        return len(readers)

    def end(self) -> None:
        """Tell everyone that the stream is complete: close code 1000."""
        self.close_all(WSCloseCode.OK, b"end of the tape")

    def close_all(self, code: WSCloseCode, words: bytes) -> None:
        """Say goodbye to everyone."""
        for client in tuple(self._clients):
            if client.transport and not client.muted:
                client.transport.send_close(code, words)

    def drop(self, stream: str) -> None:
        """Cut the lines of all subscribers of a stream."""
        for client in tuple(self._readers.get(stream, ())):
            if client.transport:
                client.transport.disconnect(graceful=False)

    def drop_all(self) -> None:
        """Cut every line without a word."""
        for client in tuple(self._clients):
            if client.transport:
                client.transport.disconnect(graceful=False)

    def mute_all(self) -> None:
        """Say nothing more on any of the lines that there are."""
        for client in self._clients:
            client.muted = True


def rest_listener(answer: Callable[[str], tuple[HTTPStatus | int, bytes]]) -> Callable[[WSUpgradeRequest], Response]:
    """Serves what ``answer`` says about a path over a server made for WebSockets."""
    return lambda request: response_of(*answer(request.path.decode(errors="replace")))


def response_of(status: HTTPStatus | int, body: bytes) -> Response:
    """An answer of HTTP; one that asks to wait says for how long."""
    if status == HTTPStatus.OK:
        return Response(WSUpgradeResponse.create_ok_response(body, _JSON), None)
    wait = {"Retry-After": str(RETRY_AFTER_S)} if status in (418, 429) else {}
    return Response(WSUpgradeResponse.create_error_response(status, body, {**_JSON, **wait}), None)
