"""A thread that tells others what we know; a fault of its own ends neither it nor us."""

import logging
import threading
from collections.abc import Callable
from typing import Final

LOG: Final = logging.getLogger(__name__)
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0


class ConsumerThread:
    """Does ``work`` until it returns; where it ends by a fault, that is told, and it begins again after a pause."""

    def __init__(
        self, name: str, work: Callable[[], None], ending: threading.Event, on_death: Callable[[str], None]
    ) -> None:
        """``ending``: set once nothing is to begin again. ``on_death`` is told the name, in the thread."""
        self._name = name
        self._work = work
        self._ending = ending
        self._on_death = on_death
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Return once it has ended."""
        self._thread.join()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self._work()
            except Exception as fault:  # noqa: BLE001 - whatever it was: a consumer may not take itself or us down
                said = " ".join(str(fault).split())
                LOG.error("background task %s has ended: %s: %s", self._name, type(fault).__name__, said)
                self._on_death(self._name)
            if self._ending.wait(pause_s):
                return None
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
