"""On every recording the compiled book holds the levels that a naive one, read from the raw JSON, holds."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
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

INSTANTS = 1_000
LINES = 6_000  # of a capture: the naive book takes a hundred times as long as the compiled one
ADDRESSES = {
    "bybit-linear": "wss://stream.bybit.com/v5/public/linear",
    "bybit-spot": "wss://stream.bybit.com/v5/public/spot",
}

Frames = list[tuple[int, str]]  # receive time in ns, text


def captured_frames(run: str) -> Iterator[tuple[int, str]]:
    """Stamps and frames that say something of the book."""
    for name in RUNS[run][1]:
        for line in capture_lines(recording(name)):
            if b"@trade" not in line[:70] and b"@markPrice" not in line[:70]:
                stamp, frame = line.split(b" ", 1)
                yield int(stamp) * (1 if len(stamp) == 19 else 1_000), frame.decode()


def session_frames(name: str) -> Frames:
    """What a session's sockets received and, of Binance, the snapshots that were asked for; by time."""
    file, instrument = SESSIONS[name]
    records, symbol = list(session_records(file)), f"symbol={instrument.venue_symbol.upper()}&"
    at = {record["conn"]: record["addr"] for record in records if record["t"] == "connect"}
    wanted = ADDRESSES.get(instrument.venue)
    frames = [
        (round(record["ts"] * 1e6) * 1_000, record["data"])
        for record in records
        if (record["t"] == "recv" and wanted in (None, at[record["conn"]]))
        or (record["t"] == "http" and "/depth?" in record["url"] and symbol in record["url"])
    ]
    return sorted(frames, key=lambda frame: frame[0])


def compiled_levels(book: Book, row: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Prices, rising, and lots of every level of a side."""
    ladder, spill, head = book
    near, far = np.flatnonzero(ladder[row]), spill[row, : head[PLACES + row]]
    far = far[far[:, 0] != 0]
    found = np.concatenate([head[LOW] + (near - head[LOW]) % SLOTS, far[:, 0]])
    order = np.argsort(found)
    return found[order], np.concatenate([ladder[row][near], far[:, 1]])[order]


def assert_same(book: Book, naive: NaiveBook) -> None:
    assert bool(book[2][VALID]) == naive.valid
    for row, side in enumerate(naive.sides):
        prices, quantities = compiled_levels(book, row)
        order = np.argsort(keys := np.fromiter(side.keys(), np.int64, len(side)))
        assert np.array_equal(prices, keys[order])
        assert np.array_equal(quantities, np.fromiter(side.values(), np.int64, len(side))[order])


class Pair:
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
        assert_same(self._book, self.naive)


def compare_all(instrument: Instrument, events: Events, frames: Frames, instants: list[int]) -> int:
    """Compare with and without best bids and offers at each instant; how many levels a side the last one held."""
    pairs = [Pair(instrument, events, with_touches) for with_touches in (True, False)]
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


def drawn(first: int, last: int, count: int) -> list[int]:
    """Random instants between two, seeded, rising."""
    return np.sort(np.random.default_rng(4).integers(first, last, count)).tolist()


@pytest.mark.parametrize("run", RUNS)
def test_a_capture_s_levels_agree_with_the_naive_book_at_a_thousand_instants(run):
    instrument, events = RUNS[run][0], recorded_events(run)
    frames = list(islice(captured_frames(run), LINES))
    instants = drawn(frames[0][0], frames[-1][0], INSTANTS)
    assert compare_all(instrument, events, frames, instants) > 300


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_s_levels_agree_with_the_naive_book(name):
    events, account = imported_session(name)
    frames = session_frames(name)
    instants = drawn(frames[0][0], frames[-1][0], 20 if SESSIONS[name].file == "COINBASE" else 150)
    assert account.bad == 0
    assert compare_all(SESSIONS[name].instrument, events, frames, instants) > 20
