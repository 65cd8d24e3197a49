"""How far a fit or a search has come, for whoever waits for it."""

import math
import time
from collections.abc import Callable
from typing import Final

from storage.progress import remaining

Say = Callable[[str], None]
Report = Callable[[int, float], None]  # epoch, from 0, and how good it looks
CLOCK: Final = time.monotonic


class Epochs:
    """Hears the epochs of a fit, and says which of at most how many has ended and how long the rest takes."""

    def __init__(self, name: str, most: int, say: Say, clock: Callable[[], float] = CLOCK) -> None:
        self._name, self._most, self._say, self._clock = name, most, say, clock
        self._heard, self._begun = 0, clock()

    def __call__(self, epoch: int, val_nll: float) -> None:
        """Epoch number, from 0, and its validation loss, nats; a fit that is resumed begins with a later one."""
        self._heard += 1
        left = remaining(self._heard, self._heard + self._most - epoch - 1, self._clock() - self._begun)
        self._say(f"{self._name}; epoch {epoch + 1} of {self._most}{left}: {val_nll:.4f} nats on Val")


class Trials:
    """Counts the trials of a study, and says each epoch of the one that is under way."""

    def __init__(self, count: int, say: Say, clock: Callable[[], float] = CLOCK) -> None:
        self._count, self._say, self._clock = count, say, clock
        self._ended, self._before, self._begun = 0, 0, math.nan

    def end(self) -> None:
        """One has ended, now or before this process began."""
        self._ended += 1

    def beside(self, epochs: int, report: Report) -> Report:
        """What hears a trial's epochs and how good each looks, -nats, and hands them on to ``report``."""
        if math.isnan(self._begun):
            self._before, self._begun = self._ended, self._clock()
        left = remaining(self._ended - self._before, self._count - self._before, self._clock() - self._begun)
        heard = Epochs(f"trial {self._ended + 1} of {self._count}{left}", epochs, self._say, self._clock)

        def tell(epoch: int, worth: float) -> None:
            heard(epoch, -worth)
            report(epoch, worth)

        return tell
