"""Entry latencies of rows as a journal's orders met them, in place of one constant for all."""

import numpy as np
from numpy.typing import NDArray

from market.latency import LatencyTable, draw_all


def drawn_latency_ns(
    table: LatencyTable, seed: int, row_ts: NDArray[np.int64], rates: NDArray[np.int64]
) -> NDArray[np.int64]:
    """From each row to its entry, ns, shape (N,): the inference and order-entry legs of one drawn order, together.

    A draw depends on (seed, row_ts, rate) alone: the same in every rerun, whatever rows stand beside it and in which
    order. Rows within ``table.spacing_ns`` meet the same order, and the following ones those that followed it.
    row_ts : (N,) ns UTC; rates : (N,) messages per second known at each row

    >>> from market.latency import Legs, constant
    >>> drawn_latency_ns(constant(Legs(9, 1, 10, 7)), 3, np.array([5, 6]), np.array([0, 80])).tolist()
    [11, 11]
    """
    legs = draw_all(table, seed, np.ascontiguousarray(row_ts), np.ascontiguousarray(rates))
    return np.asarray(legs[:, 1] + legs[:, 2])
