"""The venue's dead man's switch: it cancels what works in our symbol once it has not heard of us for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from live.gateways.renewing import Insistence, Lapsed, renewed

RENEWALS: Final = 3  # within one countdown: two may get lost


class Guard(NamedTuple):
    """Hears whether the venue watches over our orders."""

    off: Callable[[Lapsed], None]  # the countdown has run out: what rested is cancelled
    on: Callable[[], None]  # it runs again


async def keep_renewing(
    begin: Callable[[], Awaitable[None]], countdown_s: float, insistence: Insistence, guard: Guard
) -> None:
    """Begin the countdown again and again, until cancelled; what is not renewed in time is begun anew.

    Raises OrderRefused if the venue does not take it.
    """
    pause_s = countdown_s / RENEWALS
    while True:
        await asyncio.sleep(pause_s)
        try:
            await renewed(begin, countdown_s - pause_s, insistence)
        except Lapsed as lapse:
            guard.off(lapse)
            pause_s = 0.0
        else:
            guard.on()
            pause_s = countdown_s / RENEWALS
