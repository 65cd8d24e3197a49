"""How far two samples of one feature lie apart, how many independent values they hold, and which p-values count."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

Values = NDArray[np.float32]
Floats = NDArray[np.float64]

_SELF_CONSISTENT: Final = 5.0  # autocorrelations are summed up to this many autocorrelation times


def ks_distance(live: Values, reference: Values) -> float:
    """Largest distance of two empirical distribution functions, 0 to 1.

    >>> ks_distance(np.array([1, 2], np.float32), np.array([2, 3], np.float32))
    0.5
    """
    return distance_beyond(live, reference, 0.0)


def distance_beyond(live: Values, reference: Values, tolerance: float, weights: Floats | None = None) -> float:
    """Largest share of one sample that lies farther than ``tolerance`` from where the other has it, 0 to 1.

    The KS distance with slack along the values: where most rows share one value, a normaliser that wanders by a
    hair moves all of them, and the plain distance is near 1 for a shift of no consequence. Equal to it at 0.

    weights : (reference rows,), what each counts; None: all alike

    >>> distance_beyond(np.array([1, 2], np.float32), np.array([1.1, 2.1], np.float32), 0.25)
    0.0
    >>> distance_beyond(np.array([1], np.float32), np.array([1, 5], np.float32), 0.0, np.array([3.0, 1.0]))
    0.25
    """
    ours = _steps(live, np.ones(live.size))
    theirs = _steps(reference, np.ones(reference.size) if weights is None else weights)
    return max(_excess(ours, theirs, tolerance), _excess(theirs, ours, tolerance))


def autocorrelation_time(values: NDArray[np.floating]) -> float:
    """Rows that one independent value is worth: 1 plus twice the sum of autocorrelations; inf for a constant.

    The sum ends at the first lag that is five times what it has come to.
    Source: Sokal (1997), Monte Carlo methods in statistical mechanics, section 3
    """
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    power = np.abs(np.fft.rfft(centred, 2 * values.size)) ** 2
    covariance = np.fft.irfft(power)[: values.size]
    if covariance[0] <= 1e-12 * values.size:
        return float("inf")
    times = 2.0 * np.cumsum(covariance / covariance[0]) - 1.0
    enough = np.flatnonzero(np.arange(values.size) >= _SELF_CONSISTENT * times)
    return float(max(1.0, times[enough[0]])) if enough.size else float(values.size)


def effective_p(distance: float, live: float, reference: float) -> float:
    """P-value of a KS distance between samples of so many independent values, by Kolmogorov's limit.

    A guess that costs nothing: it takes the autocorrelation time for known, and tells who is worth exchanging blocks.

    >>> round(effective_p(0.5, 10, 10), 3), effective_p(0.0, 10, 10)
    (0.164, 1.0)
    """
    return float(special.kolmogorov(distance * np.sqrt(live * reference / (live + reference))))


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Adjusted p-values: rejecting those up to a level keeps the false-discovery rate at that level.

    Source: Benjamini & Hochberg (1995), Controlling the false discovery rate, section 3

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    order = np.argsort(p_values)[::-1]
    ranks = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum.accumulate(p_values[order] * len(p_values) / ranks)
    return np.minimum(adjusted, 1.0)


def _steps(sample: Values, weights: Floats) -> tuple[Floats, Floats]:
    """A sample in order, and the share of its weight up to each of its values, behind a 0."""
    order = np.argsort(sample)
    return sample[order].astype(np.float64), np.concatenate([[0.0], np.cumsum(weights[order]) / weights.sum()])


def _excess(low: tuple[Floats, Floats], high: tuple[Floats, Floats], tolerance: float) -> float:
    """Largest surplus of ``low`` up to a value over ``high`` up to that value and the tolerance."""
    beside = high[1][np.searchsorted(high[0], low[0] + tolerance, side="right")]
    return float((low[1][1:] - beside).max(initial=0.0))
