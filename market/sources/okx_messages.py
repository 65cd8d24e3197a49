"""OKX v5's public messages as they come over the wire; numbers are JSON text. Stamps are milliseconds UTC.

Source: www.okx.com/docs-v5 (order book, trades, mark price, index tickers, funding rate, liquidation orders).
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct, field

from market.sources.venue import Id, Millis

SeqId = Annotated[int, Meta(ge=0, le=2**60)]
TextLevels = list[tuple[str, str, str, str]]  # price, quantity, (deprecated), orders


class Argument(Struct):
    """Which channel a push is of; liquidations name no instrument."""

    channel: str = ""
    instId: str = ""


class Frame(Struct):
    """A push, or a reply to a request (with ``event``)."""

    arg: Argument = field(default_factory=Argument)
    action: str = ""  # of order books: snapshot or update
    event: str = ""
    data: Raw = field(default_factory=Raw)


class OrderBook(Struct):
    """A whole book or changed levels."""

    asks: TextLevels
    bids: TextLevels
    ts: Millis
    checksum: int = 0  # CRC32 of the best 25 levels; 0 since June 2026, and so no longer one
    seqId: SeqId | None = None  # neither was sent in 2022
    prevSeqId: Annotated[int, Meta(ge=-1, le=2**60)] | None = None  # -1 of a snapshot

    @property
    def restart(self) -> int:
        """How far the venue's ids fell back with this message, 0 unless it begins them anew."""
        if self.seqId is None or self.prevSeqId is None:
            return 0
        return self.prevSeqId + 1 - self.seqId if self.seqId < self.prevSeqId else 0


class Trade(Struct):
    """Matches of one taker order at one price; ``side`` is the taker's."""

    instId: str
    tradeId: Id
    px: float
    sz: float
    side: Literal["buy", "sell"]
    ts: Millis


class MarkPrice(Struct):
    """The mark of a contract."""

    instId: str
    markPx: float
    ts: Millis


class IndexTicker(Struct):
    """An index, named like a spot pair."""

    instId: str
    idxPx: float
    ts: Millis


class FundingRate(Struct):
    """The rate that will be exchanged at ``fundingTime``."""

    instId: str
    fundingRate: float
    fundingTime: Millis
    ts: Millis = 0  # not always sent


class Liquidation(Struct):
    """A position taken over; ``side`` is the forced order's."""

    side: Literal["buy", "sell"]
    bkPx: float  # bankruptcy price
    sz: float
    ts: Millis


class Liquidations(Struct):
    """Liquidations of one instrument."""

    instId: str
    details: list[Liquidation]
