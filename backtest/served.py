"""How the intervals and sets did that a run's decisions carried: what was served, judged by the rows' own mids."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.errors import BacktestError


@dataclass(frozen=True)
class Served:
    """Of one run; None where nothing can be said."""

    rows: int  # with an interval whose return came to its end
    coverage: float | None  # share of returns that lay in their interval
    width_bp: float | None  # median, of those that end
    endless: float | None  # share of intervals that let everything in
    set_size: float | None  # mean classes in a set
    spread_bp: float | None  # median deviation of the members' expected returns


def served(decisions: NDArray[np.void], over_ts: NDArray[np.int64], lags: tuple[int, int], inverse: bool) -> Served:
    """What became of a run's intervals.

    A return is that of the mids which the session itself measured it by, see ``modeling.certainty.Outlooks``.

    over_ts : the venue's time up to which each decision's row has heard all, see ``modeling.sampling.heard_until``
    lags : ns from a decision's row to where its return begins, and to where it ends
    Raises BacktestError if the decisions are not of consecutive rows.
    """
    stamps = decisions["row_ts"]
    with_interval = np.flatnonzero(~np.isnan(decisions["lower_bp"]))
    if not with_interval.size or stamps.size < 2:
        return Served(0, None, None, None, None, None)
    if np.unique(np.diff(stamps)).size != 1:
        raise BacktestError("the decisions of a run are not those of consecutive rows")
    begun, ended = (np.searchsorted(over_ts, stamps[with_interval] + lag) for lag in lags)
    judged, mids = with_interval[ended < stamps.size], _mids(decisions)
    start, end = (mids[places[ended < stamps.size] - 1] for places in (begun, ended))
    gross = 1e4 * (end - start) / (end if inverse else start)
    known = np.isfinite(gross)
    low, high = (decisions[name][judged] for name in ("lower_bp", "upper_bp"))
    held = ((low <= gross) & (gross <= high))[known]
    width, sets = decisions["upper_bp"][with_interval] - decisions["lower_bp"][with_interval], decisions["classes"]
    size = sum((sets[with_interval] & bit) > 0 for bit in (1, 2, 4))
    return Served(
        rows=int(known.sum()),
        coverage=float(held.mean()) if held.size else None,
        width_bp=float(np.median(width[np.isfinite(width)])) if np.isfinite(width).any() else None,
        endless=float(np.isinf(width).mean()),
        set_size=float(np.mean(size)),
        spread_bp=float(np.median(decisions["spread_bp"][with_interval])),
    )


def _mids(decisions: NDArray[np.void]) -> NDArray[np.float64]:
    """Mid of the touch that each decision saw, NaN where a side is missing."""
    bid, ask = decisions["best_bid"], decisions["best_ask"]
    return np.where((bid > 0) & (ask > 0), 0.5 * (bid + ask), np.nan)
