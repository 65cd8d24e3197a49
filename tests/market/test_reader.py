"""Frames to aligned events: as importing a capture would, with bad frames counted and a lost line closing the book."""

from dataclasses import replace

import numpy as np
import pytest

from market.book import apply_events, is_open, new_book
from market.clock import align, new_clock
from market.errors import DataError
from market.events import GAP, SYNTHETIC, connection_of
from market.reader import FrameReader
from market.simulator import synthetic_capture
from market.sources import decoder_for
from market.sources.capture import split_line
from tests.builders_market import CLOCK, COINM_BTC, import_capture

START = 1_723_161_600_000_000_000
LINES = list(synthetic_capture(COINM_BTC, 3, START, 2.0))


def test_frame_by_frame_gives_what_importing_the_capture_gives() -> None:
    events, _ = import_capture(iter(LINES), decoder_for(COINM_BTC), 0.0)
    align(new_clock(CLOCK), CLOCK, events)
    reader = FrameReader(COINM_BTC, CLOCK)
    read = [reader.read(frame, ts) for ts, frame in map(split_line, LINES)]
    assert np.concatenate(read).tobytes() == events.tobytes()
    assert events.size > 500
    assert reader.malformed == 0


def test_bad_frames_are_counted_and_change_nothing() -> None:
    clean, dirty = FrameReader(COINM_BTC, CLOCK), FrameReader(COINM_BTC, CLOCK)
    bad = [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"stream": 1}', b'{"stream":"x@trade","data":{"p":"no price"}}']
    for i, (ts, frame) in enumerate(map(split_line, LINES)):
        if i % 50 == 0:
            assert dirty.read(bad[i // 50 % len(bad)], ts).size == 0
        assert dirty.read(frame, ts).tobytes() == clean.read(frame, ts).tobytes()
    assert dirty.malformed == -(-len(LINES) // 50)


def test_a_lost_line_is_a_gap_that_closes_the_book_until_a_snapshot_comes() -> None:
    reader, book = FrameReader(COINM_BTC, CLOCK), new_book()
    frames = [split_line(line) for line in LINES]
    for ts, frame in frames[:100]:
        apply_events(book, reader.read(frame, ts))
    assert is_open(book)
    assert not reader.decoder.waiting

    lost = reader.lose(frames[100][0])
    apply_events(book, lost)
    assert (lost["kind"].tolist(), lost["ingest_ts"].tolist()) == ([GAP], [frames[100][0]])
    assert not is_open(book)
    assert reader.decoder.waiting
    for ts, frame in frames[100:]:
        apply_events(book, reader.read(frame, ts))
    assert not is_open(book)

    _, snapshot = frames[0]
    reader.lose(frames[-1][0])
    apply_events(book, reader.read(snapshot, frames[-1][0]))
    assert is_open(book)


def test_a_lost_line_takes_the_delay_of_the_newest_message() -> None:
    reader = FrameReader(COINM_BTC, CLOCK)
    events = [reader.read(frame, ts) for ts, frame in map(split_line, LINES)]
    lost = reader.lose(split_line(LINES[-1])[0] + 1_000)
    assert lost["delay_ns"][0] == events[-1]["delay_ns"][-1]


def test_each_connection_has_a_clock_of_its_own_and_its_events_bear_its_number() -> None:
    alone, both = FrameReader(COINM_BTC, CLOCK), FrameReader(COINM_BTC, CLOCK)
    frames = [split_line(line) for line in LINES]
    for ts, frame in frames[:200]:
        assert both.read(frame, ts).tobytes() == alone.read(frame, ts).tobytes()
    ts, frame = frames[200]
    other = both.read(frame, ts, 3)
    assert set(connection_of(other["flags"]).tolist()) == {3}
    assert other["offset_ns"][0] != alone.read(frame, ts)["offset_ns"][0]
    lost = both.lose(ts, 3)
    assert (connection_of(lost["flags"]).tolist(), lost["delay_ns"][0]) == ([3], other["delay_ns"][-1])


@pytest.mark.parametrize("connection", [-1, 16])
def test_a_connection_that_has_no_number_is_refused(connection) -> None:
    with pytest.raises(DataError, match=f"connection={connection} must lie within 0 and 15"):
        FrameReader(COINM_BTC, CLOCK).lose(START, connection)


def test_events_of_a_synthetic_instrument_say_so() -> None:
    reader = FrameReader(replace(COINM_BTC, name="synthetic-btcusd_perp"), CLOCK)
    events = np.concatenate([reader.read(frame, ts) for ts, frame in map(split_line, LINES[:20])])
    assert (events["flags"] & SYNTHETIC > 0).all()
