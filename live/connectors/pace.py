"""How fast we may ask a venue, and how long we wait after it has failed us."""

import asyncio
import time
from urllib.parse import urlsplit

import numpy as np


class Bucket:
    """At most ``per_minute`` units in any 60 seconds: half of them at once, the rest evenly.

    After a time in which the venue kept us out none is left: whoever waited then goes on evenly, one after another.
    """

    def __init__(self, per_minute: float, now_s: float) -> None:
        self.closures = 0
        self._left = self._room = per_minute / 2
        self._per_s = per_minute / 120
        self._at_s = now_s  # up to which what is left is reckoned; the end of a closure may be to come
        self._closed_until_s = now_s

    def reserve(self, units: float, now_s: float) -> float:
        """Take units; seconds until they may be used, at or above 0. Void where the venue closes meanwhile.

        >>> bucket = Bucket(60, 0.0)
        >>> bucket.reserve(30, 0.0), bucket.reserve(1, 0.0), bucket.reserve(1, 4.0)
        (0.0, 2.0, 0.0)
        """
        at_s = max(now_s, self._at_s)
        self._left = min(self._room, self._left + (at_s - self._at_s) * self._per_s) - units
        self._at_s = at_s
        return at_s - now_s + max(0.0, -self._left / self._per_s)

    def close(self, seconds: float, now_s: float) -> None:
        """Let nobody ask for that long: the venue has said so."""
        if now_s + seconds > self._closed_until_s:
            self.closures += 1
            self._closed_until_s = self._at_s = now_s + seconds
            self._left = 0.0

    def closed_s(self, now_s: float) -> float:
        """Seconds until anybody may ask again, at or above 0."""
        return max(0.0, self._closed_until_s - now_s)


class Hosts:
    """What each address lets this process ask for: a budget of weights and one of connects, whoever asks there."""

    def __init__(self, weight_per_minute: float, connects_per_minute: float) -> None:
        self._weight_per_minute = weight_per_minute
        self._connects_per_minute = connects_per_minute
        self._weights: dict[str, Bucket] = {}
        self._connects: dict[str, Bucket] = {}

    def weights(self, url: str) -> Bucket:
        """The budget of requests to an address, in the venue's own weights."""
        return _bucket_of(self._weights, url, self._weight_per_minute)

    def connects(self, url: str) -> Bucket:
        """The budget of WebSocket handshakes with an address."""
        return _bucket_of(self._connects, url, self._connects_per_minute)


def _bucket_of(buckets: dict[str, Bucket], url: str, per_minute: float) -> Bucket:
    return buckets.setdefault(urlsplit(url).netloc, Bucket(per_minute, time.monotonic()))


async def take(bucket: Bucket, units: float) -> None:
    """Wait for one's turn; where the venue keeps us out meanwhile, for a turn after that."""
    loop, closures = asyncio.get_running_loop(), -1
    while closures != bucket.closures:
        closures = bucket.closures
        await asyncio.sleep(bucket.reserve(units, loop.time()))


def backoff_s(failures: int, first_s: float, longest_s: float, generator: np.random.Generator) -> float:
    """Seconds to wait after so many failures in a row: twice as long after each, half of that or more at random."""
    longest = min(longest_s, first_s * 2.0 ** min(failures, 30))
    return float(longest * generator.uniform(0.5, 1.0))
