"""The hot cache: what a symbol looks like right now, for readers outside the loop; in process, or in Redis.

Whoever puts never waits: what a slow or absent Redis does not take is dropped and counted, as the next value is due
20 ms later. Whoever gets is told the age, and never gets what is too old.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from market.units import NS_PER_MS
from storage.consumer_thread import ConsumerThread

if TYPE_CHECKING:
    from redis import Redis

USER: Final = "TICKLOOP_REDIS_USER"
PASSWORD: Final = "TICKLOOP_REDIS_PASSWORD"
TTL_MS: Final = 200
_PREFIX: Final = "tickloop:hot:"
_ANSWER_S: Final = 0.25  # that Redis may take
_FIRST_PAUSE_S: Final = 0.05  # after a failure; doubles with each that follows ...
_LONGEST_PAUSE_S: Final = 1.0  # ... up to this


@dataclass(frozen=True, slots=True)
class RedisLogin:
    """Who asks a Redis; never printed. Without a user it is Redis' default one, without a password nobody."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def redis_login_from(environment: Mapping[str, str]) -> RedisLogin:
    """User and password, empty where the environment names none."""
    return RedisLogin(environment.get(USER, ""), environment.get(PASSWORD, ""))


class Hot(NamedTuple):
    """A value and how old it was when it was read."""

    value: dict[str, Any]
    age_ms: float


class HotCache(Protocol):
    """The newest value of each hot symbol."""

    dropped: int  # values that nobody can read, as they could not be stored in time

    def put(self, symbol: str, value: Mapping[str, Any], ts: int) -> None:
        """Keep a value that was true at ``ts``, ns UTC; returns at once."""

    def get(self, symbol: str, now: int) -> Hot | None:
        """The newest value by ``now``, ns UTC; None where there is none, or only one older than the time to live."""

    def newest_ts(self, symbol: str) -> int:
        """Stamp of the newest value that readers can find, ns UTC; 0 before the first."""

    def close(self) -> None:
        """Let go of whatever is held."""


class ProcessCache:
    """Values in this process."""

    def __init__(self, ttl_ms: int = TTL_MS) -> None:
        self.dropped = 0
        self._ttl_ms = ttl_ms
        self._values: dict[str, bytes] = {}
        self._stamps: dict[str, int] = {}

    def put(self, symbol: str, value: Mapping[str, Any], ts: int) -> None:
        """Keep a value."""
        self._values[symbol], self._stamps[symbol] = _packed(value, ts), ts

    def newest_ts(self, symbol: str) -> int:
        """Stamp of the newest value, ns UTC."""
        return self._stamps.get(symbol, 0)

    def get(self, symbol: str, now: int) -> Hot | None:
        """The newest value, unless it is too old."""
        return _fresh(self._values.get(symbol), now, self._ttl_ms)

    def close(self) -> None:
        """Forget all."""
        self._values.clear()


class RedisCache:
    """Values in Redis, written by a thread of its own; a value that is still unsent is replaced by the next one.

    Redis may come and go: what is put meanwhile is dropped, what is asked for is not there.
    """

    def __init__(
        self,
        url: str,
        ttl_ms: int = TTL_MS,
        login: RedisLogin = RedisLogin(),
        on_death: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``on_death``: counts faults of the writing thread, by its name."""
        self.dropped = 0
        self._ttl_ms = ttl_ms
        self._writing, self._reading = _client(url, login), _client(url, login)
        self._waiting: dict[str, tuple[int, bytes]] = {}  # stamp and value, one a symbol: bounded
        self._stamps: dict[str, int] = {}  # of what Redis has
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._thread = ConsumerThread("hot cache", self._write_all, self._closed, on_death)

    def put(self, symbol: str, value: Mapping[str, Any], ts: int) -> None:
        """Hand a value to the writer."""
        packed = _packed(value, ts)
        with self._changed:
            self.dropped += symbol in self._waiting
            self._waiting[symbol] = ts, packed
            self._changed.notify()

    def newest_ts(self, symbol: str) -> int:
        """Stamp of the newest value that Redis has taken, ns UTC."""
        return self._stamps.get(symbol, 0)

    def get(self, symbol: str, now: int) -> Hot | None:
        """The newest value, unless it is too old or Redis does not answer."""
        from redis import RedisError

        try:
            packed = self._reading.get(_PREFIX + symbol)
        except (RedisError, OSError):
            return None
        assert packed is None or isinstance(packed, bytes)
        return _fresh(packed, now, self._ttl_ms)

    def close(self) -> None:
        """End the writer; what waits is not sent any more."""
        self._closed.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()
        for client in (self._writing, self._reading):
            client.close()

    def _write_all(self) -> None:
        from redis import RedisError

        pause_s = 0.0
        while not self._closed.wait(pause_s):
            batch = self._next_batch()
            try:
                self._write(batch)
                pause_s = 0.0
            except (RedisError, OSError):
                self.dropped += len(batch)
                pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * pause_s))

    def _next_batch(self) -> dict[str, tuple[int, bytes]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed.is_set())
            batch, self._waiting = self._waiting, {}
        return batch

    def _write(self, batch: Mapping[str, tuple[int, bytes]]) -> None:
        if not batch:
            return
        pipeline = self._writing.pipeline(transaction=False)
        for symbol, (_, packed) in batch.items():
            pipeline.set(_PREFIX + symbol, packed, px=self._ttl_ms)
        pipeline.execute()
        self._stamps.update({symbol: ts for symbol, (ts, _) in batch.items()})


def hot_cache(
    redis_url: str,
    ttl_ms: int = TTL_MS,
    login: RedisLogin = RedisLogin(),
    on_death: Callable[[str], None] = lambda _: None,
) -> HotCache:
    """In Redis where an address is given, else in process."""
    return RedisCache(redis_url, ttl_ms, login, on_death) if redis_url else ProcessCache(ttl_ms)


class Hottest:
    """Which symbols are hot: those that are named, or else the ``top`` ones by messages over the last whole second."""

    def __init__(self, named: Iterable[str], top: int) -> None:
        self._named = frozenset(named)
        self._top = top
        self._counts: dict[str, int] = {}
        self._second = 0
        self._hot = self._named

    def count(self, symbol: str, messages: int) -> None:
        """Note what has arrived."""
        self._counts[symbol] = self._counts.get(symbol, 0) + messages

    def now(self, ts: int) -> frozenset[str]:
        """The hot symbols at an instant, ns UTC."""
        second = ts // (1_000 * NS_PER_MS)
        if not self._named and second != self._second:
            ranked = sorted(self._counts, key=lambda symbol: (-self._counts[symbol], symbol))
            self._hot, self._second, self._counts = frozenset(ranked[: self._top]), second, {}
        return self._hot


def _client(url: str, login: RedisLogin) -> "Redis":
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(
        url,
        username=login.user or None,
        password=login.password or None,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=_ANSWER_S,
        retry=Retry(NoBackoff(), 0),
    )


def _packed(value: Mapping[str, Any], ts: int) -> bytes:
    return msgspec.msgpack.encode((ts, value))


def _fresh(packed: bytes | None, now: int, ttl_ms: int) -> Hot | None:
    if packed is None:
        return None
    ts, value = msgspec.msgpack.decode(packed, type=tuple[int, dict[str, Any]])
    age_ms = (now - ts) / NS_PER_MS
    return Hot(value, age_ms) if 0 <= age_ms <= ttl_ms else None
