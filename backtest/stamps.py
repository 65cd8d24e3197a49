"""A venue's stamps of answers, whole milliseconds of its own clock, put where they belong on the tape we received."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.events import LAST, NO_VENUE_TIME, Events, aligned_ts
from market.orders import ACKED, FILL, ORDER_CANCELLED, Reports

_MS: Final = 1_000_000
_NEAR_NS: Final = 10 * _MS  # how far off a stamp may be from its message on our clock
_BY_THE_BOOK: Final = (ACKED, FILL, ORDER_CANCELLED)  # kinds that a message of the tape let happen


def on_our_clock(reports: Reports, tape: Events) -> Reports:
    """The reports with the stamp of the message that each happened at, where that is found; a copy.

    A venue rounds its stamps down, and where it plays a recording its clock lags ours by the way of the frames: an
    arrival at such a stamp meets an earlier message than the order did. Whole milliseconds in the venue's stamp and in
    those of its messages lie a constant apart; the most frequent distance is taken.
    """
    placed = reports.copy()
    chosen = np.isin(reports["kind"], _BY_THE_BOOK)
    stamps = reports["venue_ts"][chosen]
    if not stamps.size or (stamps % _MS).any():
        return placed
    told, clock = _messages(tape)
    apart = _distance(stamps, told, clock)
    place = np.minimum(np.searchsorted(told, stamps - apart), told.size - 1)
    found = told[place] == stamps - apart
    placed["venue_ts"][np.flatnonzero(chosen)[found]] = clock[place[found]]
    return placed


def _messages(tape: Events) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The newest venue stamp and our clock at each message's end, ns, neither ever falling."""
    whole = (tape["flags"] & LAST) != 0
    told = np.where((tape["flags"] & NO_VENUE_TIME) != 0, 0, tape["exchange_ts"] // _MS * _MS)
    return np.maximum.accumulate(told)[whole], np.maximum.accumulate(aligned_ts(tape))[whole]


def _distance(stamps: NDArray[np.int64], told: NDArray[np.int64], clock: NDArray[np.int64]) -> int:
    """The most frequent difference, ns, between stamps and the venue's own times of the messages near them."""
    first, last = (np.searchsorted(clock, stamps + by) for by in (-_NEAR_NS, _NEAR_NS))
    near = [stamp - np.unique(told[a:b]) for stamp, a, b in zip(stamps, first, last, strict=True)]
    apart, counts = np.unique(np.concatenate(near), return_counts=True)
    return int(apart[np.argmax(counts)]) if counts.size else 0
