"""How far our clock is from the venue's, learnt again and again: a venue takes no request with a wrong stamp."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal, NamedTuple

from market.errors import VenueError

LOG: Final = logging.getLogger(__name__)
LEARN_S: Final = 300.0  # between two readings at rest
LOOKS: Final = 3  # at the venue's clock, of which the quickest answer counts
STEP_MS: Final = 100.0  # by which our clock leaves the steady one before that is a step
TOLD_MS: Final = 100.0  # changes of the offset that the log tells
Cause = Literal["start", "schedule", "refused", "step"]


class Reading(NamedTuple):
    """The venue's clock, looked at once."""

    offset_ms: float  # ours less the venue's, halfway between question and answer
    round_trip_ms: float
    shift_ms: float  # our clock less the steady one


class VenueClock:
    """Ours less the venue's, ms. Whoever signs asks ``settled`` before, and has it learnt after a refused stamp."""

    def __init__(self, ask: Callable[[], Awaitable[float]], tell: Callable[[float], None]) -> None:
        """``ask`` brings the venue's clock, ms UTC; ``tell`` takes the offset, ms."""
        self.offset_ms = 0.0
        self.counts: dict[str, int] = {"start": 0, "schedule": 0, "refused": 0, "step": 0}
        self._ask = ask
        self._tell = tell
        self._shift_ms = 0.0
        self._learning = asyncio.Lock()
        self.readings = 0

    async def learn(self, cause: Cause, seen: int = -1) -> None:
        """Look at the venue's clock, unless somebody has since there were ``seen`` readings.

        Raises VenueError if the venue does not tell it.
        """
        async with self._learning:
            if seen not in (-1, self.readings):
                return
            best = min([await self._look() for _ in range(LOOKS)], key=lambda reading: reading.round_trip_ms)
            if self.readings and abs(best.offset_ms - self.offset_ms) > TOLD_MS:
                LOG.warning(
                    "our clock less the venue's: %.0f ms, before %.0f (%s)", best.offset_ms, self.offset_ms, cause
                )
            self.offset_ms, self._shift_ms = best.offset_ms, best.shift_ms
            self.readings += 1
            self.counts[cause] += 1
            self._tell(self.offset_ms)

    async def settled(self) -> int:
        """Learn anew if our clock was set since; how many readings there are then. Raises VenueError as ``learn``."""
        if self.readings and abs(_shift_ms() - self._shift_ms) > STEP_MS:
            await self.learn("step", self.readings)
        return self.readings

    async def keep_learning(self, on_silence: Callable[[VenueError], None]) -> None:
        """Learn on a schedule, until cancelled."""
        while True:
            await asyncio.sleep(LEARN_S)
            try:
                await self.learn("schedule")
            except VenueError as silence:
                on_silence(silence)

    async def _look(self) -> Reading:
        asked_s, began_s = time.time(), time.monotonic()
        theirs_ms = await self._ask()
        took_ms = (time.monotonic() - began_s) * 1e3
        return Reading(asked_s * 1e3 + took_ms / 2 - theirs_ms, took_ms, asked_s * 1e3 - began_s * 1e3)


def _shift_ms() -> float:
    """Our clock less the steady one, which moves only where somebody sets ours, ms."""
    return (time.time() - time.monotonic()) * 1e3
