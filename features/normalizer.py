"""Trailing medians, deviations and ranks of sampled features, compiled and exact.

Each feature keeps its samples twice: in order of arrival, so that the oldest can go, and sorted,
so that a median, a deviation or a rank needs no pass over unordered values.
"""

from typing import Final

import numpy as np
from numba import njit

NONE: Final = 0
MEDIAN_MAD: Final = 1
RANK: Final = 2

MAD_TO_SIGMA: Final = 1.4826  # of a normal distribution, 1 / quantile(3/4)


@njit(cache=True)
def replace_sorted(values, count, leaving, joining):
    """Exchange one value of ``values[:count]``, which is and stays sorted."""
    place = np.searchsorted(values[:count], leaving)
    while place + 1 < count and values[place + 1] < joining:
        values[place] = values[place + 1]
        place += 1
    while place > 0 and values[place - 1] > joining:
        values[place] = values[place - 1]
        place -= 1
    values[place] = joining


@njit(cache=True)
def insert_sorted(values, count, joining):
    """Add one value to ``values[:count]``, which is and stays sorted."""
    place = count
    while place > 0 and values[place - 1] > joining:
        values[place] = values[place - 1]
        place -= 1
    values[place] = joining


@njit(cache=True)
def median_sorted(values, count):
    """Median of ``values[:count]``, sorted and not empty.

    >>> median_sorted(np.array([1.0, 2.0, 4.0, 9.0]), 4)
    3.0
    """
    return 0.5 * (np.float64(values[(count - 1) // 2]) + np.float64(values[count // 2]))


@njit(cache=True)
def deviation_sorted(values, count, median):
    """Median absolute deviation of ``values[:count]``, sorted and not empty, around their median.

    The distances rise from the median to both ends, so that merging the two halves up to the
    middle is enough.

    >>> deviation_sorted(np.array([1.0, 2.0, 4.0, 9.0]), 4, 3.0)
    1.5
    """
    below, above = (count - 1) // 2, (count - 1) // 2 + 1
    lower = distance = 0.0
    for taken in range(count // 2 + 1):
        left = median - values[below] if below >= 0 else np.inf
        right = values[above] - median if above < count else np.inf
        distance = min(left, right)
        if left <= right:
            below -= 1
        else:
            above += 1
        if taken == (count - 1) // 2:
            lower = distance
    return 0.5 * (lower + distance)


@njit(cache=True)
def rank_sorted(values, count, value):
    """Rank of ``value`` among ``values[:count]``, sorted and not empty, scaled to [-1, 1]; ties count half.

    >>> rank_sorted(np.array([0.0, 0.0, 0.0, 1.0]), 4, 0.0)
    -0.25
    """
    below = np.searchsorted(values[:count], value, side="left")
    up_to = np.searchsorted(values[:count], value, side="right")
    return (below + up_to) / count - 1.0


@njit(cache=True)
def clipped_score(value, median, deviation, bound):
    """Distance from the median in deviations, within plus and minus ``bound``.

    >>> clipped_score(5.0, 3.0, 1.0, 8.0), clipped_score(-50.0, 3.0, 1.0, 8.0)
    (2.0, -8.0)
    """
    return min(max((value - median) / deviation, -bound), bound)
