"""Funding within the life of a round trip: what of the payments of ``market.funding`` falls between entry and exit."""

import numpy as np
from numpy.typing import NDArray

from market.funding import Payments

Floats = NDArray[np.float64]


def paid_by_longs(
    paid: Payments, instants: tuple[NDArray[np.int64], NDArray[np.int64]], horizon_ns: int, mids: Floats, inverse: bool
) -> Floats:
    """What a long position pays from te (not itself) to te + h, a fraction of its value at the mid of te, shape (N,).

    instants : row_ts, which rises, and te; mids : at te; each (N,)
    0 where no payment falls there, NaN where one does whose mark is not known. Linear: rate x mark / mid; inverse, in
    coin: rate x mid / mark.
    """
    (row_ts, te), total = instants, np.zeros(mids.size)
    slowest = int((te - row_ts).max(initial=0))
    for ts, rate, mark in zip(*paid, strict=True):
        near = slice(*np.searchsorted(row_ts, (ts - horizon_ns - slowest, ts)))
        held = near.start + np.flatnonzero((te[near] < ts) & (ts <= te[near] + horizon_ns))
        total[held] += rate * (mids[held] / mark if inverse else mark / mids[held])
    return total
