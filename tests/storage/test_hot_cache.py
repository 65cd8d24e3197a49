"""The hot cache: one contract in process and in Redis, and a Redis that may be slow, stop and start."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.logs import JsonLines, secrets_of
from storage.hot_cache import HotCache, Hottest, ProcessCache, RedisCache, hot_cache, redis_login_from
from tests.builders_processes import until
from tests.builders_redis import RedisServer, redis_server, require_redis

MS = 1_000_000
NOW = 1_723_161_600_000_000_000
VALUE = {"mid": 1.5, "features": [0.25, -1.0], "symbol": "x", "seen": None}
SECRET = "correct-horse"
LONG_MS = 600_000  # a time to live that no test outlives: only stamps then make a value stale


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(params=["process", "redis"])
def cache(request: pytest.FixtureRequest) -> Iterator[HotCache]:
    url = request.getfixturevalue("redis").url if request.param == "redis" else ""
    made = hot_cache(url, LONG_MS)
    assert isinstance(made, RedisCache if url else ProcessCache)
    yield made
    made.close()


def test_what_is_put_is_got_with_its_age(cache: HotCache) -> None:
    assert cache.get("x", NOW) is None
    cache.put("x", VALUE, NOW)
    until(lambda: cache.get("x", NOW))
    found = cache.get("x", NOW + 150 * MS)
    assert found is not None
    assert (found.value, found.age_ms) == (VALUE, 150.0)
    assert cache.get("y", NOW) is None


def test_the_newest_value_is_the_one_that_is_got(cache: HotCache) -> None:
    for number in range(50):
        cache.put("x", {"number": number}, NOW + number * MS)
    until(lambda: (hot := cache.get("x", NOW + 60 * MS)) and hot.value["number"] == 49)


def test_a_stale_value_and_one_from_the_future_are_refused_by_their_stamps(cache: HotCache) -> None:
    cache.put("x", VALUE, NOW)
    until(lambda: cache.get("x", NOW))
    assert cache.get("x", NOW + LONG_MS * MS) is not None
    assert cache.get("x", NOW + LONG_MS * MS + 1) is None
    assert cache.get("x", NOW - 1) is None


def test_redis_itself_forgets_a_value_after_its_time_to_live(redis: RedisServer) -> None:
    cache = RedisCache(redis.url, 200)
    cache.put("x", VALUE, NOW)
    until(lambda: cache._reading.dbsize() == 1)
    assert 0 < cache._reading.pttl("tickloop:hot:x") <= 200
    until(lambda: cache._reading.dbsize() == 0)
    cache.close()


def test_redis_may_stop_and_start_under_load(redis: RedisServer) -> None:
    cache = RedisCache(redis.url, LONG_MS)
    cache.put("x", {"number": 0}, NOW)
    until(lambda: cache.get("x", NOW))
    redis.stop()
    dropped = cache.dropped

    def load() -> bool:
        cache.put("x", {"number": 1}, NOW)
        return cache.dropped > dropped + 20

    until(load)
    assert cache.get("x", NOW) is None
    redis.start()
    until(lambda: load() and (hot := cache.get("x", NOW)) and hot.value["number"] == 1)
    cache.close()


@pytest.mark.parametrize(
    "options", [("--requirepass", SECRET), ("--user", "tickloop", "on", f">{SECRET}", "~*", "+@all")]
)
def test_a_redis_with_a_password_takes_it_from_the_environment(tmp_path: Path, options: tuple[str, ...]) -> None:
    require_redis()
    server = RedisServer(tmp_path, *options, *(["--user", "default", "off"] if "--user" in options else []))
    environment = {"TICKLOOP_REDIS_PASSWORD": SECRET} | (
        {"TICKLOOP_REDIS_USER": "tickloop"} if "--user" in options else {}
    )
    login = redis_login_from(environment)
    known, stranger = hot_cache(server.url, LONG_MS, login), hot_cache(server.url, LONG_MS)
    known.put("x", VALUE, NOW)
    until(lambda: known.get("x", NOW))
    stranger.put("y", VALUE, NOW)
    until(lambda: stranger.dropped)
    assert (stranger.get("x", NOW), known.get("y", NOW)) == (None, None)
    assert SECRET not in repr(login)
    assert JsonLines(secrets_of(environment)).scrubbed(f"AUTH {SECRET}") == "AUTH ***"
    for cache in (known, stranger):
        cache.close()
    server.stop()


def test_a_redis_that_never_answers_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = RedisCache(f"redis://127.0.0.1:{silent.getsockname()[1]}", LONG_MS)
        until(lambda: cache.put("x", VALUE, NOW) or cache.dropped > 3)
        assert len(cache._waiting) <= 1
        assert cache.get("x", NOW) is None
        cache.close()


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 99)), st.integers(1, 4))
def test_the_busiest_symbols_of_the_last_second_are_hot(counts: dict[str, int], top: int) -> None:
    hottest = Hottest((), top)
    for symbol, messages in counts.items():
        hottest.count(symbol, messages)
    hot = hottest.now(NOW)
    assert len(hot) == min(top, len(counts))
    cold = set(counts) - hot
    assert all(counts[one] >= counts[other] for one in hot for other in cold)
    assert hottest.now(NOW + 999 * MS) == hot
    assert hottest.now(NOW + 1_000 * MS) == frozenset()


def test_named_symbols_are_hot_whatever_arrives() -> None:
    hottest = Hottest(("x", "y"), 1)
    hottest.count("z", 1_000)
    assert hottest.now(NOW) == {"x", "y"}
