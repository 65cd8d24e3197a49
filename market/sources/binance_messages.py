"""Binance's messages as they come over the wire; numbers may be JSON text. Stamps are ms or us UTC, by their size."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Raw, Struct, field

from market.errors import MalformedMessage

LARGEST_MS: Final = 9_000_000_000_000  # to the year 2255, where int64 nanoseconds end
SMALLEST_US: Final = 1_000_000_000_000_000  # of the year 2001: no stamp in milliseconds is as large

Millis = Annotated[int, Meta(ge=0, le=LARGEST_MS)]  # for venues that know no other unit
VenueStamp = Annotated[int, Meta(ge=0, le=1_000 * LARGEST_MS)]
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
    T: VenueStamp = 0


class Depth(Struct):
    """Changed levels; spot has neither ``T`` nor ``pu``."""

    E: VenueStamp
    U: Id  # first update id
    u: Id  # last update id
    b: NumberPairs
    a: NumberPairs
    T: VenueStamp = 0
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
    T: VenueStamp = 0


class Trade(Struct):
    """One match; ``m``: the buyer was the maker."""

    t: Id
    p: float
    q: float
    m: bool
    T: VenueStamp
    X: str = "MARKET"  # futures also print INSURANCE_FUND, ADL and NA, which met no book


class AggTrade(Struct):
    """Matches of one taker order at one price; ``f`` and ``l``: ids of the first and the last."""

    f: Id
    l: Id  # noqa: E741
    p: float
    q: float
    m: bool
    T: VenueStamp


class IndexPrice(Struct):
    """The index of a COIN-M pair."""

    E: VenueStamp
    p: float


class MarkPrice(Struct):
    """Mark, index and funding; ``T`` is the next funding time, so only ``E`` is a clock."""

    E: VenueStamp
    p: float
    T: VenueStamp = 0
    i: float | None = None
    r: float | Literal[""] = ""  # empty for delivery contracts


class ForcedOrder(Struct):
    """The order that a liquidation sent."""

    S: str
    q: float
    p: float
    T: VenueStamp
    s: str = ""  # upper case


class ForceOrder(Struct):
    """Frame of a liquidation."""

    o: ForcedOrder


def venue_ns(stamp: int) -> int:
    """A stamp in ns: it is in milliseconds, or in microseconds where a venue was asked for them.

    >>> venue_ns(1_723_161_256_298) - venue_ns(1_723_161_256_297_999)
    1000

    Raises MalformedMessage for a stamp that can be neither.
    """
    if stamp <= LARGEST_MS:
        return stamp * 1_000_000
    if stamp >= SMALLEST_US:
        return stamp * 1_000
    raise MalformedMessage(f"the venue's stamp {stamp} is neither in milliseconds nor in microseconds")
