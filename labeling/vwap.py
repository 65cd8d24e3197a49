"""Prices at which a market traded between two instants."""

import numpy as np
from numpy.typing import NDArray

from labeling.venue_order import Tape
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
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is meant
        if inverse:
            average: Floats = lots / _exact_sum_within(trades["qty"] / trades["price"], *spans)
        else:
            average = _sum_within(trades["qty"] * trades["price"], *spans) / lots
    return average


def _exact_sum_within(amounts: Floats, first: NDArray[np.intp], last: NDArray[np.intp]) -> Floats:
    """Sums that know nothing of what came before them: each amount cut into whole numbers of 2**-32 and of 2**-72.

    The difference of two running sums of floats would hold the rounding of all that was summed before.
    """
    scaled = amounts * 2.0**32
    coarse = np.floor(scaled)
    fine = np.rint((scaled - coarse) * 2.0**40)
    high, low = (_sum_within(part.astype(np.int64), first, last) for part in (coarse, fine))
    total: Floats = high * 2.0**-32 + low * 2.0**-72
    return total


def _sum_within(amounts: NDArray[np.int64], first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.int64]:
    running = np.concatenate((np.zeros(1, np.int64), np.cumsum(amounts)))
    return running[last] - running[first]
