"""Background work that may not die unseen: a consumer begins again, what safety rests on ends trading in order."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from market.errors import BackgroundError
from monitoring.metrics import Meters

LOG: Final = logging.getLogger(__name__)
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 10.0


def note_death(meters: Meters, name: str, fault: BaseException | None) -> None:
    """Tell of work that has ended though it should go on, in one line, and count it; no fault: it returned."""
    meters.count("background_task_deaths", task=name)
    LOG.error("background task %s has ended: %s", name, in_one_line(fault))


def in_one_line(fault: BaseException | None) -> str:
    """Kind and text of a fault.

    >>> in_one_line(ValueError("no such", "thing")), in_one_line(None)
    ("ValueError: ('no such', 'thing')", 'it returned')
    """
    return f"{type(fault).__name__}: {' '.join(str(fault).split())}" if fault is not None else "it returned"


async def consume(meters: Meters, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do work that should never end, again after a pause that doubles where it does; until cancelled."""
    pause_s = FIRST_PAUSE_S
    while True:
        began = time.monotonic()
        [ended] = await asyncio.gather(work(), return_exceptions=True)
        note_death(meters, name, ended)
        if time.monotonic() - began > LONGEST_PAUSE_S:
            pause_s = FIRST_PAUSE_S
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def guard(
    meters: Meters, name: str, work: Coroutine[Any, Any, None], stand_down: Callable[[BackgroundError], None]
) -> "asyncio.Task[None]":
    """Begin work that trading may not go on without: where it ends, ``stand_down`` is told; cancelling it is no end."""

    def ended(task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            return
        note_death(meters, name, task.exception())
        stand_down(BackgroundError(f"background task {name} has ended: {in_one_line(task.exception())}"))

    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(ended)
    return task
