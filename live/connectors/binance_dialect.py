"""How one speaks to Binance's combined streams."""

import re
from typing import Final

import msgspec

from live.connectors.binance_api import is_depth, require_binance, topics_of
from live.connectors.dialect import Answer, Request, Route
from market.instrument import Instrument

_HEAD: Final = re.compile(rb'\{"stream":"([^"@]*)@(depth)?')
_VERBS: Final = {"subscribe": "SUBSCRIBE", "unsubscribe": "UNSUBSCRIBE"}


class _Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Reply(msgspec.Struct):
    id: int | None = None
    error: _Error | None = None


class BinanceDialect:
    """USD-M, COIN-M or spot; see ``live.connectors.dialect.Dialect``."""

    ping: bytes | None = None
    together = True  # Binance counts messages, and never refuses an unknown stream
    books_by_rest = True

    def __init__(self, instrument: Instrument) -> None:
        """Raises ConfigError if the instrument is of no Binance market."""
        require_binance(instrument)
        self._reply = msgspec.json.Decoder(_Reply)

    def path(self) -> str:
        """The path of all combined streams."""
        return "/stream"

    def topics(self, instrument: Instrument) -> tuple[str, ...]:
        """What the decoder reads, the depth first."""
        return topics_of(instrument)

    def symbol(self, instrument: Instrument) -> bytes:
        """Lower case."""
        return instrument.venue_symbol.encode()

    def request(self, verb: str, number: int, instruments: list[Instrument], topics: tuple[str, ...]) -> Request:
        """One request for all of them."""
        streams = [f"{one.venue_symbol}@{topic}" for one in instruments for topic in topics or self.topics(one)]
        message = msgspec.json.encode({"method": _VERBS[verb], "params": streams, "id": number})
        return Request(str(number), message)

    def book_topics(self, topics: tuple[str, ...]) -> tuple[str, ...]:
        """Depth."""
        return tuple(topic for topic in topics if is_depth(f"@{topic}"))

    def route(self, message: bytes) -> Route | None:
        """By the name of the stream, which every message begins with."""
        head = _HEAD.match(message)
        return Route(head[1], head[2] is not None) if head else None

    def answer(self, message: bytes) -> Answer | None:
        """``{"result": null, "id": 1}``, or an error."""
        try:
            reply = self._reply.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if reply.id is None:
            return None
        return Answer(str(reply.id), f"{reply.error.code}: {reply.error.msg}" if reply.error else "")
