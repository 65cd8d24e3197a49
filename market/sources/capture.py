"""Raw captures: one message a line, ``<local receive time> <raw frame>``; opening the files is storage's part."""

from typing import Final

from market.errors import MalformedMessage

_NS_PER_UNIT: Final = {16: 1_000, 19: 1}  # by digits of the stamp: microseconds, nanoseconds


def split_line(line: bytes) -> tuple[int, bytes]:
    """ingest_ts in ns UTC and the frame of one line.

    >>> split_line(b'1680652700423575 {"stream":"x"}')
    (1680652700423575000, b'{"stream":"x"}')

    Raises MalformedMessage unless the line begins with a stamp of 16 or 19 digits, within int64 nanoseconds, and
    a space.
    """
    stamp, _, frame = line.partition(b" ")
    if not stamp.isdigit() or len(stamp) not in _NS_PER_UNIT or not frame.strip():
        raise MalformedMessage(f"{line[:40]!r} does not begin with a stamp of 16 (us) or 19 (ns) digits and a frame")
    ingest_ts = int(stamp) * _NS_PER_UNIT[len(stamp)]
    if ingest_ts >= 2**63:
        raise MalformedMessage(f"stamp {ingest_ts} ns lies beyond the year 2262, where int64 nanoseconds end")
    return ingest_ts, frame.rstrip()


def capture_line(ingest_ts: int, frame: bytes) -> bytes:
    """One line of a capture, newline included, that ``split_line`` reads back."""
    return b"%019d %s\n" % (ingest_ts, frame)
