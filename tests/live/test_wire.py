"""Connectors of both venues against the replay venue: every fault of a line, and nothing lost by sequence."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from live.connectors import trunk
from live.connectors.splice import Splice
from live.exchange_faults import seeded_faults
from market.events import GAP, TRADE
from market.instrument import Instrument
from tests.builders_live import Reader, feed_of, follow, in_loop, venue
from tests.builders_market import COINM_BTC
from tests.builders_wire import VENUES, clock_at, lose, played_trades, read_out, replay_of, top, trades


@VENUES
@in_loop
async def test_faults_that_lose_nothing_leave_no_gap(capture: Path, whole: Reader, instrument: Instrument) -> None:
    reader = Reader(instrument)
    replay = replay_of(capture, "duplicate:1", "stall:2:2", "burst:5:1", "clock_step:6:0.25", "clock_step:6.5:-0.25")
    async with venue(replay, instrument) as exchange:
        [feed] = await read_out(exchange, reader)

    assert (reader.counts["gaps"], reader.reader.malformed, feed.counts["disconnections"]) == (0, 0, 1)
    assert reader.counts["superseded"] > 50  # of the duplicate and the burst
    assert top(reader.book_before_end) == top(whole.book)
    told = trades(reader.of_kind(TRADE))
    assert [row[:4] for row in told] == [row[:4] for row in played_trades(exchange, whole)]
    steps = Counter(mine[4] - theirs[4] for mine, theirs in zip(told, played_trades(exchange, whole), strict=True))
    assert set(steps) == {0, 250_000_000}
    assert np.diff([ts for _, ts in reader.frames]).max() > 1.5e9  # the stall, in the time of the tape


@VENUES
@in_loop
async def test_trades_that_come_twice_or_late_are_told_once(
    capture: Path, whole: Reader, instrument: Instrument
) -> None:
    reader = Reader(instrument)
    async with venue(replay_of(capture, "trade_twice:1", "trade_late:3", "trade_twice:5"), instrument) as exchange:
        await read_out(exchange, reader)

    told, played = (
        [row[:4] for row in rows] for rows in (trades(reader.of_kind(TRADE)), played_trades(exchange, whole))
    )
    assert told != played
    assert sorted(told) == sorted(played)
    assert reader.counts["doubled"] >= 2  # a message may tell of several
    assert (reader.counts["gaps"], reader.reader.malformed) == (0, 0)


@VENUES
@in_loop
async def test_depth_that_is_missing_or_out_of_order_costs_a_gap_and_a_new_book(
    capture: Path, whole: Reader, instrument: Instrument
) -> None:
    reader = Reader(instrument)
    async with venue(replay_of(capture, "gap:2", "reorder:5"), instrument) as exchange:
        [feed] = await read_out(exchange, reader)

    assert reader.counts["gaps"] == 2
    assert len(reader.of_kind(GAP)) == 3  # and that of the end
    assert feed.counts["snapshots"] >= (3 if instrument is COINM_BTC else 2)
    assert feed.counts["disconnections"] == 1
    assert top(reader.book_before_end) == top(whole.book)
    assert trades(reader.of_kind(TRADE)) == played_trades(exchange, whole)


@VENUES
@in_loop
async def test_lines_that_the_venue_ends_are_taken_up_again_behind_a_gap(
    capture: Path, whole: Reader, instrument: Instrument
) -> None:
    reader = Reader(instrument)
    async with venue(replay_of(capture, speed=2.0), instrument) as exchange:
        feed = feed_of(exchange.ports, reader)
        following = asyncio.create_task(follow(feed, reader, await clock_at(exchange)))
        await lose(exchange, reader, "disconnect:0", "expire:0", "slow:0")
        await following

    assert [up for up, _ in reader.connections] == [True, False] * 4
    assert (feed.counts["connections"], feed.counts["disconnections"]) == (4, 4)
    assert len(reader.of_kind(GAP)) == 4
    assert top(reader.book_before_end) == top(whole.book)
    told, all_trades = trades(reader.of_kind(TRADE)), played_trades(exchange, whole)
    assert len(told) == len(set(told))
    assert set(told) <= set(all_trades)


@VENUES
@in_loop
async def test_a_venue_that_falls_silent_is_left_and_found_again(
    capture: Path, whole: Reader, instrument: Instrument
) -> None:
    reader = Reader(instrument)
    async with venue(replay_of(capture, "mute:1", speed=4.0), instrument) as exchange:
        [feed] = await read_out(exchange, reader, ping_s=0.1, stall_s=0.4)

    assert feed.counts["stalls"] == 1
    assert [up for up, _ in reader.connections] == [True, False, True, False]
    assert top(reader.book_before_end) == top(whole.book)


@VENUES
@in_loop
async def test_a_quiet_venue_that_answers_pings_is_not_left(capture: Path, instrument: Instrument) -> None:
    reader = Reader(instrument)
    async with venue(replay_of(capture, "stall:1:6", speed=5.0), instrument) as exchange:
        [feed] = await read_out(exchange, reader, ping_s=0.1, stall_s=0.5)

    assert (feed.counts["stalls"], reader.counts["gaps"]) == (0, 0)
    assert np.diff([ts for _, ts in reader.frames]).max() > 5e9


@VENUES
@in_loop
async def test_a_line_is_renewed_without_a_gap(capture: Path, whole: Reader, instrument: Instrument) -> None:
    reader = Reader(instrument)
    async with venue(replay_of(capture, speed=4.0), instrument) as exchange:
        [feed] = await read_out(exchange, reader, renew_s=0.4, renew_overlap_s=0.2)

    assert feed.counts["renewals"] >= 2
    assert [up for up, _ in reader.connections] == [True, False]
    assert (reader.counts["gaps"], len(reader.of_kind(GAP))) == (0, 1)
    assert trades(reader.of_kind(TRADE)) == played_trades(exchange, whole)
    assert top(reader.book_before_end) == top(whole.book)


class Apart(Splice):
    """Of a new line that never says what the old one does."""

    def hear_new(self, message: bytes, depth: bool) -> None:
        super().hear_new(message + b" ", depth)


@VENUES
@in_loop
async def test_a_line_renewed_onto_one_that_never_agrees_is_a_gap(
    capture: Path, whole: Reader, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trunk, "Splice", Apart)
    reader = Reader(instrument)
    async with venue(replay_of(capture, speed=4.0), instrument) as exchange:
        [feed] = await read_out(exchange, reader, renew_s=0.5, renew_overlap_s=0.4)

    assert feed.counts["renewals"] >= 1
    assert feed.counts["disconnections"] >= 2  # and that of the end
    assert len(reader.of_kind(GAP)) == feed.counts["disconnections"] == feed.counts["connections"]
    assert top(reader.book_before_end) == top(whole.book)


@VENUES
@in_loop
async def test_chaos_of_a_seed_ends_with_the_right_book(capture: Path, whole: Reader, instrument: Instrument) -> None:
    reader = Reader(instrument)
    faults = seeded_faults(7, 6, 6.0)
    async with venue(replace(replay_of(capture, speed=5.0), faults=faults), instrument) as exchange:
        await read_out(exchange, reader, ping_s=0.05, stall_s=0.2)

    assert len({fault.kind for fault in faults}) > 2
    assert top(reader.book_before_end) == top(whole.book)
