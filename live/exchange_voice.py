"""How the replay venue says what is on a tape: under another symbol, or in the words of another venue."""

from collections.abc import Callable
from typing import Protocol

from live.connectors.binance_api import REST_PREFIX, is_depth
from live.connectors.bybit_dialect import CATEGORIES
from live.exchange_book import VenueBook
from live.exchange_bybit import BybitVoice
from live.exchange_tape import TapeFrame
from market.errors import ConfigError
from market.instrument import Instrument

Wanted = Callable[[str], bool]  # whether anybody is subscribed to a stream


class Voice(Protocol):
    """What is said of one symbol."""

    instrument: Instrument  # as it is served

    def sayings(self, frame: TapeFrame, wanted: Wanted) -> list[tuple[str, bytes, bool]]:
        """The messages that a frame of the tape leads to, after the book has taken it in."""
        ...


class BinanceVoice:
    """Frames as they are on the tape, but for the name of the symbol."""

    def __init__(self, instrument: Instrument, tape: Instrument) -> None:
        self.instrument = instrument
        names = tape.venue_symbol, instrument.venue_symbol
        self._renamed = None if names[0] == names[1] else names
        old, new = (name.encode() for name in names)
        self._words = ((b'"%s@' % old, b'"%s@' % new), (b'"%s"' % old.upper(), b'"%s"' % new.upper()))

    def sayings(self, frame: TapeFrame, wanted: Wanted) -> list[tuple[str, bytes, bool]]:
        """One message a frame; none of a snapshot."""
        stream, data = frame.stream, frame.data
        if not stream:
            return []
        if self._renamed:
            stream = stream.replace(*self._renamed, 1)
            for old, new in self._words:
                data = data.replace(old, new)
        return [(stream, data, is_depth(frame.stream))]


def voice_of(instrument: Instrument, tape: Instrument, book: VenueBook) -> Voice:
    """How to say what is on the tape of one instrument as another one.

    Raises ConfigError if the two have different grids, or no venue like that can be played.
    """
    for key in ("contract", "tick_size", "lot_size", "multiplier"):
        if getattr(instrument, key) != getattr(tape, key):
            raise ConfigError(
                f"{key}={getattr(instrument, key)} of {instrument.name} differs from {getattr(tape, key)} of its tape"
            )
    if instrument.venue in CATEGORIES:
        return BybitVoice(instrument, tape, book)
    if instrument.venue in REST_PREFIX and instrument.venue == tape.venue:
        return BinanceVoice(instrument, tape)
    raise ConfigError(f"a tape of {tape.venue} cannot be played as {instrument.venue}")
