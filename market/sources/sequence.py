"""Whether a depth message continues the book: the rule that snapshot and update ids obey."""

from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

# places of a sequence's state, int64
NEWEST: Final = 0  # update id
WAITING: Final = 1
JOINED: Final = 2
PLACES: Final = 3


class Verdict(Enum):
    """What to do with a depth message."""

    APPLY = "it continues the book"
    OLD = "the book already holds it"
    BREAK = "something before it is missing"
    WAIT = "no snapshot to build on yet"


class DepthSequence:
    """The newest update id of one instrument's book, and whether there is a book.

    A message covers the ids in ``(previous, newest]``. The first after a snapshot may reach back
    behind it; each later one must begin exactly where the last one ended.
    """

    def __init__(self, state: NDArray[np.int64] | None = None) -> None:
        """``state``: where it lies, so that a compiled reader sees it as well; an array of its own unless given."""
        self._state = np.zeros(PLACES, np.int64) if state is None else state
        self.waiting = True

    @property
    def newest(self) -> int:
        """Newest update id of the book."""
        return int(self._state[NEWEST])

    @newest.setter
    def newest(self, update_id: int) -> None:
        self._state[NEWEST] = update_id

    @property
    def waiting(self) -> bool:
        """Whether there is no book yet, or none any more."""
        return bool(self._state[WAITING])

    @waiting.setter
    def waiting(self, waits: bool) -> None:
        self._state[WAITING] = waits

    @property
    def joined(self) -> bool:
        """Whether a message has already followed the snapshot."""
        return bool(self._state[JOINED])

    @joined.setter
    def joined(self, follows: bool) -> None:
        self._state[JOINED] = follows

    def admit(self, previous: int, newest: int) -> Verdict:
        """The verdict on a message; after BREAK the sequence waits for a snapshot."""
        if self.waiting:
            return Verdict.WAIT
        if newest <= self.newest:
            return Verdict.OLD
        if previous != self.newest if self.joined else previous > self.newest:
            self.waiting = True
            return Verdict.BREAK
        self.newest, self.joined = newest, True
        return Verdict.APPLY

    def accept_snapshot(self, update_id: int) -> None:
        """Build on a snapshot that holds everything up to ``update_id``."""
        self.newest, self.waiting, self.joined = update_id, False, False
