"""The journal: everything the runner saw and did, in append-only segments, written before it is acted on.

A segment is a header and records ``<u32 length><u32 crc of it><u32 crc of the body><body>``, a body being
``<u8 kind><u8 place><i64 ts><payload>``. The length has its own checksum, so that a torn end can be told from damage.
``storage.journal_writer`` writes it, everyone else reads it here.
"""

import fcntl
import json
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from market.errors import JournalError

MAGIC: Final = b"TICKLOOP\x01"
SUFFIX: Final = ".tlj"

# kinds of record; ``place`` is the connection of a frame, the desk of everything else
HEADER: Final = 0  # JSON: what wrote this, under which settings
FRAME: Final = 1  # raw bytes from the venue; ts is when they arrived
CONNECTION: Final = 2  # b"\x01" up, b"\x00" down
DECISION: Final = 3  # one decision record and the intents that went with it; ts is the row's
REPORTS: Final = 4  # reports as they became visible; ts is the row that saw them
MODEL: Final = 5  # sha of the bundle that decides from the row ts on
KIND_NAMES: Final = ("header", "frame", "connection", "decision", "reports", "model")

_RETRY_S: Final = 0.02
_LENGTH: Final = struct.Struct("<I")
_PREFIX: Final = struct.Struct("<III")
_HEAD: Final = struct.Struct("<BBq")


class Record(NamedTuple):
    """One entry."""

    kind: int
    place: int
    ts: int  # ns UTC
    payload: bytes


class Torn(NamedTuple):
    """The unfinished record at the end of the newest segment."""

    path: Path
    offset: int  # where it starts
    size: int  # bytes that were written of it


def encode(record: Record) -> bytes:
    """The bytes of a record."""
    body = _HEAD.pack(record.kind, record.place, record.ts) + record.payload
    return _PREFIX.pack(len(body), zlib.crc32(_LENGTH.pack(len(body))), zlib.crc32(body)) + body


def segments(folder: Path) -> list[Path]:
    """Segments of a journal, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


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
        first = next(read_segment(segment, newest=segment == found[-1]), None)
        if first is not None and first.kind == HEADER:
            yield segment, json.loads(first.payload)
        elif first is not None or segment != found[-1]:
            raise JournalError(f"journal segment {segment} does not begin with a header")


def read_journal(folder: Path) -> Iterator[Record]:
    """All records but the headers, in the order they were written; a torn end is left out.

    Raises JournalError, naming file and offset, if a record before the end is damaged, or if there is no journal.
    """
    found = segments(folder)
    if not found:
        raise JournalError(f"no journal in {folder}")
    for segment in found:
        for record in read_segment(segment, newest=segment == found[-1]):
            if record.kind != HEADER:
                yield record


def read_segment(path: Path, newest: bool) -> Iterator[Record]:
    """Records of one segment, its header first; only the newest segment may have a torn end.

    Raises JournalError, naming file and offset, at the first damaged record.
    """
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        if newest and MAGIC.startswith(data):
            return
        raise JournalError(f"{path} is no journal segment")
    offset = len(MAGIC)
    while offset < len(data):
        record, end = _record_at(path, data, offset)
        if record is None:
            if newest:
                return
            raise JournalError(f"journal segment {path} is cut short at byte {offset}")
        yield record
        offset = end


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
        record, end = _record_at(path, data, offset)
        if record is None:
            return Torn(path, offset, len(data) - offset)
        offset = end
    return Torn(path, offset, 0) if offset == len(MAGIC) else None


def _record_at(path: Path, data: bytes, offset: int) -> tuple[Record | None, int]:
    """The record at an offset and where the next one starts; None where the data ends before the record does.

    A file system that lost its power may have lengthened the file and not filled it: zeros to the end are a torn end.
    """
    start = offset + _PREFIX.size
    if start > len(data) or not (any(data[offset:start]) or any(data[start:])):
        return None, len(data)
    length, length_check, check = _PREFIX.unpack_from(data, offset)
    end = start + length
    if zlib.crc32(_LENGTH.pack(length)) != length_check or length < _HEAD.size:
        raise JournalError(f"journal segment {path} is damaged at byte {offset}")
    body = data[start:end]
    if end > len(data) or (end == len(data) and zlib.crc32(body) != check):
        return None, len(data)
    if zlib.crc32(body) != check:
        raise JournalError(f"journal segment {path} is damaged at byte {offset}")
    kind, place, ts = _HEAD.unpack_from(body)
    return Record(kind, place, ts, body[_HEAD.size :]), end


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
