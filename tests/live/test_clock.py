"""Replay clocks agree with their venue, and stamps never fall."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import clock as clocks
from live.clock import ReplayClock, WallClock, replay_clock
from live.connectors.line import Stamps
from live.exchange import Replay
from market.errors import VenueError
from tests.builders_live import LEAD_S, clock_of, in_loop, short_capture, until, venue

MS = 1_000_000
START = 1_723_161_600_000_000_000


def test_recorded_time_passes_as_many_times_faster_as_asked() -> None:
    clock = ReplayClock(START, 500, 20.0)

    assert clock.at(500) == START
    assert clock.at(500 + 50 * MS) == START + 1_000 * MS
    assert clock.at(500 - MS) == START - 20 * MS


@given(st.integers(0, 10**13), st.sampled_from([0.5, 1.0, 3.0, 20.0, 1_000.0]))
def test_a_frame_is_due_when_the_clock_shows_its_stamp(after_ns: int, speed: float) -> None:
    clock = ReplayClock(START, 123_456_789, speed)

    assert abs(clock.at(clock.due(START + after_ns)) - (START + after_ns)) <= speed + 1


def test_a_replay_clock_follows_the_monotonic_clock() -> None:
    before = time.monotonic_ns()
    now = ReplayClock(START, 0, 1.0).now()

    assert START + before <= now <= START + time.monotonic_ns()


def test_the_wall_clock_is_the_machines() -> None:
    before = time.time_ns()

    assert before <= WallClock().now() <= time.time_ns()


def test_stamps_never_fall_when_the_clock_does() -> None:
    class Jumping:
        readings = iter([10, 30, 20, 31])

        def now(self) -> int:
            return next(self.readings)

    stamps = Stamps(Jumping())

    assert [stamps.now() for _ in range(4)] == [10, 30, 30, 31]


@in_loop
async def test_asking_for_the_clock_starts_the_tape_and_leaves_time_to_subscribe(tmp_path: Path) -> None:
    async with venue(Replay([short_capture(tmp_path, "binance-coinm-btcusd_perp", 3)])) as exchange:
        assert exchange.clock()["started"] is False
        clock = await replay_clock(f"http://127.0.0.1:{exchange.ports[1]}", 0)

        assert clock == clock_of(exchange)
        assert exchange.clock()["started"] is True
        assert exchange.start_ns - LEAD_S * 1e9 < clock.now() < exchange.start_ns


@in_loop
async def test_asking_twice_does_not_start_the_tape_again(tmp_path: Path) -> None:
    async with venue(Replay([short_capture(tmp_path, "binance-coinm-btcusd_perp", 3)])) as exchange:
        url = f"http://127.0.0.1:{exchange.ports[1]}"

        assert await replay_clock(url, 0) == await replay_clock(url, 0)


@in_loop
async def test_a_venue_that_is_no_replay_has_no_replay_clock() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        assert await replay_clock(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 0) is None


@pytest.mark.parametrize("body", ["<html>\n<p>hello", "[]", "", '{"recorded_ns": "a"}', '{"recorded_ns": 1}', "\\xff"])
def test_a_venue_that_answers_with_something_else_is_one_clear_line(body: str) -> None:
    answer = httpx.Response(200, text=body, request=httpx.Request("GET", "http://127.0.0.1:1/replay/start"))
    with pytest.raises(VenueError, match="/replay/start answers with no replay clock") as refused:
        clocks._clock_of(answer)
    assert "\n" not in str(refused.value)


def test_a_clock_that_stands_still_is_refused() -> None:
    body = '{"recorded_ns": 1, "monotonic_ns": 1, "speed": 0}'
    answer = httpx.Response(200, text=body, request=httpx.Request("GET", "http://127.0.0.1:1/replay/start"))
    with pytest.raises(VenueError, match="speed 0"):
        clocks._clock_of(answer)


@in_loop
async def test_the_clock_of_a_venue_that_comes_up_late_is_waited_for(tmp_path: Path) -> None:
    replay = Replay([short_capture(tmp_path, "binance-coinm-btcusd_perp", 3)])
    async with venue(replay) as gone:
        ports = gone.ports
    asked = asyncio.create_task(replay_clock(f"http://127.0.0.1:{ports[1]}", 60))
    await asyncio.sleep(0)
    async with venue(replay, ports=ports) as exchange:
        await until(asked.done)

        assert asked.result() == clock_of(exchange)


@in_loop
async def test_a_venue_that_never_comes_up_is_one_clear_error(tmp_path: Path) -> None:
    async with venue(Replay([short_capture(tmp_path, "binance-coinm-btcusd_perp", 3)])) as gone:
        port = gone.ports[1]

    with pytest.raises(VenueError, match=f"no venue answers at http://127.0.0.1:{port}"):
        await replay_clock(f"http://127.0.0.1:{port}", 0)
