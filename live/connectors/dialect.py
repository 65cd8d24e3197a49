"""What a connector must know of a venue's manners: how to subscribe, and whom a message is for without reading it."""

from typing import NamedTuple, Protocol

from market.instrument import Instrument


class Request(NamedTuple):
    """A subscription, or its end, of some symbols."""

    number: str  # that the venue's answer repeats
    message: bytes


class Answer(NamedTuple):
    """What a venue says of a request."""

    number: str
    refusal: str  # empty: it is done


class Route(NamedTuple):
    """Whom a message is for."""

    symbol: bytes  # as the venue's messages spell it
    depth: bool  # it changes the book


class Dialect(Protocol):
    """One kind of venue, and one of its markets."""

    ping: bytes | None  # message that asks whether the venue is there; None: the ping of WebSocket itself
    together: bool  # one request subscribes all symbols; else each symbol has its own, and its own refusal
    books_by_rest: bool  # a book has to be asked for; else subscribing brings it

    def path(self) -> str:
        """What follows the address of a socket."""
        ...

    def topics(self, instrument: Instrument) -> tuple[str, ...]:
        """All topics of a symbol that the decoder reads."""
        ...

    def symbol(self, instrument: Instrument) -> bytes:
        """The symbol as the venue's messages spell it."""
        ...

    def request(self, verb: str, number: int, instruments: list[Instrument], topics: tuple[str, ...]) -> Request:
        """Subscribe to topics of symbols, or unsubscribe; no topics: all of them."""
        ...

    def book_topics(self, topics: tuple[str, ...]) -> tuple[str, ...]:
        """Those of some topics that bring the book."""
        ...

    def route(self, message: bytes) -> Route | None:
        """Whom a message is for; None where it is no market data."""
        ...

    def answer(self, message: bytes) -> Answer | None:
        """The answer that a message is; None where it is none."""
        ...
