"""What happened in each ten seconds of a day, and how late messages were, in constant memory: the checks' pictures."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from assets.checks import DAY_NS, day_start
from assets.plots import MOST_POINTS, line_chart
from market.events import Events

SLOT_NS: Final = 10_000_000_000
SLOTS: Final = DAY_NS // SLOT_NS
BIN_NS: Final = 100_000  # of the day's histogram; a percentile is the upper edge of its bin
BINS: Final = 600_000  # up to 60 s; whatever is later lies in one more
_COARSE_NS: Final = np.geomspace(BIN_NS, BIN_NS * BINS, 140)  # upper edges of a slot's bins: 10 % apart


def slots_of(events: Events, date: str) -> NDArray[np.int64]:
    """Number of the slot that each event arrived in; the first or last of the day for one outside it."""
    return np.clip((events["ingest_ts"] - day_start(date)) // SLOT_NS, 0, SLOTS - 1)


def covered(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """First slots of at most MOST_POINTS equal groups from the first slot that is not empty, and slots in a group."""
    used = np.flatnonzero(counts)
    if not used.size:
        return np.empty(0, np.int64), 1
    group = -(-(int(used[-1]) + 1 - int(used[0])) // MOST_POINTS)
    return np.arange(int(used[0]), int(used[-1]) + 1, group), group


def chart_of_counts(title: str, date: str, counts: NDArray[np.int64]) -> str:
    """A chart of how many events a second there were, "none" if there were none.

    counts : shape (SLOTS,)
    """
    starts, group = covered(counts)
    if not starts.size:
        return "none"
    sums = np.add.reduceat(counts[: starts[-1] + group], starts)
    return line_chart(title, day_start(date) + starts * SLOT_NS, {"events": sums / (group * SLOT_NS / 1e9)})


class DelayHistogram:
    """Delays in bins of 0.1 ms over the day, and in coarser ones over each ten seconds; a negative one counts as 0."""

    def __init__(self, date: str) -> None:
        self._date = date
        self._fine = np.zeros(BINS + 1, np.int64)
        self._slots = np.zeros((SLOTS, _COARSE_NS.size + 1), np.int32)

    def add(self, events: Events) -> None:
        """Count the delays of these events."""
        delays = np.maximum(events["delay_ns"], 0)
        self._fine += np.bincount(np.minimum(delays // BIN_NS, BINS), minlength=BINS + 1)
        coarse = np.searchsorted(_COARSE_NS, delays)
        np.add.at(self._slots, (slots_of(events, self._date), coarse), 1)

    @property
    def count(self) -> int:
        """How many delays there are."""
        return int(self._fine.sum())

    def percentile_ms(self, percent: float) -> float:
        """Upper edge of the bin that holds this percentile, ms: at most 0.1 too much; NaN of nothing, inf above 60 s.

        >>> import numpy as np; from market.events import empty_events
        >>> events = empty_events(100); events["delay_ns"] = np.arange(100) * 1_000_000
        >>> histogram = DelayHistogram("1970-01-01"); histogram.add(events)
        >>> histogram.percentile_ms(95)
        94.1
        """
        if not self.count:
            return float("nan")
        place = int(np.searchsorted(np.cumsum(self._fine), np.ceil(percent / 100 * self.count)))
        return (place + 1) * BIN_NS / 1e6 if place < BINS else float("inf")

    def over_time(self, percents: tuple[float, ...]) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
        """Starts of the slots covered, ns, and one line of ms for each percentile, within 10 %; NaN where empty."""
        starts, group = covered(self._slots.sum(axis=1))
        if not starts.size:
            return starts, [np.empty(0) for _ in percents]
        below = np.cumsum(np.add.reduceat(self._slots[: starts[-1] + group], starts, axis=0), axis=1)
        total, edges = below[:, -1:], np.append(_COARSE_NS, np.inf) / 1e6
        lines = [
            np.where(total[:, 0] > 0, edges[np.argmax(below >= np.ceil(percent / 100 * total), axis=1)], np.nan)
            for percent in percents
        ]
        return day_start(self._date) + starts * SLOT_NS, lines
