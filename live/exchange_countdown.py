"""The replay venue's dead man's switch: cancels everything unless the countdown is begun again in time."""

import asyncio
from collections.abc import Callable


class Countdown:
    """One account's, in one symbol; runs on our own time, whatever the tape's speed."""

    def __init__(self, cancel_all: Callable[[], None]) -> None:
        self.begun = 0  # how often
        self._cancel_all = cancel_all
        self._running: asyncio.TimerHandle | None = None

    def begin(self, after_ms: int) -> None:
        """Begin anew; 0 ends it."""
        self.begun += 1
        if self._running is not None:
            self._running.cancel()
        self._running = None
        if after_ms > 0:
            self._running = asyncio.get_running_loop().call_later(after_ms / 1e3, self._cancel_all)
