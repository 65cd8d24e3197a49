"""How fast two clocks drift apart, from the lower envelope of their difference."""

from typing import Final

import numpy as np
from numba import njit

SLOPE_BINS: Final = 60  # minima that the envelope is drawn under
MAX_SLOPE: Final = 200e-6  # ns per ns; no crystal in service drifts by more
_NOTHING: Final = np.iinfo(np.int64).max


@njit(cache=True, _nrt=True)
def envelope_slope(minima, newest, width_ns):
    """Slope of the line under all minima that lies closest to them, within +-MAX_SLOPE; 0 for fewer than three.

    minima : shape (SLOPE_BINS,), ns; the bin of number n is at n % SLOPE_BINS, int64's largest where empty
    newest : number of the newest bin
    width_ns : width of a bin

    That line is the edge of the lower convex hull over the mean of the bins' times.
    Source: Moon, Skelly & Towsley (1999), "Estimation and removal of clock skew from network
    delay measurements", section 4.
    """
    times, heights = np.empty(SLOPE_BINS), np.empty(SLOPE_BINS)
    corners, filled, total = 0, 0, 0
    for number in range(max(np.int64(0), newest - SLOPE_BINS + 1), newest + 1):
        minimum = minima[number % SLOPE_BINS]
        if minimum == _NOTHING:
            continue
        filled, total = filled + 1, total + number
        while corners >= 2 and _lies_above(times, heights, corners - 1, number, minimum):
            corners -= 1
        times[corners], heights[corners] = number, minimum
        corners += 1
    if filled < 3:
        return 0.0
    edge = 1
    while times[edge] * filled < total:
        edge += 1
    rise = (heights[edge] - heights[edge - 1]) / (times[edge] - times[edge - 1])
    return min(max(rise / width_ns, -MAX_SLOPE), MAX_SLOPE)


@njit(cache=True)
def _lies_above(times, heights, corner, time, height):
    """Whether a corner lies on or above the straight line from the one before it to a new point."""
    run, rise = times[corner] - times[corner - 1], heights[corner] - heights[corner - 1]
    return rise * (time - times[corner - 1]) >= (height - heights[corner - 1]) * run
