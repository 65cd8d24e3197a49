"""A terminal to look at, and a clock that goes on when it is read."""

import io

from storage.progress import CLEAR


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """It does."""
        return True

    @property
    def told(self) -> list[str]:
        """What was written in place of what stood there, in order, without what only emptied the line."""
        return [line.rstrip("\n") for line in self.getvalue().split(CLEAR) if line]


class Ticking:
    """A clock, seconds, that is a step later each time it is read."""

    def __init__(self, step: float = 1.0) -> None:
        self.now, self._step = 0.0, step

    def __call__(self) -> float:
        """The time."""
        self.now += self._step
        return self.now
