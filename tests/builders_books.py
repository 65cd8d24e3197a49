"""The compiled book and a naive one, read from the raw JSON, side by side on a recording: all levels, at instants."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.book import LOW, SLOTS, VALID, Book, apply_events, new_book
from market.events import GAP, LEVEL, SNAPSHOT, Events
from market.instrument import Instrument
from market.spill import PLACES
from storage.captures import capture_lines
from tests.builders import recording
from tests.builders_market import RUNS, recorded_events
from tests.builders_sessions import SESSIONS, imported_session, session_records
from tests.naive_books import NAIVE, NaiveBook

_ADDRESSES: Final = {
    "bybit-linear": "wss://stream.bybit.com/v5/public/linear",
    "bybit-spot": "wss://stream.bybit.com/v5/public/spot",
}

_Frames = list[tuple[int, str]]  # receive time in ns, text


def compare_capture(run: str, instants: int, lines: int | None = None) -> int:
    """Compare at random instants of a run, or of its first lines about the book; levels a side at the end, at least.

    Raises AssertionError where a level differs.
    """
    frames = list(islice(_captured_frames(run), lines))
    return _compare_all(RUNS[run][0], recorded_events(run), frames, _drawn(frames, instants))


def compare_session(name: str, instants: int) -> int:
    """Compare at random instants of a session, as many as it has messages at most; levels a side at the end, at least.

    Raises AssertionError where a level differs.
    """
    events, frames = imported_session(name)[0], _session_frames(name)
    return _compare_all(SESSIONS[name].instrument, events, frames, _drawn(frames, min(instants, len(frames))))


def _captured_frames(run: str) -> Iterator[tuple[int, str]]:
    """Stamps and frames that say something of the book."""
    for name in RUNS[run][1]:
        for line in capture_lines(recording(name)):
            if b"@trade" not in line[:70] and b"@markPrice" not in line[:70]:
                stamp, frame = line.split(b" ", 1)
                yield int(stamp) * (1 if len(stamp) == 19 else 1_000), frame.decode()


def _session_frames(name: str) -> _Frames:
    """What a session's sockets received and, of Binance, the snapshots that were asked for; by time."""
    file, instrument = SESSIONS[name]
    records, symbol = list(session_records(file)), f"symbol={instrument.venue_symbol.upper()}&"
    at = {record["conn"]: record["addr"] for record in records if record["t"] == "connect"}
    wanted = _ADDRESSES.get(instrument.venue)
    frames = [
        (int(Decimal(repr(record["ts"])) * 1_000_000_000), record["data"])
        for record in records
        if (record["t"] == "recv" and wanted in (None, at[record["conn"]]))
        or (record["t"] == "http" and "/depth?" in record["url"] and symbol in record["url"])
    ]
    return sorted(frames, key=lambda frame: frame[0])


def _compiled_levels(book: Book, row: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Prices, rising, and lots of every level of a side."""
    ladder, spill, head = book
    near, far = np.flatnonzero(ladder[row]), spill[row, : head[PLACES + row]]
    far = far[far[:, 0] != 0]
    found = np.concatenate([head[LOW] + (near - head[LOW]) % SLOTS, far[:, 0]])
    order = np.argsort(found)
    return found[order], np.concatenate([ladder[row][near], far[:, 1]])[order]


def _assert_same(book: Book, naive: NaiveBook) -> None:
    assert bool(book[2][VALID]) == naive.valid
    for row, side in enumerate(naive.sides):
        prices, quantities = _compiled_levels(book, row)
        order = np.argsort(keys := np.fromiter(side.keys(), np.int64, len(side)))
        assert np.array_equal(prices, keys[order])
        assert np.array_equal(quantities, np.fromiter(side.values(), np.int64, len(side))[order])


class _Pair:
    """A compiled book and a naive one, side by side."""

    def __init__(self, instrument: Instrument, events: Events, with_touches: bool) -> None:
        self.naive = NaiveBook(instrument.tick_size, instrument.lot_size, with_touches)
        depth = np.isin(events["kind"], [LEVEL, SNAPSHOT, GAP])
        self._events = events if with_touches else events[depth]
        self._book, self._seen = new_book(), 0

    def compare(self, at_ns: int) -> None:
        stop = int(np.searchsorted(self._events["ingest_ts"], at_ns, "right"))
        apply_events(self._book, self._events[self._seen : stop])
        self._seen = stop
        _assert_same(self._book, self.naive)


def _compare_all(instrument: Instrument, events: Events, frames: _Frames, instants: list[int]) -> int:
    """Compare with and without best bids and offers at each instant; how many levels a side the last one held."""
    pairs = [_Pair(instrument, events, with_touches) for with_touches in (True, False)]
    venue = instrument.venue.partition("-")[0]
    reader = NAIVE[venue]([pair.naive for pair in pairs], instrument.venue_symbol)
    place = 0
    for stamp, frame in frames:
        while place < len(instants) and instants[place] < stamp:
            for pair in pairs:
                pair.compare(instants[place])
            place += 1
        reader.read(frame)
    for pair in pairs:
        pair.compare(frames[-1][0])
    assert place == len(instants)
    return min(len(side) for pair in pairs for side in pair.naive.sides)


def _drawn(frames: _Frames, count: int) -> list[int]:
    """Random instants between the first frame and the last, seeded, rising."""
    return np.sort(np.random.default_rng(4).integers(frames[0][0], frames[-1][0], count)).tolist()
