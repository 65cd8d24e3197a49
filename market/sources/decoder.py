"""What every decoder promises, and how it writes events: rows of eight int64 words, the bytes of one EVENT each."""

import struct
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numba import njit

from market.errors import OffGrid
from market.events import BUY, EVENT, FIRST, LAST, SELL, Events, empty_events
from market.instrument import GRID_TOLERANCE, MOST_STEPS, Instrument

DecoderState = dict[str, int | str | list[str]]
Levels = list[tuple[float, float]]  # price in quote currency, quantity

_pack_row = struct.Struct("<8q").pack


class Decoder(Protocol):
    """Turns the frames of one instrument, in the order of their arrival, into events."""

    instrument: Instrument
    counts: dict[str, int]  # messages by stream, and what was noticed about them, since construction

    @property
    def waiting(self) -> bool:
        """Whether depth is being held back until a snapshot comes."""
        ...

    def append(self, frame: bytes, ingest_ts: int, tape: bytearray) -> None:
        """Append the bytes of the frame's events, maybe none, to ``tape``; delay and offset are left 0.

        Raises MalformedMessage or OffGrid for a frame that cannot be read; ``tape`` and decoder stay usable.
        """
        ...

    def decode(self, frame: bytes, ingest_ts: int) -> Events:
        """The events of one frame, maybe none; raises as ``append`` does."""
        ...

    def state(self) -> DecoderState:
        """What the next day's decoder must know, as JSON allows."""
        ...

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken."""
        ...


class Span(NamedTuple):
    """Between which receive times lines are read, ns UTC."""

    newest_ts: int  # none that is older than the newest one read
    until: int  # none that is younger


class Scanned(NamedTuple):
    """How far a scan came."""

    at: int  # where the first line begins that was not read
    lines: int
    newest_ts: int  # ns UTC


@runtime_checkable
class ScansLines(Protocol):
    """A decoder that also reads whole blocks of capture lines, as ``append`` would line by line, only faster."""

    def scan(self, block: bytearray, start: int, span: Span, tape: bytearray) -> Scanned:
        """Append the events of the lines from ``start`` on, and stop before the first that is not an ordinary one.

        block : whole lines, and PADDING bytes behind the last newline
        """
        ...


class Stamp(NamedTuple):
    """What all events of one message share."""

    exchange_ts: int  # ns UTC, 0 where the venue gives none
    ingest_ts: int  # ns UTC
    update_id: int
    flags: int  # without FIRST and LAST


def tape_events(tape: bytearray) -> Events:
    """The events on a tape, writable and without a copy; the tape can grow no more while they live."""
    return np.frombuffer(tape, dtype=EVENT) if tape else empty_events(0)


def event_row(kind: int, side: int, price: int, qty: int, stamp: Stamp, edges: int = FIRST | LAST) -> bytes:
    """The 64 bytes of one event; ``edges`` says which ends of its message it is."""
    exchange_ts, ingest_ts, update_id, flags = stamp
    word = kind | (side & 0xFF) << 8 | (flags | edges) << 16
    return _pack_row(word, exchange_ts, ingest_ts, 0, 0, price, qty, update_id)


def level_rows(kind: int, bids: Levels, asks: Levels, stamp: Stamp, instrument: Instrument) -> bytes:
    """The bytes of one event per level, bids first; the first is flagged FIRST, the last LAST.

    Raises OffGrid if a price is no multiple of the tick above 0, or a quantity none of the lot.
    """
    if not bids and not asks:
        return b""
    levels = np.array(bids + asks, dtype=np.float64)
    rows = np.empty((len(levels), 8), dtype=np.int64)
    tick_size, lot_size = instrument.tick_size, instrument.lot_size
    first_bad = _fill_rows(levels, len(bids), tick_size, lot_size, kind, *stamp, rows)
    if first_bad >= 0:
        price, qty = levels[first_bad]
        raise OffGrid(
            f"level {price} x {qty}: a price must be a multiple of {tick_size} above 0, "
            f"a quantity one of {lot_size} at or above 0"
        )
    return rows.tobytes()


@njit(cache=True)
def best_rows(rows, grid, bid, bid_qty, ask, ask_qty, word, exchange_ts, ingest_ts, update_id):
    """Write a bid and an ask, a message of two events; False, and nothing of use, where one of them is off the grid.

    rows : shape (2, 8), int64
    grid : tick and lot size
    word : kind and flags of both
    """
    stamp = exchange_ts, ingest_ts, update_id
    bids = _put(rows[0], word | (BUY & 0xFF) << 8 | FIRST << 16, bid / grid[0], bid_qty / grid[1], stamp)
    return bids and _put(rows[1], word | (SELL & 0xFF) << 8 | LAST << 16, ask / grid[0], ask_qty / grid[1], stamp)


@njit(cache=True)
def _fill_rows(levels, bid_count, tick_size, lot_size, kind, exchange_ts, ingest_ts, update_id, flags, rows):
    """Write all rows; returns the first level off the grid, -1 if none."""
    stamp = exchange_ts, ingest_ts, update_id
    for i in range(levels.shape[0]):
        side = BUY if i < bid_count else SELL
        word = kind | (side & 0xFF) << 8 | flags << 16
        if not _put(rows[i], word, levels[i, 0] / tick_size, levels[i, 1] / lot_size, stamp):
            return i
    rows[0, 0] |= FIRST << 16
    rows[-1, 0] |= LAST << 16
    return -1


@njit(cache=True)
def _put(row, word, price, qty, stamp):
    """Write one event of a price in ticks and a quantity in lots; False, and nothing written, off the grid."""
    if not (0.5 < price < MOST_STEPS and 0 <= qty < MOST_STEPS):
        return False
    ticks, lots = np.int64(np.rint(price)), np.int64(np.rint(qty))
    if abs(price - ticks) >= GRID_TOLERANCE or abs(qty - lots) >= GRID_TOLERANCE:
        return False
    row[0] = word
    row[1], row[2], row[7] = stamp
    row[3] = 0
    row[4] = 0
    row[5] = ticks
    row[6] = lots
    return True
