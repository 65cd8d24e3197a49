"""Events in the order in which the venue's book took them."""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.borrowing import UNCHECKED
from market.events import Events, venue_ts

MOST_MOVES: Final = 64  # of an event, on average, before a general sort is the faster one


class Tape(NamedTuple):
    """Events, and the order and times in which the venue's book took them."""

    events: Events
    order: NDArray[np.int64]  # indices of events
    times: NDArray[np.int64]  # ns, of the events in that order


def venue_tape(events: Events) -> Tape:
    """The tape in the order of the venue's book; ties keep the order of arrival."""
    times = venue_ts(events)
    order = np.arange(times.size)
    if not _inserted(order, times, MOST_MOVES * times.size):
        times = venue_ts(events)
        rank = np.argsort(times, kind="stable")
        return Tape(events, rank, times[rank])
    return Tape(events, order, times)


@njit(**UNCHECKED)
def _inserted(order, times, most_moves):
    """Sort both by time, each event moved past the later ones just before it; False, unfinished, after too many moves.

    A feed is out of order by a few events, which a general sort does not know.
    """
    moves = 0
    for place in range(1, times.size):
        at, index, hole = times[place], order[place], place
        while hole > 0 and times[hole - 1] > at:
            times[hole], order[hole] = times[hole - 1], order[hole - 1]
            hole -= 1
        times[hole], order[hole] = at, index
        moves += place - hole
        if moves > most_moves:
            return False
    return True
