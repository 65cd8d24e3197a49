"""A venue's stamps of answers, whole milliseconds of its own clock, put where they belong on the tape we received."""

from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.events import LAST, NO_VENUE_TIME, Events, aligned_ts
from market.orders import ACKED, FILL, ORDER_CANCELLED, Reports

Stamps = NDArray[np.int64]

_MS: Final = 1_000_000
_NEAR_NS: Final = 10 * _MS  # how far off a stamp may be from its message on our clock
_NEIGHBOURS: Final = 30  # stamps to either side that say how far apart the two clocks are at a stamp
_BY_THE_BOOK: Final = (ACKED, FILL, ORDER_CANCELLED)  # kinds that a message of the tape let happen


def on_our_clock(reports: Reports, tape: Events) -> Reports:
    """The reports with the stamp of the message that each happened at, where that is found; a copy.

    A venue rounds its stamps down, and where it plays a recording its clock lags ours by the way of the frames: an
    arrival at such a stamp meets an earlier message than the order did. Whole milliseconds in the venue's stamp and in
    those of its messages lie a distance apart that only drifts, as clocks do: of the distances that a stamp has to the
    messages near it, the most frequent among its neighbours is taken.
    """
    placed = reports.copy()
    chosen = np.isin(reports["kind"], _BY_THE_BOOK)
    stamps, of_stamp = np.unique(reports["venue_ts"][chosen], return_inverse=True)
    if not stamps.size or (stamps % _MS).any():
        return placed
    told, clock = _messages(tape)
    wanted = stamps - _distances(stamps, told, clock)
    place = np.minimum(np.searchsorted(told, wanted), told.size - 1)
    found = told[place] == wanted
    placed["venue_ts"][chosen] = np.where(found, clock[place], stamps)[of_stamp]
    return placed


def _messages(tape: Events) -> tuple[Stamps, Stamps]:
    """The newest venue stamp and our clock at each message's end, ns, neither ever falling."""
    whole = (tape["flags"] & LAST) != 0
    told = np.where((tape["flags"] & NO_VENUE_TIME) != 0, 0, tape["exchange_ts"] // _MS * _MS)
    return np.maximum.accumulate(told)[whole], np.maximum.accumulate(aligned_ts(tape))[whole]


def _distances(stamps: Stamps, told: Stamps, clock: Stamps) -> Stamps:
    """How far each stamp, rising, lies from the venue's own time of its message, ns; 0 where no message is near."""
    first, last = (np.searchsorted(clock, stamps + by) for by in (-_NEAR_NS, _NEAR_NS))
    near = [(stamp - np.unique(told[a:b])).tolist() for stamp, a, b in zip(stamps, first, last, strict=True)]
    counts = Counter[int]()
    for own in near[:_NEIGHBOURS]:
        counts.update(own)
    found = np.zeros(stamps.size, np.int64)
    for place, own in enumerate(near):
        if place + _NEIGHBOURS < len(near):
            counts.update(near[place + _NEIGHBOURS])
        if place > _NEIGHBOURS:
            counts.subtract(near[place - _NEIGHBOURS - 1])
        found[place] = max(own, key=counts.__getitem__, default=0)
    return found
