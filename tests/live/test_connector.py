"""The Binance connector against the replay venue, over real loopback sockets: it syncs, and comes back from faults."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path

import numpy as np
import pytest

from live.clock import replay_clock
from live.connectors.binance_api import stream_names
from live.connectors.connect import connect
from live.connectors.pace import Bucket
from live.connectors.rest import Rest
from live.connectors.symbol_feed import SymbolFeed
from live.exchange import Exchange, Replay
from live.exchange_faults import parse_fault
from live.exchange_tape import Tape
from live.feed import Subscription
from market.book import ASK, BID, Book, is_open, top_levels
from market.errors import ConfigError, JournalError, VenueError
from market.instrument import Instrument
from tests.builders_live import (
    Reader,
    feed_of,
    feeds_of,
    follow,
    in_loop,
    other_symbol,
    played,
    short_capture,
    until,
    venue,
    wire_at,
)
from tests.builders_market import COINM_BTC, COINM_ETH, RUNS, SPOT_BTC, USDM_BTC

COINM = "binance-coinm-btcusd_perp"
START = "2024-08-08T23:54:18"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_capture(tmp_path_factory.mktemp("capture"), COINM, 10)


@pytest.fixture(autouse=True, scope="module")
def compiled(capture: Path) -> None:
    """Kernels compiled before a socket waits for them."""
    offline(capture)


def offline(path: Path, instrument: Instrument = COINM_BTC) -> Reader:
    """Reader of the whole capture, without any socket."""
    reader = Reader(instrument)
    for frame in Tape([path]).frames():
        reader.on_frame(frame.data, frame.ts)
    return reader


def top(book: Book) -> list[list[int]]:
    """Prices and lots of the best 300 levels of both sides."""
    levels = np.zeros((4, 300), np.int64)
    assert top_levels(book, BID, levels[0], levels[1]) == top_levels(book, ASK, levels[2], levels[3]) == 300
    return levels.tolist()


async def read_out(exchange: Exchange, reader: Reader) -> SymbolFeed:
    """The feed of a reader that has followed the tape to its end."""
    clock = await replay_clock(f"http://127.0.0.1:{exchange.ports[1]}", 0)
    assert clock
    feed = feed_of(exchange.ports, reader)
    await follow(feed, reader, clock)
    return feed


@pytest.mark.parametrize("run", [COINM, "binance-usdm-btcusdt", "binance-spot-btcusdt", "binance-usdm-btcusdt-2023"])
@in_loop
async def test_a_client_syncs_in_mid_stream_and_ends_with_the_book_built_offline(tmp_path: Path, run: str) -> None:
    path, instrument = short_capture(tmp_path, run, 6), RUNS[run][0]
    replay, reader = Replay([path], start="last:4s", speed=5.0), Reader(instrument)
    async with venue(replay, instrument) as exchange:
        feed = await read_out(exchange, reader)

    sent = [frame.data for frame in played(replay, exchange.start_ns, exchange.end_ns)]
    assert reader.streamed() == sent
    assert len(sent) == exchange.player.frames_sent == feed.counts["frames"] > 300
    assert (reader.counts["gaps"], reader.reader.malformed, feed.counts["snapshots"]) == (0, 0, 1)
    assert is_open(reader.book_before_end)
    assert top(reader.book_before_end) == top(offline(path, instrument).book)
    assert [up for up, _ in reader.connections] == [True, False]
    assert feed.ended


@in_loop
async def test_stamps_are_those_of_the_recording_and_never_fall(capture: Path) -> None:
    replay, reader = Replay([capture], start=START, speed=2.0), Reader()
    async with venue(replay) as exchange:
        await read_out(exchange, reader)

    stamps = [ts for data, ts in reader.frames if data.startswith(b'{"stream"')]
    recorded = [frame.ts for frame in played(replay, exchange.start_ns, exchange.end_ns)]
    late = np.array(stamps) - np.array(recorded)
    assert np.all(np.diff([ts for _, ts in reader.frames]) >= 0)
    assert late.min() >= 0


@in_loop
async def test_a_dropped_connection_is_taken_up_and_resynchronised(capture: Path) -> None:
    reader = Reader()
    async with venue(Replay([capture], START, speed=20.0, faults=[parse_fault("disconnect:3")])) as exchange:
        feed = await read_out(exchange, reader)

    assert [up for up, _ in reader.connections] == [True, False, True, False]
    assert (feed.counts["connections"], feed.counts["disconnections"]) == (2, 2)
    assert feed.counts["snapshots"] >= 2
    assert top(reader.book_before_end) == top(offline(capture).book)


@in_loop
async def test_a_missing_depth_message_costs_one_gap_and_one_snapshot_more(capture: Path) -> None:
    reader = Reader()
    replay = Replay([capture], START, speed=20.0, faults=[parse_fault("gap:3")])
    async with venue(replay) as exchange:
        feed = await read_out(exchange, reader)

    sent = [frame.data for frame in played(replay, exchange.start_ns, exchange.end_ns)]
    assert len(reader.streamed()) == len(sent) - 1
    assert reader.counts["gaps"] == 1
    assert feed.counts["snapshots"] >= 2
    assert top(reader.book_before_end) == top(offline(capture).book)


@in_loop
async def test_malformed_and_doubled_messages_are_counted_and_change_nothing(capture: Path) -> None:
    reader = Reader()
    faults = [parse_fault("malformed:2"), parse_fault("duplicate:4")]
    replay = Replay([capture], START, speed=20.0, faults=faults)
    async with venue(replay) as exchange:
        await read_out(exchange, reader)

    sent = [frame.data for frame in played(replay, exchange.start_ns, exchange.end_ns)]
    assert len(reader.streamed()) == len(sent) + 2
    assert set(sent) < set(reader.streamed())
    assert (reader.reader.malformed, reader.counts["gaps"]) == (1, 0)
    assert top(reader.book_before_end) == top(offline(capture).book)


@in_loop
async def test_a_stall_delays_frames_and_loses_none(capture: Path) -> None:
    reader = Reader()
    replay = Replay([capture], START, speed=20.0, faults=[parse_fault("stall:2:4")])
    async with venue(replay) as exchange:
        await read_out(exchange, reader)

    assert reader.streamed() == [frame.data for frame in played(replay, exchange.start_ns, exchange.end_ns)]
    assert np.diff([ts for _, ts in reader.frames]).max() > 3.5e9
    assert [up for up, _ in reader.connections] == [True, False]


@in_loop
async def test_a_venue_that_is_not_there_yet_is_tried_until_it_is(
    capture: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replay, reader = Replay([capture], START, speed=20.0), Reader()
    async with venue(replay) as gone:
        ports = gone.ports
    feed = feed_of(ports, reader)
    exchange = Exchange(COINM_BTC, replay)
    following = asyncio.create_task(follow(feed, reader, _Fixed()))
    await until(lambda: feed.counts["refusals"] > 3)
    assert [record.message for record in caplog.records if "no venue answers" in record.message] == [
        f"no venue answers at http://127.0.0.1:{ports[1]}/dapi/v1/depth: All connection attempts failed"
    ]
    await exchange.open("127.0.0.1", *ports)
    await following
    exchange.close()

    assert feed.counts["connections"] == 1
    assert len(reader.streamed()) == exchange.player.frames_sent > 300


@in_loop
async def test_an_unknown_symbol_is_one_clear_line_and_tried_again(
    capture: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader(other_symbol(COINM_BTC, "dogeusd_perp"))
    async with venue(Replay([capture], START)) as exchange:
        feed = feed_of(exchange.ports, reader)
        following = asyncio.create_task(follow(feed, reader, _Fixed()))
        await until(lambda: feed.counts["unknown_symbol"] > 2)
        following.cancel()
        depth_url = f"http://127.0.0.1:{exchange.ports[1]}/dapi/v1/depth"

    lines = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == [f"the venue at {depth_url} does not know symbol=DOGEUSD_PERP"]
    assert feed.counts["connections"] == 0
    assert reader.frames == []


@in_loop
async def test_a_venue_without_a_book_yet_is_tried_again(capture: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    async with venue(Replay([capture], speed=5.0, start_now=True)) as exchange:
        feed = feed_of(exchange.ports, reader)
        await follow(feed, reader, _Fixed())

    assert "answers 503" in caplog.text
    assert feed.counts["connections"] == 1
    assert is_open(reader.book_before_end)


@in_loop
async def test_what_a_callback_raises_ends_the_feed(capture: Path) -> None:
    def full(data: bytes, ingest_ts: int, connection: int = 0) -> None:
        received.append(data)
        if len(received) == 5:
            raise JournalError("no space left")

    received: list[bytes] = []
    async with venue(Replay([capture], START, speed=20.0)) as exchange:
        feed, connections = feed_of(exchange.ports, Reader()), []
        with pytest.raises(JournalError, match="no space left"):
            await asyncio.wait_for(feed.run(full, lambda up, ts: connections.append(up), _Fixed()), 60)

    assert len(received) == 5
    assert connections == [True, False]


@in_loop
async def test_a_cancelled_feed_hangs_up(capture: Path) -> None:
    reader = Reader()
    async with venue(Replay([capture], START)) as exchange:
        following = asyncio.create_task(follow(feed_of(exchange.ports, reader), reader, _Fixed()))
        await until(lambda: len(reader.frames) > 20)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        received = len(reader.frames)
        assert [up for up, _ in reader.connections] == [True, False]

        await until(lambda: len(exchange.clients) == 0)
        assert len(reader.frames) == received


@in_loop
async def test_a_feed_that_does_not_stop_at_the_end_asks_again(capture: Path) -> None:
    reader = Reader()
    async with venue(Replay([capture], "last:1s", speed=20.0)) as exchange:
        feed = feed_of(exchange.ports, reader, until_end=False)
        following = asyncio.create_task(follow(feed, reader, _Fixed()))
        await until(lambda: feed.counts["disconnections"] > 2)
        following.cancel()

    assert feed.ended
    assert len(reader.streamed()) == exchange.player.frames_sent


def test_futures_and_spot_are_subscribed_to_what_they_have() -> None:
    assert stream_names(SPOT_BTC) == ("btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade")
    assert stream_names(USDM_BTC)[0] == "btcusdt@depth@0ms"
    assert set(stream_names(COINM_ETH)[3:]) == {"ethusd_perp@markPrice@1s", "ethusd_perp@forceOrder"}


def test_an_instrument_of_another_venue_is_refused() -> None:
    other = Instrument("other-x", "other", "x", "linear", 0.1, 1.0, 1.0, "X", "USD")

    with pytest.raises(ConfigError, match="venue='other' of other-x is not one of"):
        connect([Subscription(other, bool)], wire_at((1, 2)), np.random.default_rng(0))


def _page(text: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text.encode()))
        writer.close()

    return answer


class _Fixed:
    """A clock for tests that look at no stamp."""

    def now(self) -> int:
        return 1


def test_venues_at_one_address_share_its_budget() -> None:
    perpetual, coin = feeds_of(wire_at((1, 2)), Reader(USDM_BTC), Reader(COINM_BTC))
    assert perpetual._rest is not coin._rest
    assert perpetual._rest._bucket is coin._rest._bucket
    assert perpetual.wires[0]._bucket is coin.wires[0]._bucket


@in_loop
async def test_the_page_of_a_wrong_server_is_one_short_line() -> None:
    page = "<html>\n  <title>Not here</title>\n" + "<p>no\n" * 100
    async with await asyncio.start_server(_page(page), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Rest(f"http://127.0.0.1:{port}", Bucket(60, 0.0)) as rest:
            with pytest.raises(VenueError, match="answers 404: <html> <title>Not here</title> <p>no <p>no") as refused:
                await rest.depth(COINM_BTC, 1_000)
            assert rest._bucket._left == 60 / 2 - 20  # what the venue counts for so many levels
    assert "\n" not in str(refused.value)
    assert len(str(refused.value).partition(" 404: ")[2]) == 120
