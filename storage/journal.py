"""The journal: everything the runner saw and did, in append-only segments, written before it is acted on.

A segment is a header and records ``<u32 length><u32 crc of it><u32 crc of the body><body>``, a body being
``<u8 kind><u8 place><i64 ts><payload>``. The length has its own checksum, so that a torn end can be told from damage.
One ``flush`` is one write: when it returns, the kernel has the whole batch.
"""

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class JournalWriter:
    """Appends to the journal in ``folder``; mends its torn end first, and starts a segment of its own.

    One process writes a journal at a time; a second one is refused.
    Raises JournalError if the folder cannot be written.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], segment_bytes: int) -> None:
        self._folder = folder
        self._header = json.dumps(header, sort_keys=True).encode()
        self._segment_bytes = segment_bytes
        self._pending: list[bytes] = []
        self._written = 0
        self._file = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder)
            mend(folder)
            self._open_segment()
        except OSError as error:
            raise JournalError(f"cannot write the journal in {folder}: {os.strerror(error.errno or 0)}") from error

    def append(self, record: Record) -> None:
        """Queue one record for the next flush."""
        self._pending.append(encode(record))

    def frame(self, ts: int, connection: int, data: bytes) -> None:
        """Queue a frame that arrived at ``ts``."""
        self.append(Record(FRAME, connection, ts, data))

    def decision(self, desk: int, row_ts: int, record: NDArray[np.void], intents: NDArray[np.void]) -> None:
        """Queue a decision and its orders."""
        self.append(Record(DECISION, desk, row_ts, record.tobytes() + intents.tobytes()))

    def reports(self, desk: int, row_ts: int, reports: NDArray[np.void]) -> None:
        """Queue the reports that a row saw."""
        self.append(Record(REPORTS, desk, row_ts, reports.tobytes()))

    def flush(self) -> None:
        """Hand everything queued to the kernel in one write.

        Raises JournalError if the disk does not take it; what was written of the batch is cut off again.
        """
        if not self._pending:
            return
        batch = b"".join(self._pending)
        self._pending.clear()
        self._write(batch)
        if self._written >= self._segment_bytes:
            self._open_segment()

    def close(self) -> None:
        """Flush, and leave the segment finished."""
        self.flush()
        os.fsync(self._file)
        os.close(self._file)
        os.close(self._lock)

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            os.ftruncate(self._file, self._written)
            raise JournalError(
                f"cannot write the journal in {self._folder}: {os.strerror(error.errno or 0)}"
            ) from error
        self._written += len(data)

    def _open_segment(self) -> None:
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
        names = segments(self._folder)
        number = int(names[-1].stem) + 1 if names else 1
        path = self._folder / f"{number:08d}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        self._written = 0
        self._write(MAGIC + encode(Record(HEADER, 0, 0, self._header)))


def segments(folder: Path) -> list[Path]:
    """Segments of a journal, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def finished_segments(folder: Path) -> list[Path]:
    """Segments that nobody writes any more: all of them once the writer is gone, else all but the newest."""
    found = segments(folder)
    try:
        os.close(_lock(folder))
    except JournalError:
        return found[:-1]
    return found


def read_header(segment: Path) -> dict[str, Any]:
    """What a segment says of its writer. Raises JournalError if it has no whole header."""
    first = next(iter(read_segment(segment, newest=False)), None)
    if first is None or first.kind != HEADER:
        raise JournalError(f"journal segment {segment} does not begin with a header")
    content: dict[str, Any] = json.loads(first.payload)
    return content


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
    """The unfinished record at the end of a segment, None if it ends whole.

    Raises JournalError if a record before the end is damaged.
    """
    data = path.read_bytes()
    offset = len(MAGIC) if data.startswith(MAGIC) else 0
    if offset == 0:
        return Torn(path, 0, len(data))
    while offset < len(data):
        record, end = _record_at(path, data, offset)
        if record is None:
            return Torn(path, offset, len(data) - offset)
        offset = end
    return None


def mend(folder: Path) -> Torn | None:
    """Cut a torn record off the end of the newest segment; returns what was cut."""
    found = segments(folder)
    torn = torn_end(found[-1]) if found else None
    if torn is None:
        return None
    if torn.offset == 0:
        torn.path.unlink()
    else:
        os.truncate(torn.path, torn.offset)
    return torn


def _record_at(path: Path, data: bytes, offset: int) -> tuple[Record | None, int]:
    """The record at an offset and where the next one starts; None where the data ends before the record does."""
    start = offset + _PREFIX.size
    if start > len(data):
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


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / ".writer", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise JournalError(f"another runner writes the journal in {folder}") from error
    return descriptor
