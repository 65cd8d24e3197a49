"""How long positions last: a profit of one position is one bet, however many rows it spans."""

import numpy as np
from numpy.typing import NDArray


def longest_hold_ns(row_ts: NDArray[np.int64], position: NDArray[np.int64]) -> int:
    """The longest time for which a position kept its sign, ns; 0 where there was none.

    A position that is still open at the last row is held until then. Both of shape (N,), row_ts rising.

    >>> longest_hold_ns(np.array([0, 20, 40, 60]), np.array([0, 3, 1, -1]))
    40
    """
    side = np.sign(position)
    starts = np.flatnonzero(np.diff(side, prepend=0))
    ends = np.append(starts, len(side) - 1)[1:]
    held = (row_ts[ends] - row_ts[starts])[side[starts] != 0]
    return int(held.max(initial=0))
