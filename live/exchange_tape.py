"""The stretch of a capture that the replay venue plays: which frames, and when each is due."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from market.errors import ConfigError, DataError, MalformedMessage
from market.sources.capture import split_line
from storage.captures import capture_lines

_LAST: Final = re.compile(r"last:(\d+(?:\.\d+)?)s")
_NS_PER_S: Final = 1_000_000_000


class TapeFrame(NamedTuple):
    """One recorded message."""

    ts: int  # recorded receive time, ns UTC; never below that of the frame before
    stream: str  # "" for a REST snapshot
    data: bytes
    reel: int = 0  # number of the tape, where several are played at once


class _Envelope(msgspec.Struct):
    stream: str = ""


@dataclass(slots=True)
class Tape:
    """The frames of consecutive captures of one symbol, read once in constant memory."""

    files: Sequence[Path]
    reel: int = 0
    bad_lines: int = 0  # without a stamp or not JSON: left out

    def frames(self) -> Iterator[TapeFrame]:
        """Every frame in order; raises CorruptFile where a file cannot be read to its end."""
        envelope, newest = msgspec.json.Decoder(_Envelope), 0
        for file in self.files:
            for line in capture_lines(file):
                try:
                    ts, data = split_line(line)
                    stream = envelope.decode(data).stream
                except (MalformedMessage, msgspec.DecodeError, UnicodeDecodeError):
                    self.bad_lines += 1
                    continue
                newest = max(newest, ts)
                yield TapeFrame(newest, stream, data, self.reel)


def stretch(files: Sequence[Path], start: str | None, end: str | None) -> tuple[int, int]:
    """First and last instant to play, ns UTC: of the whole captures where neither is given.

    Both are ISO 8601 (UTC unless it says otherwise), ns since 1970, or "last:120s": the first instant
    less than that before the end of the captures, so that whoever stopped there and this tape share no frame.

    Raises ConfigError for an instant that cannot be read, DataError where nothing lies between the two.
    """
    first, last = _edges(files)
    start_ns = first if start is None else _instant(start, last)
    end_ns = last if end is None else min(last, _instant(end, last))
    if start_ns > end_ns:
        raise DataError(f"start={start_ns} is behind the end of what there is to play, {end_ns}")
    return start_ns, end_ns


def _edges(files: Sequence[Path]) -> tuple[int, int]:
    first, last = 0, 0
    for frame in Tape(files).frames():
        first, last = first or frame.ts, frame.ts
    if not last:
        raise DataError(f"no frame to play in {', '.join(str(file) for file in files)}")
    return first, last


def _instant(text: str, last: int) -> int:
    if text.isdigit():
        return int(text)
    if match := _LAST.fullmatch(text):
        return last - round(float(match[1]) * _NS_PER_S) + 1
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"instant={text!r} is no ISO 8601 time, no ns since 1970 and not like last:120s") from error
    whole = instant.replace(tzinfo=instant.tzinfo or UTC)
    return int(whole.replace(microsecond=0).timestamp()) * _NS_PER_S + whole.microsecond * 1_000
