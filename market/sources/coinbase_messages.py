"""Coinbase Advanced Trade's messages as they come over the wire; numbers are JSON text, stamps RFC 3339 in UTC.

Source: docs.cdp.coinbase.com, Advanced Trade WebSocket channels (level2, market_trades, heartbeats).
"""

from typing import Literal

from msgspec import Raw, Struct, field

from market.sources.venue import Id


class Frame(Struct):
    """A push of some channel; the messages of a connection are numbered from 0, whatever their channel."""

    channel: str = ""
    sequence_num: Id | None = None  # an error has none
    events: list[Raw] = field(default_factory=list)


class BookEvent(Struct):
    """A whole book or changed levels of one product."""

    type: Literal["snapshot", "update"]
    product_id: str
    updates: Raw


class Level(Struct):
    """The quantity at one price is now ``new_quantity``."""

    side: Literal["bid", "offer"]
    event_time: str  # of the matching engine
    price_level: float
    new_quantity: float


class Trade(Struct):
    """One match; ``side`` is the maker's."""

    product_id: str
    trade_id: Id
    price: float
    size: float
    time: str
    side: Literal["BUY", "SELL"]


class TradesEvent(Struct):
    """Trades, newest first; a snapshot tells those before the subscription."""

    type: Literal["snapshot", "update"]
    trades: list[Trade]
