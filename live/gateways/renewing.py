"""Renews what a venue grants for a while: asked again for as long as it lives, and no faster than the venue allows."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import numpy as np

from live.connectors.pace import backoff_s
from market.errors import NoAnswer, RefusedForNow, VenueError

FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 30.0


class Lapsed(VenueError):
    """What a venue granted for a while has run out."""


class Insistence(NamedTuple):
    """How a renewal is asked for again."""

    generator: np.random.Generator  # spreads the retries
    on_silence: Callable[[VenueError], None]  # hears of each time that the venue did not renew


async def renewed(ask: Callable[[], Awaitable[None]], life_s: float, insistence: Insistence) -> None:
    """Ask until the venue has renewed it, seconds to the end of its life at most.

    What is not answered, or refused for now, is asked again: after pauses that double, no shorter than the venue wants.

    Raises Lapsed at the end of its life, OrderRefused if the venue says no for another reason.
    """
    loop, failures = asyncio.get_running_loop(), 0
    end_s = loop.time() + life_s
    while True:
        try:
            return await ask()
        except (NoAnswer, RefusedForNow) as error:
            failures += 1
            insistence.on_silence(error)
            pause_s = max(wait_of(error), backoff_s(failures, FIRST_RETRY_S, LONGEST_RETRY_S, insistence.generator))
        left_s = end_s - loop.time()
        if pause_s >= left_s:
            await asyncio.sleep(max(0.0, left_s))
            raise Lapsed(f"not renewed within {life_s:g} s of life, asked {failures} times")
        await asyncio.sleep(pause_s)


def wait_of(error: VenueError) -> float:
    """Seconds that the venue wants us to wait before we ask again, 0 unless it said so."""
    return error.wait_s if isinstance(error, RefusedForNow) else 0.0
