"""How one speaks to Bybit's v5 public topics; read by the connector, its names by the replay venue as well."""

import re
from typing import Final

import msgspec

from live.connectors.dialect import Answer, Request, Route
from market.errors import ConfigError
from market.instrument import Instrument

CATEGORIES: Final = {"bybit-inverse": "inverse", "bybit-linear": "linear", "bybit-spot": "spot"}
_CONTRACT_TOPICS: Final = ("orderbook.50", "publicTrade", "tickers", "allLiquidation")
_SPOT_TOPICS: Final = ("orderbook.50", "publicTrade")
_HEAD: Final = re.compile(rb'\{"topic":"(orderbook)?[^"]*?\.([^".]+)"')


class _Message(msgspec.Struct):
    topic: str = ""
    success: bool | None = None
    req_id: str = ""
    ret_msg: str = ""


class BybitDialect:
    """Linear, inverse or spot; see ``live.connectors.dialect.Dialect``."""

    ping: bytes | None = b'{"op":"ping"}'
    together = False  # one unknown symbol would refuse them all
    books_by_rest = False

    def __init__(self, instrument: Instrument) -> None:
        """Raises ConfigError if the instrument is of no Bybit market."""
        if instrument.venue not in CATEGORIES:
            raise ConfigError(f"venue={instrument.venue!r} of {instrument.name} is not one of {sorted(CATEGORIES)}")
        self._category = CATEGORIES[instrument.venue]
        self._message = msgspec.json.Decoder(_Message)

    def path(self) -> str:
        """Each category has its own."""
        return f"/v5/public/{self._category}"

    def topics(self, instrument: Instrument) -> tuple[str, ...]:
        """What the decoder reads, the book first."""
        return _SPOT_TOPICS if self._category == "spot" else _CONTRACT_TOPICS

    def symbol(self, instrument: Instrument) -> bytes:
        """Upper case."""
        return instrument.venue_symbol.upper().encode()

    def request(self, verb: str, number: int, instruments: list[Instrument], topics: tuple[str, ...]) -> Request:
        """One request for all of them."""
        names = [f"{topic}.{one.venue_symbol.upper()}" for one in instruments for topic in topics or self.topics(one)]
        return Request(str(number), msgspec.json.encode({"op": verb, "req_id": str(number), "args": names}))

    def book_topics(self, topics: tuple[str, ...]) -> tuple[str, ...]:
        """Order books."""
        return tuple(topic for topic in topics if topic.startswith("orderbook."))

    def route(self, message: bytes) -> Route | None:
        """By the topic, which most messages begin with."""
        if head := _HEAD.match(message):
            return Route(head[2], head[1] is not None)
        topic = self._read(message).topic
        return Route(topic.rpartition(".")[2].encode(), topic.startswith("orderbook.")) if topic else None

    def answer(self, message: bytes) -> Answer | None:
        """``{"success": true, "req_id": "1", "op": "subscribe"}``; ``ret_msg`` says what was wrong."""
        read = self._read(message)
        if read.success is None or not read.req_id:
            return None
        return Answer(read.req_id, "" if read.success else read.ret_msg or "no reason given")

    def _read(self, message: bytes) -> _Message:
        try:
            return self._message.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _Message()
