"""How fast a venue is asked: never faster than allowed, and not at all while it keeps us out."""

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from live.connectors.pace import Bucket, Hosts, backoff_s, take
from tests.builders_live import in_loop

questions = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 30)), min_size=1, max_size=60)


@given(questions)
def test_no_minute_holds_more_than_is_allowed(asked: list[tuple[float, int]]) -> None:
    bucket, now, granted = Bucket(60, 0.0), 0.0, []
    for pause, units in asked:
        now += pause
        granted.append((now + bucket.reserve(units, now), units))
    for start, _ in granted:
        assert sum(units for at, units in granted if start <= at < start + 60) <= 60 + 1e-6
    instants = [at for at, _ in granted]
    assert instants == sorted(instants)


def test_a_venue_that_keeps_us_out_is_asked_afterwards() -> None:
    bucket = Bucket(600, 0.0)
    bucket.close(7.0, 1.0)
    bucket.close(2.0, 1.0)
    assert bucket.reserve(1, 2.0) == 6.2
    assert bucket.reserve(1, 8.0) == 0.4
    assert bucket.reserve(1, 20.0) == 0.0


def test_after_a_ban_all_who_waited_go_one_after_another() -> None:
    bucket = Bucket(600, 0.0)  # five a second
    bucket.close(7.0, 1.0)
    assert [round(bucket.reserve(1, 2.0), 9) for _ in range(4)] == [6.2, 6.4, 6.6, 6.8]
    assert round(bucket.reserve(20, 3.0), 9) == 9.8
    bucket.close(1.0, 3.0)  # sooner over than the one in force
    assert bucket.closed_s(3.0) == 5.0


def test_an_address_has_one_budget_whoever_asks_there() -> None:
    hosts = Hosts(600, 60)
    assert hosts.weights("https://api.venue.com/fapi/v1") is hosts.weights("https://api.venue.com")
    assert hosts.weights("https://api.venue.com") is not hosts.weights("https://api.other.com")
    assert hosts.weights("http://127.0.0.1:1") is not hosts.weights("http://127.0.0.1:2")
    assert hosts.connects("wss://api.venue.com/ws") is hosts.connects("wss://api.venue.com/stream")
    assert hosts.connects("wss://api.venue.com") is not hosts.weights("https://api.venue.com")


@in_loop
async def test_who_waited_when_the_venue_closed_takes_a_new_turn() -> None:
    loop = asyncio.get_running_loop()
    bucket, gone = Bucket(6_000, loop.time()), list[int]()
    bucket.reserve(3_001, loop.time())

    async def ask(number: int) -> None:
        await take(bucket, 1)
        gone.append(number)
        assert bucket.closed_s(loop.time()) == 0

    asking = [asyncio.create_task(ask(number)) for number in range(5)]
    await asyncio.sleep(0)
    bucket.close(0.1, loop.time())
    await asyncio.gather(*asking)
    assert sorted(gone) == list(range(5))
    assert bucket._left < 0  # each has paid again, after all that was left had gone


@in_loop
async def test_who_waits_for_a_turn_waits_on_when_the_venue_closes() -> None:
    bucket, loop = Bucket(600, asyncio.get_running_loop().time()), asyncio.get_running_loop()
    bucket.reserve(301, loop.time())
    asking = asyncio.create_task(take(bucket, 1))
    await asyncio.sleep(0)
    bucket.close(0.4, loop.time())
    await asking
    assert bucket.closed_s(loop.time()) == 0


@given(st.integers(0, 10_000), st.integers(0, 2**32 - 1))
def test_waits_double_up_to_the_longest_and_are_spread(failures: int, seed: int) -> None:
    longest = min(30.0, 0.25 * 2.0 ** min(failures, 30))
    waits = [backoff_s(failures, 0.25, 30.0, np.random.default_rng(seed)) for _ in range(2)]
    assert waits[0] == waits[1]
    assert longest / 2 <= waits[0] <= longest
