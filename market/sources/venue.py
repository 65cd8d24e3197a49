"""What the decoders of the newer venues share: how a frame is refused, and how single rows are priced."""

from abc import ABC, abstractmethod
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from market.errors import MalformedMessage, OffGrid
from market.events import (
    EVENT,
    FIRST,
    FUNDING,
    GAP,
    LAST,
    NO_SIDE,
    NO_VENUE_TIME,
    PRICE_UNIT,
    RATE_UNIT,
    Events,
)
from market.instrument import Instrument, whole_steps
from market.sources.decoder import Stamp, event_row, tape_events
from market.units import NS_PER_MS

MOST_MILLIS: Final = 9_000_000_000_000  # to the year 2255, where int64 nanoseconds end
Millis = Annotated[int, Meta(ge=0, le=MOST_MILLIS)]
Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
NumberPairs = list[tuple[float, float]]
_FLAGS: Final = 2  # place of the low byte of an event's flags


class VenueDecoder(ABC):
    """The part of ``market.sources.decoder.Decoder`` that is alike for every venue; a venue adds ``_rows``."""

    def __init__(self, instrument: Instrument, counts: tuple[str, ...]) -> None:
        self.instrument = instrument
        self.counts = dict.fromkeys(("messages", *counts), 0)

    def decode(self, frame: bytes, ingest_ts: int) -> Events:
        """The events of one frame, maybe none; raises as ``append`` does."""
        tape = bytearray()
        self.append(frame, ingest_ts, tape)
        return tape_events(tape)

    def append(self, frame: bytes, ingest_ts: int, tape: bytearray) -> None:
        """Append the bytes of the frame's events to ``tape``.

        Raises MalformedMessage or OffGrid for a frame that cannot be read; ``tape`` and decoder stay usable.
        """
        try:
            tape += self._rows(frame, ingest_ts)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedMessage(f"{error} in {frame[:80]!r}") from error
        self.counts["messages"] += 1

    @abstractmethod
    def _rows(self, frame: bytes, ingest_ts: int) -> bytes: ...

    def _priced(self, kind: int, side: int, price: float, qty: float, stamp: Stamp, edges: int = 0) -> bytes:
        ticks = whole_steps(price, self.instrument.tick_size, "price")
        lots = whole_steps(qty, self.instrument.lot_size, "quantity")
        if ticks == 0:
            raise OffGrid(f"price={price} must be above 0")
        return event_row(kind, side, ticks, lots, stamp, edges)

    def _ours(self, symbol: str) -> bool:
        return symbol.lower() == self.instrument.venue_symbol


def message_of(rows: list[bytes]) -> bytes:
    """Rows without ends as one message: the first is flagged FIRST, the last LAST."""
    if not rows:
        return b""
    message = bytearray().join(rows)
    message[_FLAGS] |= FIRST
    message[_FLAGS - EVENT.itemsize] |= LAST
    return bytes(message)


def quote_row(kind: int, price: float, stamp: Stamp) -> bytes:
    """The row, without ends, of a MARK or an INDEX. Raises MalformedMessage unless the price is above 0 and finite."""
    if not price > 0:
        raise MalformedMessage(f"mark or index price {price} must be above 0")
    return event_row(kind, NO_SIDE, nearest(price, PRICE_UNIT), 0, stamp, 0)


def funding_row(rate: float, next_ms: int, stamp: Stamp) -> bytes:
    """The row, without ends, of a rate that is due at ``next_ms``. Raises MalformedMessage if it is not finite."""
    return event_row(FUNDING, NO_SIDE, nearest(rate, RATE_UNIT), next_ms * NS_PER_MS, stamp, 0)


def gap_row(stamp: Stamp) -> bytes:
    """The message that closes the book until the next snapshot."""
    return event_row(GAP, NO_SIDE, 0, 0, stamp)


def stamp_of(exchange_ms: int, ingest_ts: int, update_id: int = 0) -> Stamp:
    """What a message's events share; ``exchange_ms`` is 0 where the venue gives no time."""
    return Stamp(exchange_ms * NS_PER_MS, ingest_ts, update_id, 0 if exchange_ms else NO_VENUE_TIME)


def number_of(text: str) -> float:
    """The number that a text holds. Raises MalformedMessage if it holds none."""
    try:
        return float(text)
    except ValueError as error:
        raise MalformedMessage(f"{text[:40]!r} is no number") from error


def millis_of(text: str) -> int:
    """The milliseconds UTC that a text holds. Raises MalformedMessage unless int64 nanoseconds reach that far."""
    if not (text.isdecimal() and text.isascii() and len(text) <= 13 and int(text) <= MOST_MILLIS):
        raise MalformedMessage(f"{text[:40]!r} is no time in milliseconds")
    return int(text)


def nearest(value: float, unit: float) -> int:
    """``value`` in units. Raises MalformedMessage for what is not finite."""
    if not abs(value / unit) < 2**62:
        raise MalformedMessage(f"number {value} is out of range")
    return round(value / unit)
