"""What the replay venue makes of its subscribers' requests: Binance's way and Bybit's."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from live.exchange_bybit import BybitVoice
from live.exchange_sockets import Client, Clients

Refusal = Callable[[], str]  # what the next question for a book is refused with; empty: nothing


class _BinanceRequest(msgspec.Struct):
    method: str
    id: int
    params: list[str] = []


class _BybitRequest(msgspec.Struct):
    op: str
    args: list[str] = []
    req_id: str = ""


class BinanceManners:
    """Combined streams; an unknown one is subscribed like any other, and stays silent."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._request = msgspec.json.Decoder(_BinanceRequest)

    def hear(self, client: Client, message: bytes) -> None:
        """Answer a SUBSCRIBE or UNSUBSCRIBE."""
        try:
            request = self._request.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            client.say(msgspec.json.encode({"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}))
            return
        if request.method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            refusal = {"code": 2, "msg": f"Invalid request: unknown variant `{request.method}`"}
            client.say(msgspec.json.encode({"error": refusal, "id": request.id}))
            return
        act = self._clients.subscribe if request.method == "SUBSCRIBE" else self._clients.unsubscribe
        act(client, request.params)
        client.say(msgspec.json.encode({"result": None, "id": request.id}))
        self._clients.begun()


class BybitManners:
    """Topics of one category; a request with an unknown one is refused whole."""

    def __init__(
        self,
        category: str,
        clients: Clients,
        voices: Mapping[str, BybitVoice],
        refusal: Refusal,
        now_ms: Callable[[], int],
    ) -> None:
        """``voices`` by stream."""
        self._category = category
        self._clients = clients
        self._voices = voices
        self._refusal = refusal
        self._now_ms = now_ms
        self._request = msgspec.json.Decoder(_BybitRequest)

    def hear(self, client: Client, message: bytes) -> None:
        """Answer a ping, subscribe or unsubscribe."""
        try:
            request = self._request.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._answer(client, _BybitRequest(""), False, "Params Error")
            return
        streams = [f"{self._category}:{topic}" for topic in request.args]
        if request.op == "ping":
            self._answer(client, request, True, "pong")
        elif request.op == "unsubscribe":
            self._clients.unsubscribe(client, streams)
            self._answer(client, request, True, "")
        elif request.op == "subscribe":
            self._subscribe(client, request, streams)
        else:
            self._answer(client, request, False, f"error:unknown op,{request.op}")

    def _subscribe(self, client: Client, request: _BybitRequest, streams: list[str]) -> None:
        unknown = [stream for stream in streams if stream not in self._voices]
        if unknown:
            topic = unknown[0].partition(":")[2]
            self._answer(client, request, False, f"error:handler not found,topic:{topic}")
            return
        if any(":orderbook." in stream for stream in streams) and (kind := self._refusal()):
            self._answer(client, request, False, f"error:{kind}, try again later")
            return
        self._answer(client, request, True, "subscribe")
        for stream in streams:
            for words in self._voices[stream].first_words(stream, self._clients.wanted, self._now_ms()):
                client.say(words)
        self._clients.subscribe(client, streams)
        self._clients.begun()

    def _answer(self, client: Client, request: _BybitRequest, success: bool, words: str) -> None:
        answer: dict[str, Any] = {"success": success, "ret_msg": words, "conn_id": "replay", "req_id": request.req_id}
        client.say(msgspec.json.encode({**answer, "op": request.op}))
