"""Binance's messages as they come over the wire; numbers may be JSON text. Stamps are milliseconds UTC."""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct, field

Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]  # to the year 2255, where int64 nanoseconds end
Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
NumberPairs = list[tuple[float, float]]


class Frame(Struct):
    """A combined-stream frame, a REST snapshot (no stream), or a reply that is neither."""

    stream: str = ""
    data: Raw = field(default_factory=Raw)
    lastUpdateId: Id = 0


class Snapshot(Struct):
    """A REST depth snapshot; spot's carries no time."""

    lastUpdateId: Id
    bids: NumberPairs
    asks: NumberPairs
    T: Millis = 0


class Depth(Struct):
    """Changed levels; spot has neither ``T`` nor ``pu``."""

    E: Millis
    U: Id  # first update id
    u: Id  # last update id
    b: NumberPairs
    a: NumberPairs
    T: Millis = 0
    pu: Id | None = None  # last update id of the message before

    @property
    def previous(self) -> int:
        """The update id that this message builds on."""
        return self.U - 1 if self.pu is None else self.pu


class BookTicker(Struct):
    """Best bid and offer; spot's carries no time."""

    u: Id
    b: float
    B: float
    a: float
    A: float
    T: Millis = 0


class Trade(Struct):
    """One match; ``m``: the buyer was the maker."""

    t: Id
    p: float
    q: float
    m: bool
    T: Millis
    X: str = "MARKET"  # futures also print INSURANCE_FUND, ADL and NA, which met no book


class MarkPrice(Struct):
    """Mark, index and funding; ``T`` is the next funding time, so only ``E`` is a clock."""

    E: Millis
    p: float
    T: Millis = 0
    i: float | None = None
    r: float | Literal[""] = ""  # empty for delivery contracts


class ForcedOrder(Struct):
    """The order that a liquidation sent."""

    S: str
    q: float
    p: float
    T: Millis


class ForceOrder(Struct):
    """Frame of a liquidation."""

    o: ForcedOrder
