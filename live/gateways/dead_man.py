"""The venue's dead man's switch: it cancels what works in our symbol once it has not heard of us for a while."""

import asyncio
from collections.abc import Callable
from typing import Final

from live.gateways.client import VenueClient
from market.errors import NoAnswer

RENEWALS: Final = 3  # within one countdown: two may get lost


async def keep_renewing(client: VenueClient, countdown_s: float, on_silence: Callable[[NoAnswer], None]) -> None:
    """Begin the countdown again and again, until cancelled; what is not answered is tried again.

    Raises OrderRefused if the venue does not take it.
    """
    while True:
        await asyncio.sleep(countdown_s / RENEWALS)
        try:
            await client.cancel_all_after(countdown_s)
        except NoAnswer as silence:
            on_silence(silence)
