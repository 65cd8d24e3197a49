"""Risk against coverage: how often somebody errs among the rows that they are surest of, and the area below."""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def risks(wrong: NDArray[np.bool_], confidence: NDArray[np.floating]) -> Doubles:
    """Share of errors among the k most confident rows, k = 1 to N, shape (N,), in [0, 1].

    Rows of equal confidence come in no order: each counts as their mean, so that who is never surer has a flat curve.
    Both of shape (N,), at least one row.
    Source: Geifman & El-Yaniv (2017), Selective Classification for Deep Neural Networks, equation 2

    >>> risks(np.array([True, False, True, False]), np.array([0.5, 0.9, 0.7, 0.7])).round(3).tolist()
    [0.0, 0.25, 0.333, 0.5]
    """
    order, counts = np.argsort(-confidence, kind="stable"), np.arange(1, len(wrong) + 1)
    ends = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))  # last row of each confidence
    errors = np.cumsum(wrong[order])[ends]
    return np.interp(counts, np.append(0, ends + 1), np.append(0, errors)) / counts


def area_under_risks(wrong: NDArray[np.bool_], confidence: NDArray[np.floating]) -> float:
    """Mean of ``risks``, in [0, 1] (AURC): the lower, the more often who is sure is right.

    >>> area_under_risks(np.array([False, True]), np.array([0.9, 0.6]))
    0.25
    """
    return float(risks(wrong, confidence).mean())
