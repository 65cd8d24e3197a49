"""Whether a depth message continues the book: the rule that snapshot and update ids obey."""

from enum import Enum


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

    def __init__(self) -> None:
        self.newest = 0
        self.waiting = True
        self.joined = False  # a message has already followed the snapshot

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
