"""What is noted one by one while a row waits, and taken in many at a time: an append costs less than a sum."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

GATHERED: Final = 256  # before they are taken in together
Item = TypeVar("Item")


class Gathering(Generic[Item]):
    """Holds what was noted until there is enough of it, or somebody wants to read."""

    def __init__(self, take_in: Callable[[list[Item]], None]) -> None:
        self._take_in = take_in
        self._waiting: list[Item] = []

    def note(self, item: Item) -> None:
        """One more."""
        self._waiting.append(item)
        if len(self._waiting) >= GATHERED:
            self.flush()

    def flush(self) -> None:
        """Have all taken in, if there is any."""
        if self._waiting:
            gathered, self._waiting = self._waiting, []
            self._take_in(gathered)
