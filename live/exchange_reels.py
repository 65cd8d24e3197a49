"""What the replay venue trades: each tape, the book that is rebuilt from it, and all symbols that are told of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from live.exchange_book import VenueBook
from live.exchange_tape import Tape, TapeFrame, stretch
from live.exchange_voice import Voice, Wanted, voice_of
from market.errors import ConfigError, DataError
from market.instrument import Instrument


class Listing(NamedTuple):
    """A symbol that is traded at the venue."""

    instrument: Instrument  # as it is served
    files: Sequence[Path]  # consecutive captures, in order
    tape: Instrument  # whose captures they are: the same, another symbol, or another venue's


class Reel:
    """One tape; frames are read once, whoever they are told of."""

    def __init__(self, number: int, files: Sequence[Path], instrument: Instrument) -> None:
        self.tape = Tape(files, number)
        self.book = VenueBook(instrument)
        self.voices: list[Voice] = []

    def sayings(self, frame: TapeFrame, wanted: Wanted) -> list[tuple[str, bytes, bool]]:
        """Take a frame into the book; the messages that it leads to: stream, bytes, whether they change the book."""
        self.book.apply(frame)
        return [saying for voice in self.voices for saying in voice.sayings(frame, wanted)]

    def serves(self, instrument: Instrument) -> bool:
        """Whether the instrument is told of this tape."""
        return any(voice.instrument == instrument for voice in self.voices)


def reels_of(listings: Sequence[Listing]) -> list[Reel]:
    """A reel for each tape, with a voice for each symbol.

    Raises ConfigError if two listings would be told by the same streams, or a tape cannot be played as its instrument.
    """
    reels: dict[tuple[tuple[Path, ...], str], Reel] = {}
    told: set[tuple[str, str]] = set()
    for instrument, files, tape in listings:
        streams = (instrument.venue.partition("-")[0], instrument.venue_symbol)
        if instrument.venue.startswith("bybit"):
            streams = (instrument.venue, instrument.venue_symbol)
        if streams in told:
            raise ConfigError(f"{instrument.name} has the streams of another symbol that is traded at this venue")
        told.add(streams)
        reel = reels.setdefault((tuple(files), tape.name), Reel(len(reels), files, tape))
        reel.voices.append(voice_of(instrument, tape, reel.book))
    return list(reels.values())


def shared_stretch(tapes: Sequence[Sequence[Path]], start: str | None, end: str | None) -> tuple[int, int]:
    """First and last instant that all tapes hold, ns UTC; see ``live.exchange_tape.stretch``."""
    stretches = [stretch(files, start, end) for files in dict.fromkeys(map(tuple, tapes))]
    first, last = max(first for first, _ in stretches), min(last for _, last in stretches)
    if first > last:
        raise DataError(f"the tapes have no time in common: the last begins at {first}, the first ends at {last}")
    return first, last
