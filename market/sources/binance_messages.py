"""Binance's messages as they come over the wire; numbers may be JSON text. Stamps are milliseconds UTC."""

from msgspec import Raw, Struct, field

NumberPairs = list[tuple[float, float]]


class Frame(Struct):
    """A combined-stream frame, a REST snapshot (no stream), or a reply that is neither."""

    stream: str = ""
    data: Raw = field(default_factory=Raw)
    lastUpdateId: int = 0


class Snapshot(Struct):
    """A REST depth snapshot; spot's carries no time."""

    lastUpdateId: int
    bids: NumberPairs
    asks: NumberPairs
    T: int = 0


class Depth(Struct):
    """Changed levels; spot has neither ``T`` nor ``pu``."""

    E: int
    U: int  # first update id
    u: int  # last update id
    b: NumberPairs
    a: NumberPairs
    T: int = 0
    pu: int | None = None  # last update id of the message before

    @property
    def previous(self) -> int:
        """The update id that this message builds on."""
        return self.U - 1 if self.pu is None else self.pu


class BookTicker(Struct):
    """Best bid and offer; spot's carries no time."""

    u: int
    b: float
    B: float
    a: float
    A: float
    T: int = 0


class Trade(Struct):
    """One match; ``m``: the buyer was the maker."""

    t: int
    p: float
    q: float
    m: bool
    T: int
    X: str = "MARKET"  # futures also print INSURANCE_FUND, ADL and NA, which met no book


class MarkPrice(Struct):
    """Mark, index and funding; ``T`` is the next funding time, so only ``E`` is a clock."""

    E: int
    p: float
    T: int = 0
    i: float | None = None
    r: float | str = ""  # empty for delivery contracts


class ForcedOrder(Struct):
    """The order that a liquidation sent."""

    S: str
    q: float
    p: float
    T: int


class ForceOrder(Struct):
    """Frame of a liquidation."""

    o: ForcedOrder
