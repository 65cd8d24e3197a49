"""What a venue refuses, leaves unanswered or makes too large: tried again when it may be, in one clear line."""

import asyncio
import logging
from pathlib import Path

import pytest
from picows import WSListener, ws_create_server

from live.connectors.pace import Bucket
from live.exchange_sockets import RETRY_AFTER_S
from market.book import is_open
from market.instrument import Instrument
from tests.builders_live import Reader, feed_of, follow, in_loop, until, venue
from tests.builders_wire import BYBIT, VENUES, clock_at, read_out, replay_of, top


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


class _Still:
    """A clock for tests that look at no stamp."""

    def now(self) -> int:
        return 1
