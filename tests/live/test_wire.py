"""Connectors of both venues against the replay venue: shared lines, every fault, and nothing lost by sequence."""

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picows import WSListener, ws_create_server

from config.connectors import SocketSettings, VenueSettings, Wire
from live.clock import Clock, replay_clock
from live.connectors import trunk
from live.connectors.pace import Bucket
from live.connectors.splice import Splice
from live.connectors.symbol_feed import SymbolFeed
from live.exchange import Exchange, Replay
from live.exchange_faults import parse_fault, seeded_faults
from live.exchange_reels import Listing
from live.exchange_sockets import RETRY_AFTER_S
from live.exchange_tape import Tape
from market.book import ASK, BID, Book, is_open, top_levels
from market.errors import ConfigError
from market.events import GAP, TRADE, Events
from market.instrument import Instrument
from tests.builders_live import (
    QUICK,
    Reader,
    bybit_of,
    feed_of,
    feeds_of,
    follow,
    in_loop,
    other_symbol,
    short_capture,
    until,
    venue,
    wire_at,
)
from tests.builders_market import COINM_BTC

START = "2024-08-08T23:54:18"
BYBIT = bybit_of(COINM_BTC)
VENUES = pytest.mark.parametrize("instrument", [COINM_BTC, BYBIT], ids=["binance", "bybit"])
LEVELS = 40  # that both venues tell


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_capture(tmp_path_factory.mktemp("capture"), "binance-coinm-btcusd_perp", 10)


@pytest.fixture(scope="module")
def whole(capture: Path) -> Reader:
    """Reader of the whole capture, without any socket; kernels are compiled by it."""
    reader = Reader()
    for frame in Tape([capture]).frames():
        reader.on_frame(frame.data, frame.ts)
    return reader


def top(book: Book) -> list[list[int]]:
    """Prices and lots of the best levels of both sides."""
    levels = np.zeros((4, LEVELS), np.int64)
    counts = top_levels(book, BID, levels[0], levels[1]), top_levels(book, ASK, levels[2], levels[3])
    assert counts == (LEVELS, LEVELS)
    return levels.tolist()


def trades(events: Events) -> list[tuple[Any, ...]]:
    return [tuple(event) for event in events[["update_id", "price", "qty", "side", "exchange_ts"]].tolist()]


def replay_of(capture: Path, *faults: str, speed: float = 20.0) -> Replay:
    return Replay([capture], START, speed=speed, faults=tuple(map(parse_fault, faults)), tape=COINM_BTC)


async def clock_at(exchange: Exchange) -> Clock:
    clock = await replay_clock(f"http://127.0.0.1:{exchange.ports[1]}", 0)
    assert clock
    return clock


async def read_out(exchange: Exchange, *readers: Reader, **settings: float) -> list[SymbolFeed]:
    """The feeds of some readers, which have followed the tape to its end."""
    clock = await clock_at(exchange)
    feeds = feeds_of(wire_at(exchange.ports, replace(QUICK, **settings)), *readers)
    await asyncio.gather(*(follow(feed, reader, clock) for feed, reader in zip(feeds, readers, strict=True)))
    return feeds


async def lose(exchange: Exchange, reader: Reader, *faults: str) -> None:
    """Let faults end the lines one after another, each once the reader has had its book since the one before."""
    for number, fault in enumerate(map(parse_fault, faults), 1):
        await until(lambda number=number: [up for up, _ in reader.connections].count(True) == number)
        await until(lambda: is_open(reader.book))
        exchange.delivery._befall(fault, 0)


def played_trades(exchange: Exchange, whole: Reader) -> list[tuple[Any, ...]]:
    """All trades of the stretch that a venue has played."""
    events = whole.of_kind(TRADE)
    return trades(events[events["ingest_ts"] >= exchange.start_ns])


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
async def test_a_book_that_is_refused_is_asked_for_again(capture: Path, whole: Reader, instrument: Instrument) -> None:
    reader = Reader(instrument)
    async with venue(replay_of(capture, "refuse:0:3", speed=10.0), instrument) as exchange:
        [feed] = await read_out(exchange, reader)

    assert feed.counts["refusals"] == 3
    assert top(reader.book_before_end) == top(whole.book)


@in_loop
async def test_a_refused_snapshot_is_asked_for_again(capture: Path, whole: Reader) -> None:
    reader = Reader()
    async with venue(replay_of(capture, "refuse:#2:3", speed=10.0)) as exchange:
        [feed] = await read_out(exchange, reader)

    assert (feed.counts["refusals"], feed.counts["snapshot_failures"], reader.counts["gaps"]) == (0, 3, 0)
    assert top(reader.book_before_end) == top(whole.book)


@pytest.mark.parametrize("kind", ["limit", "ban"])
@in_loop
async def test_a_venue_that_is_asked_too_often_is_left_alone_as_long_as_it_says(
    capture: Path, whole: Reader, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader()
    async with venue(replay_of(capture, f"{kind}:#2:1", speed=4.0)) as exchange:
        [feed] = await read_out(exchange, reader)

    assert feed.counts["snapshot_failures"] == 1
    code = {"limit": 429, "ban": 418}[kind]
    assert f"/dapi/v1/depth answers {code}: we ask too often, and wait 1 s" in caplog.text
    assert exchange.asked("book") == 3  # whether the symbol is known, refused, given
    assert top(reader.book_before_end) == top(whole.book)


@VENUES
@in_loop
async def test_a_refused_handshake_is_tried_again_when_the_venue_says(
    capture: Path, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, close, told_s = Reader(instrument), Bucket.close, []

    def noted(bucket: Bucket, seconds: float, now_s: float) -> None:
        told_s.append(seconds)
        close(bucket, seconds, now_s)

    monkeypatch.setattr(Bucket, "close", noted)
    async with venue(replay_of(capture, "turn_away:0:1", speed=4.0), instrument) as exchange:
        [feed] = await read_out(exchange, reader)

    assert (feed.counts["refusals"], feed.counts["connections"], exchange.asked("handshake")) == (1, 1, 2)
    assert told_s == [RETRY_AFTER_S]
    assert is_open(reader.book_before_end)


@VENUES
@in_loop
async def test_symbols_share_sockets_and_each_gets_its_own(
    capture: Path, whole: Reader, instrument: Instrument
) -> None:
    names = ("btcusd_perp", "dogeusd_perp", "solusd_perp") if instrument is COINM_BTC else ("btcusd", "doge1", "sol")
    readers = [Reader(other_symbol(instrument, name)) for name in names]
    more = [Listing(reader.instrument, [capture], COINM_BTC) for reader in readers[1:]]
    async with venue(replay_of(capture), readers[0].instrument, more=more) as exchange:
        feeds = await read_out(exchange, *readers, symbols_per_socket=2)
        assert exchange.asked("handshake") == 2

    for reader, feed in zip(readers, feeds, strict=True):
        assert (reader.counts["gaps"], reader.reader.malformed, feed.counts["unroutable"]) == (0, 0, 0)
        assert top(reader.book_before_end) == top(whole.book)
        assert trades(reader.of_kind(TRADE)) == played_trades(exchange, whole)


@in_loop
async def test_a_lost_socket_is_a_loss_to_each_of_its_symbols_alone(capture: Path) -> None:
    readers = [Reader(other_symbol(COINM_BTC, name)) for name in ("btcusd_perp", "dogeusd_perp", "solusd_perp")]
    more = [Listing(reader.instrument, [capture], COINM_BTC) for reader in readers[1:]]
    async with venue(replay_of(capture), more=more) as exchange:
        clock = await clock_at(exchange)
        feeds = feeds_of(wire_at(exchange.ports, replace(QUICK, symbols_per_socket=2)), *readers)
        following = [asyncio.create_task(follow(*pair, clock)) for pair in zip(feeds, readers, strict=True)]
        await until(lambda: all(reader.frames for reader in readers))
        exchange.clients.drop(readers[0].instrument.venue_symbol + "@trade")
        await asyncio.gather(*following)

    assert [len(reader.connections) for reader in readers] == [4, 4, 2]


@VENUES
@in_loop
async def test_an_unknown_symbol_is_refused_and_the_others_of_its_line_go_on(
    capture: Path, whole: Reader, instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    known, unknown = Reader(instrument), Reader(other_symbol(instrument, "nonesuch"))
    async with venue(replay_of(capture), instrument) as exchange:
        clock = await clock_at(exchange)
        feeds = feeds_of(wire_at(exchange.ports), known, unknown)
        waiting = asyncio.create_task(follow(feeds[1], unknown, clock))
        await follow(feeds[0], known, clock)
        await until(lambda: feeds[1].counts["unknown_symbol"] > 1)
        waiting.cancel()

    assert top(known.book_before_end) == top(whole.book)
    assert (unknown.frames, feeds[1].counts["connections"]) == ([], 0)
    lines = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len([line for line in lines if "NONESUCH" in line]) == 1


@in_loop
async def test_trades_can_come_by_a_socket_of_their_own(capture: Path, whole: Reader) -> None:
    reader = Reader()
    async with venue(replay_of(capture, speed=4.0)) as exchange:
        url, rest = f"ws://127.0.0.1:{exchange.ports[0]}", f"http://127.0.0.1:{exchange.ports[1]}"
        sockets = (SocketSettings(f"{url}/public", ("depth@0ms", "bookTicker")), SocketSettings(url, ("trade",)))
        [feed] = feeds_of(Wire(QUICK, VenueSettings(rest, sockets)), reader)
        following = asyncio.create_task(follow(feed, reader, await clock_at(exchange)))
        await lose(exchange, reader, "disconnect:0")
        await following

    by_trade = {socket for (data, _), socket in zip(reader.frames, reader.sockets, strict=True) if b"@trade" in data}
    by_depth = {socket for (data, _), socket in zip(reader.frames, reader.sockets, strict=True) if b"@depth" in data}
    assert (by_trade, by_depth) == ({1}, {0})
    # up when both are up, down with each that is lost
    assert [up for up, _ in reader.connections] == [True, False, False, True, False, False]
    assert top(reader.book_before_end) == top(whole.book)


@in_loop
async def test_a_message_that_is_too_large_ends_the_line(capture: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    async with venue(replay_of(capture)) as exchange:
        exchange_port = exchange.ports[0]
        feed = feed_of(exchange.ports, reader, most_frame_bytes=1_000)
        following = asyncio.create_task(follow(feed, reader, await clock_at(exchange)))
        await until(lambda: feed.counts["oversize"] > 0)
        following.cancel()

    assert max(len(data) for data, _ in reader.frames if data.startswith(b'{"stream"')) <= 1_000
    assert f"127.0.0.1:{exchange_port}/stream has sent a message of more than 1000 bytes" in caplog.text


@in_loop
async def test_a_subscription_that_nobody_answers_is_one_clear_line(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader(BYBIT)
    server = await ws_create_server(lambda request: WSListener(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    feed = feed_of((port, port), reader, acknowledge_s=0.05)
    following = asyncio.create_task(feed.run(reader.on_frame, reader.on_connection, _Still()))
    await until(lambda: feed.counts["refusals"] > 1)
    following.cancel()
    server.close()

    [line] = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert line == f"ws://127.0.0.1:{port}/v5/public/inverse has not answered a subscription within 0.05 s"
    assert reader.connections == []


@VENUES
@in_loop
async def test_chaos_of_a_seed_ends_with_the_right_book(capture: Path, whole: Reader, instrument: Instrument) -> None:
    reader = Reader(instrument)
    faults = seeded_faults(7, 6, 6.0)
    async with venue(replace(replay_of(capture, speed=5.0), faults=faults), instrument) as exchange:
        await read_out(exchange, reader, ping_s=0.05, stall_s=0.2)

    assert len({fault.kind for fault in faults}) > 2
    assert top(reader.book_before_end) == top(whole.book)


def test_a_name_that_is_subscribed_twice_and_streams_that_are_told_twice_are_refused(capture: Path) -> None:
    with pytest.raises(ConfigError, match="binance-coinm-btcusd_perp is subscribed twice"):
        feeds_of(wire_at((1, 2)), Reader(), Reader())

    async def open_twice() -> None:
        Exchange(COINM_BTC, Replay([capture]), [Listing(COINM_BTC, [capture], COINM_BTC)])

    with pytest.raises(ConfigError, match="has the streams of another symbol"):
        asyncio.run(open_twice())


class _Still:
    """A clock for tests that look at no stamp."""

    def now(self) -> int:
        return 1
