"""How the journal's records lie in bytes: a source of events, and what ``storage.journal`` keeps in files.

A segment is MAGIC, a header and records ``<u32 length><u32 crc of it><u32 crc of the body><body>``, a body being
``<u8 kind><u8 place><i64 ts><payload>``. The length has its own checksum, so that a torn end can be told from damage.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from market.errors import JournalError

MAGIC: Final = b"TICKLOOP\x01"

# kinds of record; ``place`` is the connection of a frame, the desk of everything else
HEADER: Final = 0  # JSON: what wrote this, under which settings
FRAME: Final = 1  # raw bytes from the venue; ts is when they arrived
CONNECTION: Final = 2  # UP or DOWN
DECISION: Final = 3  # one decision record and the intents that went with it; ts is the row's
REPORTS: Final = 4  # reports as they became visible; ts is the row that saw them
MODEL: Final = 5  # sha of the bundle that decides from the row ts on
KILL: Final = 6  # the kill switch of a desk was latched; it holds until the journal is moved away
TRADING_DESK: Final = 0  # place of the desk whose model trades; others quote, or decide in shadow
CHALLENGER_DESK: Final = 2  # of the one beside it that decides in shadow, where there is one
KIND_NAMES: Final = ("header", "frame", "connection", "decision", "reports", "model", "kill")

UP: Final = b"\x01"
DOWN: Final = b"\x00"

_LENGTH: Final = struct.Struct("<I")
_PREFIX: Final = struct.Struct("<III")
_HEAD: Final = struct.Struct("<BBq")


class Record(NamedTuple):
    """One entry."""

    kind: int
    place: int
    ts: int  # ns UTC
    payload: bytes


def encode(record: Record) -> bytes:
    """The bytes of a record."""
    return heading(record.kind, record.place, record.ts, record.payload) + record.payload


def heading(kind: int, place: int, ts: int, payload: bytes) -> bytes:
    """What stands before the payload of a record."""
    head = _HEAD.pack(kind, place, ts)
    length = len(head) + len(payload)
    return _PREFIX.pack(length, zlib.crc32(_LENGTH.pack(length)), zlib.crc32(payload, zlib.crc32(head))) + head


def records(name: object, data: bytes, newest: bool, offset: int = 0) -> Iterator[Record]:
    """Records of a segment's bytes, its header first, or those from an offset; only the newest may have a torn end.

    name : of the segment, for messages
    Raises JournalError, naming segment and offset, at the first damaged record.
    """
    if not data.startswith(MAGIC):
        if newest and MAGIC.startswith(data):
            return
        raise JournalError(f"{name} is no journal segment")
    offset = max(offset, len(MAGIC))
    while offset < len(data):
        record, end = record_at(name, data, offset)
        if record is None:
            if newest:
                return
            raise JournalError(f"journal segment {name} is cut short at byte {offset}")
        yield record
        offset = end


def record_at(name: object, data: bytes, offset: int) -> tuple[Record | None, int]:
    """The record at an offset and where the next one starts; None where the data ends before the record does.

    A file system that lost its power may have lengthened the file and not filled it: zeros to the end are a torn end.
    Raises JournalError, naming segment and offset, if the record is damaged.
    """
    start = offset + _PREFIX.size
    if start > len(data) or not (any(data[offset:start]) or any(data[start:])):
        return None, len(data)
    length, length_check, check = _PREFIX.unpack_from(data, offset)
    end = start + length
    if zlib.crc32(_LENGTH.pack(length)) != length_check or length < _HEAD.size:
        raise JournalError(f"journal segment {name} is damaged at byte {offset}")
    body = data[start:end]
    if end > len(data) or (end == len(data) and zlib.crc32(body) != check):
        return None, len(data)
    if zlib.crc32(body) != check:
        raise JournalError(f"journal segment {name} is damaged at byte {offset}")
    kind, place, ts = _HEAD.unpack_from(body)
    return Record(kind, place, ts, body[_HEAD.size :]), end
