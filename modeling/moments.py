"""Mean and variance of the return that class probabilities and the mean return of each class lead to."""

from numba import njit


@njit(cache=True)
def mixture(probabilities, returns):
    """Mean and variance of the return, from class probabilities and the mean return of each class.

    probabilities : shape (3,), of down, none and up; returns : shape (3,), bp.

    >>> import numpy as np
    >>> mixture(np.array([0.25, 0.5, 0.25]), np.array([-2.0, 0.0, 2.0]))
    (0.0, 2.0)
    """
    mean = 0.0
    square = 0.0
    for k in range(3):
        mean += probabilities[k] * returns[k]
        square += probabilities[k] * returns[k] * returns[k]
    return mean, max(square - mean * mean, 0.0)


@njit(cache=True)
def mixtures(probabilities, returns, means, variances):
    """``mixture`` of each row of two tables of shape (rows, 3)."""
    for row in range(means.size):
        means[row], variances[row] = mixture(probabilities[row], returns[row])
