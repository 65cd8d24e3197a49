"""The journal: everything the runner saw and did, in append-only segments, written before it is acted on.

``market.journal_records`` says what a segment's bytes mean, ``storage.journal_writer`` writes it, everyone else reads
it here.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from market.errors import JournalError
from market.journal_records import (
    CHALLENGER_DESK,
    CONNECTION,
    DECISION,
    DOWN,
    FRAME,
    HEADER,
    KILL,
    KIND_NAMES,
    MAGIC,
    MODEL,
    REPORTS,
    TRADING_DESK,
    UP,
    Record,
    encode,
    heading,
    record_at,
    records,
)

SUFFIX: Final = ".tlj"
_RETRY_S: Final = 0.02
_HEAD_BYTES: Final = 65_536  # of a segment, which hold its header
_HEADING_BYTES: Final = len(heading(HEADER, 0, 0, b""))

__all__ = [
    "CHALLENGER_DESK",
    "CONNECTION",
    "DECISION",
    "DOWN",
    "FRAME",
    "HEADER",
    "KILL",
    "KIND_NAMES",
    "MAGIC",
    "MODEL",
    "REPORTS",
    "SUFFIX",
    "TRADING_DESK",
    "UP",
    "Position",
    "Record",
    "Torn",
    "encode",
    "finished_segments",
    "heading",
    "journal_bytes",
    "lock",
    "read_headers",
    "read_journal",
    "read_segment",
    "record_bytes",
    "segments",
    "torn_end",
]


class Position(NamedTuple):
    """A place in a journal: everything before it is known."""

    segment: str  # file name
    offset: int  # bytes of that segment


class Torn(NamedTuple):
    """The unfinished record at the end of the newest segment."""

    path: Path
    offset: int  # where it starts
    size: int  # bytes that were written of it


def segments(folder: Path) -> list[Path]:
    """Segments of a journal, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def journal_bytes(folder: Path) -> int:
    """Bytes of a journal's segments."""
    return sum(segment.stat().st_size for segment in segments(folder))


def record_bytes(record: Record) -> int:
    """Bytes of a record where it is written down."""
    return _HEADING_BYTES + len(record.payload)


def finished_segments(folder: Path) -> list[Path]:
    """Segments that nobody writes any more: all of them once the writer is gone, else all but the newest."""
    found = segments(folder)
    if not found:
        return []
    try:
        os.close(lock(folder, fcntl.LOCK_SH))
    except JournalError:
        return found[:-1]
    return found


def read_headers(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each segment and what it says of its writer; a newest segment that was cut off before its header has none.

    Raises JournalError if another segment does not begin with a header.
    """
    found = segments(folder)
    for segment in found:
        first = _first_record(segment, newest=segment == found[-1])
        if first is not None and first.kind == HEADER:
            yield segment, json.loads(first.payload)
        elif first is not None or segment != found[-1]:
            raise JournalError(f"journal segment {segment} does not begin with a header")


def read_journal(folder: Path, since: Position | None = None) -> Iterator[Record]:
    """All records but the headers, in the order they were written, those from ``since`` on; a torn end is left out.

    Raises JournalError, naming file and offset, if a record before the end is damaged, or if there is no journal.
    """
    found = segments(folder)
    if not found:
        raise JournalError(f"no journal in {folder}")
    for segment in found:
        if since and segment.name < since.segment:
            continue
        offset = since.offset if since and segment.name == since.segment else 0
        for record in read_segment(segment, segment == found[-1], offset):
            if record.kind != HEADER:
                yield record


def read_segment(path: Path, newest: bool, offset: int = 0) -> Iterator[Record]:
    """Records of one segment, its header first, or those from a byte on; only the newest segment may have a torn end.

    Raises JournalError, naming file and offset, at the first damaged record.
    """
    yield from records(path, path.read_bytes(), newest, offset)


def _first_record(path: Path, newest: bool) -> Record | None:
    """The first record of a segment, which is read no further than that takes."""
    with path.open("rb") as segment:
        head = segment.read(_HEAD_BYTES)
    first = next(records(path, head, newest=True), None)
    return first or next(read_segment(path, newest), None)


def torn_end(path: Path) -> Torn | None:
    """The unfinished record at the end of a segment, None if it ends whole; a segment without a header is unfinished.

    Raises JournalError if a record before the end is damaged.
    """
    data = path.read_bytes()
    offset = len(MAGIC) if data.startswith(MAGIC) else 0
    if offset == 0:
        if MAGIC.startswith(data):
            return Torn(path, 0, len(data))
        raise JournalError(f"{path} is no journal segment")
    while offset < len(data):
        record, end = record_at(path, data, offset)
        if record is None:
            return Torn(path, offset, len(data) - offset)
        offset = end
    return Torn(path, offset, 0) if offset == len(MAGIC) else None


def lock(folder: Path, mode: int, patience_s: float = 0.0) -> int:
    """Descriptor that holds the journal's lock, ``fcntl.LOCK_EX`` to write, ``LOCK_SH`` to see that nobody does.

    Raises JournalError if another process writes, and goes on writing for ``patience_s``.
    """
    descriptor = os.open(folder / ".writer", os.O_RDWR | os.O_CREAT, 0o640)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise JournalError(f"another runner writes the journal in {folder}") from error
        time.sleep(_RETRY_S)
