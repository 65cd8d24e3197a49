"""A whole capture through a decoder: events, and an account of every line that could not be read."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from market.errors import DataError, MalformedMessage, OffGrid
from market.events import Events
from market.sources.capture import split_line
from market.sources.decoder import Decoder, tape_events

MOST_KEPT: Final = 1_000  # quarantined lines kept word for word; all are counted
_LONGEST_KEPT: Final = 2_000  # bytes of a quarantined line


class QuarantinedLine(NamedTuple):
    """A line that gave no events."""

    number: int  # in its capture, from 1
    reason: str
    line: str  # its beginning


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import met. ``counts`` are the decoder's, of this import alone."""

    lines: int  # blank ones left out
    events: int
    bad: int
    quarantined: tuple[QuarantinedLine, ...]  # the first MOST_KEPT of the bad ones
    counts: dict[str, int]
    waiting: bool  # the book still waits for a snapshot at the end

    @property
    def bad_share(self) -> float:
        """Share of the lines that could not be read, within 0 and 1; 0 of no lines."""
        return self.bad / self.lines if self.lines else 0.0


def import_capture(lines: Iterable[bytes], decoder: Decoder, max_bad_share: float) -> tuple[Events, ImportReport]:
    """All events of a capture, delays not yet filled in, and the report.

    Raises DataError, naming the first bad line, if the share of bad lines is above ``max_bad_share``.
    """
    before = dict(decoder.counts)
    tape, quarantined, read, bad = bytearray(), list[QuarantinedLine](), 0, 0
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        read += 1
        try:
            ingest_ts, frame = split_line(line)
            decoder.append(frame, ingest_ts, tape)
        except (MalformedMessage, OffGrid) as error:
            bad += 1
            if len(quarantined) < MOST_KEPT:
                quarantined.append(_quarantine(number, error, line))
    events = tape_events(tape)
    counts = {name: count - before.get(name, 0) for name, count in decoder.counts.items()}
    report = ImportReport(read, events.size, bad, tuple(quarantined), counts, decoder.waiting)
    if report.bad_share > max_bad_share:
        first = quarantined[0]
        raise DataError(
            f"{bad} of {read} lines cannot be read, more than the share of {max_bad_share} that is allowed; "
            f"the first is line {first.number}: {first.reason}"
        )
    return events, report


def _quarantine(number: int, error: Exception, line: bytes) -> QuarantinedLine:
    return QuarantinedLine(number, f"{type(error).__name__}: {error}", line[:_LONGEST_KEPT].decode(errors="replace"))
