"""The mid of the venue's book over a tape: what fills are marked against after the fact. No policy ever sees it."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.book import BEST_ASK, BEST_BID, Book, apply, is_open
from market.events import LAST, Events
from market.spill import require_room


class MidPath(NamedTuple):
    """The mid from change to change, on the venue's clock (running maximum of aligned_ts)."""

    ts: NDArray[np.int64]  # (N,) ns UTC, never falling
    mid: NDArray[np.float64]  # (N,) ticks, in force from ``ts`` on; NaN while the book is closed
    end: int  # ns UTC, newest instant that the tape speaks of

    def at(self, instants: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mid in force at each instant, ticks; NaN where the book was closed, or before and after the tape.

        >>> MidPath(np.array([10, 20]), np.array([5.0, 6.5]), 30).at(np.array([9, 10, 25, 31])).tolist()
        [nan, 5.0, 6.5, nan]
        """
        place = np.searchsorted(self.ts, instants, side="right") - 1
        known = (place >= 0) & (instants <= self.end)
        return np.where(known, np.append(self.mid, np.nan)[np.where(known, place, self.mid.size)], np.nan)


def mid_path(book: Book, events: Events) -> MidPath:
    """The mid after every whole message that changed it, events taken in the order received.

    book : as it stood before the tape; copied
    Raises DataError if the book runs out of room.
    """
    ladder, spill, head = (array.copy() for array in book)
    ts, mid = np.empty(events.size + 1, np.int64), np.empty(events.size + 1, np.float64)
    tape = np.require(events, requirements=["C", "W"])
    count, end = _follow((ladder, spill, head), tape, ts, mid)
    require_room(head)
    return MidPath(ts[:count].copy(), mid[:count].copy(), int(end))


@njit(cache=True)
def _mid(book):
    return 0.5 * (book[2][BEST_BID] + book[2][BEST_ASK]) if is_open(book) else np.nan


@njit(cache=True)
def _follow(book, events, ts, mid):
    """Write each change; returns how many there were, and the venue's clock at the end."""
    clock, count = np.int64(0), 0
    for i in range(events.size):
        event = events[i]
        clock = max(clock, event.ingest_ts - event.delay_ns)
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
        if not event.flags & LAST:
            continue
        now = _mid(book)
        if count == 0 or (now != mid[count - 1] and not (np.isnan(now) and np.isnan(mid[count - 1]))):
            ts[count], mid[count] = clock, now
            count += 1
    return count, clock
