"""The clock that stamps frames and cuts rows: wall time, or the recorded time of a replay venue."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final, Protocol

import httpx
import msgspec

from market.errors import VenueError

RETRY_S: Final = 0.1  # between two questions to a venue that does not answer yet


class Clock(Protocol):
    """Tells when something happens on our side; durations of our own are taken from ``time.perf_counter_ns``."""

    def now(self) -> int:
        """This instant, ns UTC."""
        ...


class WallClock:
    """The machine's own time."""

    def now(self) -> int:
        """This instant, ns UTC."""
        return time.time_ns()


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """Recorded time, which passes ``speed`` times as fast as ours.

    CLOCK_MONOTONIC is one for all processes of a machine, so venue and runner agree to the nanosecond.
    """

    recorded_ns: int  # ns UTC on the recorder's clock ...
    monotonic_ns: int  # ... at this reading of time.monotonic_ns()
    speed: float

    def now(self) -> int:
        """This instant of the recording, ns UTC; before the tape begins, earlier than its first frame."""
        return self.at(time.monotonic_ns())

    def at(self, monotonic_ns: int) -> int:
        """The instant of the recording, ns UTC, at a reading of the monotonic clock.

        >>> ReplayClock(1_000, 50, 2.0).at(60)
        1020
        """
        return self.recorded_ns + int(self.speed * (monotonic_ns - self.monotonic_ns))

    def due(self, recorded_ns: int) -> int:
        """The reading of the monotonic clock at an instant of the recording, ns.

        >>> ReplayClock(1_000, 50, 2.0).due(1_020)
        60
        """
        return self.monotonic_ns + int((recorded_ns - self.recorded_ns) / self.speed)


def speed_of(clock: Clock) -> float:
    """How fast a clock goes against ours."""
    return clock.speed if isinstance(clock, ReplayClock) else 1.0


async def replay_clock(rest_url: str, patience_s: float) -> ReplayClock | None:
    """The clock of the replay venue at ``rest_url``, whose tape it starts; None where the venue is no replay.

    A venue that nobody has started yet plays its first frame a moment later, so that whoever asked
    has time to subscribe. A venue that cannot be reached yet is asked again for ``patience_s``.

    Raises VenueError if it does not answer by then, or answers with something else than a clock.
    """
    deadline = time.monotonic() + patience_s
    async with httpx.AsyncClient(timeout=5.0) as client:
        while True:
            try:
                answer = await client.get(f"{rest_url}/replay/start")
                break
            except httpx.TransportError as error:
                if time.monotonic() >= deadline:
                    raise VenueError(f"no venue answers at {rest_url}: {error}") from error
            await asyncio.sleep(RETRY_S)
    return _clock_of(answer) if answer.status_code == httpx.codes.OK else None


def _clock_of(answer: httpx.Response) -> ReplayClock:
    try:
        clock = msgspec.json.decode(answer.content, type=ReplayClock)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VenueError(f"{answer.url} answers with no replay clock: {_one_line(answer.text)}") from error
    if not clock.speed > 0.0:
        raise VenueError(f"{answer.url} answers with a clock of speed {clock.speed}")
    return clock


def _one_line(text: str) -> str:
    return " ".join(text.split())[:120]
