"""How the intervals and sets did that a run's decisions carried: what was served, judged by mids and by labels."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labeling.targets import NO_CLASS
from market.errors import BacktestError

_BITS: Final = (1, 2, 4)  # of a decision's set: down, no trade, up


@dataclass(frozen=True)
class Served:
    """Of one run; None where nothing can be said."""

    rows: int  # with an interval whose return came to its end
    coverage: float | None  # share of returns that lay in their interval
    width_bp: float | None  # median, of those that end
    endless: float | None  # share of intervals that let everything in
    set_size: float | None  # mean classes in a set
    set_coverage: float | None  # share of labelled rows whose class was in their set; None without labels
    spread_bp: float | None  # median deviation of the members' expected returns


class Came(NamedTuple):
    """What the labels say that came, in order of time."""

    row_ts: NDArray[np.int64]  # (N,) ns UTC
    classes: NDArray[np.int8]  # (N,) of the traded cell, NO_CLASS where unknown

    def at(self, row_ts: NDArray[np.int64]) -> NDArray[np.int8]:
        """The classes of some rows; NO_CLASS of one without a label.

        >>> Came(np.array([20, 40]), np.array([1, -1], np.int8)).at(np.array([40, 60])).tolist() == [-1, NO_CLASS]
        True
        """
        _, asked, known = np.intersect1d(row_ts, self.row_ts, assume_unique=True, return_indices=True)
        found = np.full(len(row_ts), NO_CLASS, np.int8)
        found[asked] = self.classes[known]
        return found


NOTHING_CAME: Final = Came(np.empty(0, np.int64), np.empty(0, np.int8))


def served(
    decisions: NDArray[np.void],
    over_ts: NDArray[np.int64],
    lags: tuple[int, int],
    inverse: bool,
    came: Came = NOTHING_CAME,
) -> Served:
    """What became of a run's intervals and sets.

    A return is that of the mids which the session itself measured it by, see ``modeling.certainty.Outlooks``; a class
    is that of the label, by the venue's book.

    over_ts : the venue's time up to which each decision's row has heard all, see ``modeling.training_rows.heard_until``
    lags : ns from a decision's row to where its return begins, and to where it ends
    Raises BacktestError if the decisions are not of consecutive rows.
    """
    stamps = decisions["row_ts"]
    with_interval = np.flatnonzero(~np.isnan(decisions["lower_bp"]))
    if not with_interval.size or stamps.size < 2:
        return Served(0, None, None, None, None, None, None)
    if np.unique(np.diff(stamps)).size != 1:
        raise BacktestError("the decisions of a run are not those of consecutive rows")
    begun, ended = (np.searchsorted(over_ts, stamps[with_interval] + lag) for lag in lags)
    judged, mids = with_interval[ended < stamps.size], _mids(decisions)
    start, end = (mids[places[ended < stamps.size] - 1] for places in (begun, ended))
    gross = 1e4 * (end - start) / (end if inverse else start)
    known = np.isfinite(gross)
    low, high = (decisions[name][judged] for name in ("lower_bp", "upper_bp"))
    held = ((low <= gross) & (gross <= high))[known]
    width, sets = (decisions["upper_bp"] - decisions["lower_bp"])[with_interval], _sets(decisions[with_interval])
    return Served(
        rows=int(known.sum()),
        coverage=float(held.mean()) if held.size else None,
        width_bp=float(np.median(width[np.isfinite(width)])) if np.isfinite(width).any() else None,
        endless=float(np.isinf(width).mean()),
        set_size=float(sets.sum(1).mean()),
        set_coverage=_set_coverage(sets, came.at(stamps[with_interval])),
        spread_bp=float(np.median(decisions["spread_bp"][with_interval])),
    )


def _sets(decisions: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which classes each decision let in, shape (N, 3)."""
    return np.asarray(decisions["classes"][:, None] & np.array(_BITS) > 0)


def _set_coverage(sets: NDArray[np.bool_], classes: NDArray[np.int8]) -> float | None:
    known = np.flatnonzero(classes != NO_CLASS)
    return float(sets[known, classes[known].astype(np.int64) + 1].mean()) if known.size else None


def _mids(decisions: NDArray[np.void]) -> NDArray[np.float64]:
    """Mid of the touch that each decision saw, NaN where a side is missing."""
    bid, ask = decisions["best_bid"], decisions["best_ask"]
    return np.where((bid > 0) & (ask > 0), 0.5 * (bid + ask), np.nan)
