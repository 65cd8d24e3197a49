"""How fast we may ask a venue, and how long we wait after it has failed us."""

import asyncio

import numpy as np


class Bucket:
    """At most ``per_minute`` units in any 60 seconds: half of them at once, the rest evenly."""

    def __init__(self, per_minute: float, now_s: float) -> None:
        self._left = self._room = per_minute / 2
        self._per_s = per_minute / 120
        self._at_s = now_s
        self._closed_until_s = now_s

    def reserve(self, units: float, now_s: float) -> float:
        """Take units; seconds until they may be used, at or above 0.

        >>> bucket = Bucket(60, 0.0)
        >>> bucket.reserve(30, 0.0), bucket.reserve(1, 0.0), bucket.reserve(1, 4.0)
        (0.0, 2.0, 0.0)
        """
        self._left = min(self._room, self._left + (now_s - self._at_s) * self._per_s) - units
        self._at_s = now_s
        return max(0.0, -self._left / self._per_s, self.closed_s(now_s))

    def close(self, seconds: float, now_s: float) -> None:
        """Let nobody ask for that long: the venue has said so."""
        self._closed_until_s = max(self._closed_until_s, now_s + seconds)

    def closed_s(self, now_s: float) -> float:
        """Seconds until anybody may ask again, at or above 0."""
        return max(0.0, self._closed_until_s - now_s)


async def take(bucket: Bucket, units: float) -> None:
    """Wait for one's turn, and for as long as the venue keeps us out by then."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(bucket.reserve(units, loop.time()))
    while closed_s := bucket.closed_s(loop.time()):
        await asyncio.sleep(closed_s)


def backoff_s(failures: int, first_s: float, longest_s: float, generator: np.random.Generator) -> float:
    """Seconds to wait after so many failures in a row: twice as long after each, half of that or more at random."""
    longest = min(longest_s, first_s * 2.0 ** min(failures, 30))
    return float(longest * generator.uniform(0.5, 1.0))
