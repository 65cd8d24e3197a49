"""Check of aligned events: a book rebuilt from them is not crossed."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from assets.checks import MOST_SHOWN, Fact, Verdict
from assets.plots import markdown_table, utc_time
from market.book import BEST_ASK, BEST_BID, Book, new_book
from market.crossing import APART, CROSSED, LOCKED, touch_states
from market.errors import DataError
from market.events import Events
from storage.lake import State

CROSSED_SHARE_LIMIT: Final = 0.001  # of the messages that leave the book open; no real capture that we hold has one


def load_book(state: State | None) -> Book:
    """The book that ``dump_book`` was given, a fresh copy; an empty one where there is no state.

    Raises DataError if the state was written by a version whose books have another shape.
    """
    book = new_book()
    if state is None:
        return book
    for place, array in enumerate(book):
        kept = state.get(f"book_{place}")
        if kept is None or kept.shape != array.shape:
            raise DataError("the closing state of the day before was written by another version: build that day again")
        array[...] = kept
    return book


def dump_book(book: Book) -> dict[str, NDArray[np.int64]]:
    """A book as the lake keeps it, in a partition's closing state."""
    return {f"book_{place}": array for place, array in enumerate(book)}


class CrossedShare:
    """After hardly any message does the open book show a bid at or above an ask.

    The book goes on from that of the day before; without one it is judged from its first snapshot on.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._judged = self._crossed = self._locked = 0
        self._since: int | None = None  # a crossing that is not over
        self._rows: list[tuple[object, ...]] = []

    def add(self, events: Events) -> None:
        """Move the book on; see EventCheck."""
        states = np.empty(events.size, np.uint8)
        touch_states(self._book, np.ascontiguousarray(events), states)
        counts = np.bincount(states, minlength=CROSSED + 1)
        self._judged += int(counts[APART:].sum())
        self._locked += int(counts[LOCKED])
        self._crossed += int(counts[CROSSED])
        judged = np.flatnonzero(states >= APART)
        wrong = states[judged] >= LOCKED
        turns = np.flatnonzero(np.diff(wrong, prepend=self._since is not None))
        for place in judged[turns]:
            self._turn(events[place])

    def verdict(self) -> Verdict:
        """See EventCheck."""
        wrong = self._crossed + self._locked
        share = wrong / self._judged if self._judged else 0.0
        facts: dict[str, Fact] = {
            "judged_messages": self._judged,
            "crossed": self._crossed,
            "locked": self._locked,
            "share": share,
        }
        rows = list(self._rows)
        if self._since is not None:
            bid, ask = (int(self._book[2][place]) for place in (BEST_BID, BEST_ASK))
            rows.append((utc_time(self._since), f"not over: {bid} bid, {ask} ask, ticks", ""))
        page = markdown_table(("from (UTC)", "to (UTC)", "ms"), rows)
        return Verdict("crossed_share", share <= CROSSED_SHARE_LIMIT, facts, {"crossings": page})

    def _turn(self, event: np.void) -> None:
        """A crossing begins or is over."""
        stamp = int(event["ingest_ts"])
        if self._since is None:
            self._since = stamp
            return
        if len(self._rows) < MOST_SHOWN:
            self._rows.append((utc_time(self._since), utc_time(stamp), (stamp - self._since) / 1e6))
        self._since = None
