"""Bybit v5's public messages as they come over the wire; numbers may be JSON text. Stamps are milliseconds UTC.

Source: bybit-exchange.github.io/docs/v5/websocket/public (orderbook, trade, ticker, all-liquidation, liquidation).
"""

from typing import Literal

from msgspec import Raw, Struct, field

from market.sources.venue import Id, Millis, NumberPairs

Side = Literal["Buy", "Sell"]


class Frame(Struct):
    """A push of some topic, or a reply to a request (no topic)."""

    topic: str = ""
    type: str = ""
    ts: Millis = 0  # when the message was made
    cts: Millis = 0  # when the matching engine made what it tells; order books alone
    cs: Id = 0
    data: Raw = field(default_factory=Raw)


class OrderBook(Struct):
    """A whole book or changed levels; ``seq`` compares books of different depths."""

    s: str
    b: NumberPairs
    a: NumberPairs
    u: Id  # counts the messages of the topic; 1: the service began anew, and this is a whole book
    seq: Id = 0


class Trade(Struct):
    """One match; ``S`` is the taker's side."""

    T: Millis
    s: str
    S: Side
    v: float
    p: float
    i: str
    BT: bool = False  # a block trade: it met no book


class Ticker(Struct):
    """Figures of a contract; a delta holds only those that changed. Empty text: there is none."""

    symbol: str
    markPrice: str = ""
    indexPrice: str = ""
    fundingRate: str = ""
    nextFundingTime: str = ""


class Liquidation(Struct):
    """A position taken over; ``S`` is the position's side: the forced order has the other one."""

    T: Millis
    s: str
    S: Side
    v: float
    p: float  # bankruptcy price


class OldLiquidation(Struct):
    """The same, of the older topic that tells at most one a second."""

    updatedTime: Millis
    symbol: str
    side: Side
    size: float
    price: float
