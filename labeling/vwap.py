"""Prices at which a market traded between two instants."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.replay import Tape
from market.events import TRADE

Floats = NDArray[np.float64]


def traded_vwap(tape: Tape, after: NDArray[np.int64], until: NDArray[np.int64], inverse: bool) -> Floats:
    """Price in ticks at which all that traded in (after, until] is worth what it traded for; NaN without a trade.

    The average by lots; harmonic for inverse contracts, as their value is.
    """
    traded = tape.events["kind"][tape.order] == TRADE
    trades, times = tape.events[tape.order[traded]], tape.times[traded]
    spans = (np.searchsorted(times, after, side="right"), np.searchsorted(times, until, side="right"))
    lots = _sum_within(trades["qty"], *spans)
    value = _sum_within(trades["qty"] / trades["price"] if inverse else trades["qty"] * trades["price"], *spans)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is meant
        average: Floats = lots / value if inverse else value / lots
    return average


def _sum_within(amounts: NDArray[Any], first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[Any]:
    running = np.concatenate((np.zeros(1, amounts.dtype), np.cumsum(amounts)))
    return running[last] - running[first]
