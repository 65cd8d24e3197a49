"""Who is let in to the replay venue, by which path, and how that venue behaves."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from picows import WSUpgradeRequest
from picows import WSUpgradeResponseWithListener as Response

from live.connectors.bybit_dialect import CATEGORIES
from live.exchange_bybit import BybitVoice
from live.exchange_manners import BinanceManners, BybitManners
from live.exchange_sockets import Client, Clients, response_of


class Doors:
    """``.../stream`` leads to Binance's combined streams, ``/v5/public/CATEGORY`` to Bybit's topics."""

    def __init__(
        self,
        clients: Clients,
        voices: Sequence[BybitVoice],
        book_refusal: Callable[[], str],
        handshake_refusal: Callable[[], str],
        time_ms: Callable[[], int],
    ) -> None:
        self._clients = clients
        self._refusal = handshake_refusal
        self._binance = BinanceManners(clients)
        told = {voice.stream(topic): voice for voice in voices for topic in voice.topic_names}
        self._bybit = {
            f"/v5/public/{category}": BybitManners(category, clients, told, book_refusal, time_ms)
            for category in CATEGORIES.values()
        }

    def admit(self, request: WSUpgradeRequest) -> Client | Response | None:
        """A listener, a refusal, or None (not found) for another path."""
        parts = urlsplit(request.path.decode(errors="replace"))
        if self._refusal():
            return response_of(HTTPStatus.TOO_MANY_REQUESTS, b'{"msg":"too many connections"}')
        if parts.path in self._bybit:
            return Client((), self._clients, self._bybit[parts.path])
        if not parts.path.endswith("/stream"):
            return None
        streams = parse_qs(parts.query).get("streams", [])
        return Client(streams[0].split("/") if streams else (), self._clients, self._binance)
