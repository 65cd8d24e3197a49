"""How much of each label is its own: labels that live at the same time tell the same story."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def average_uniqueness(te: NDArray[np.int64], tx: NDArray[np.int64]) -> Floats:
    """Mean over a label's life of 1 / (labels alive), in (0, 1], shape (N,): 1 where no other overlaps it.

    te, tx : shape (N,), ns, te < tx; in any order. The sum is the effective sample size.
    Source: Lopez de Prado (2018), Advances in Financial Machine Learning, chapter 4, in continuous time

    >>> average_uniqueness(np.array([0, 5, 20]), np.array([10, 15, 30])).tolist()
    [0.75, 0.75, 1.0]
    """
    edges = np.concatenate((te, tx))
    order = np.argsort(edges, kind="stable")
    ts = edges[order]
    alive = np.cumsum(np.where(order < te.size, 1, -1))[:-1]
    spans = np.where(alive > 0, np.diff(ts) / np.maximum(alive, 1), 0.0)
    shared = np.concatenate((np.zeros(min(1, ts.size)), np.cumsum(spans)))  # integral of 1 / alive up to each edge
    at = np.empty(ts.size)
    at[order] = shared
    uniqueness: Floats = (at[te.size :] - at[: te.size]) / (tx - te)
    return uniqueness


def effective_size(te: NDArray[np.int64], tx: NDArray[np.int64]) -> float:
    """How many labels that overlap no other would say as much: the sum of the uniqueness."""
    return float(average_uniqueness(te, tx).sum())


def uniqueness_by_horizon(te: NDArray[np.int64], tx: NDArray[np.int64], known: NDArray[np.bool_]) -> Floats:
    """Average uniqueness of each row's label at each of H horizons, shape (N, H); 0 where it is not known.

    te : (N,); tx and known : (N, H). A label that is not known is not alive.
    """
    found = np.zeros(tx.shape)
    for h in range(tx.shape[1]):
        chosen = known[:, h]
        found[chosen, h] = average_uniqueness(te[chosen], tx[chosen, h])
    return found


def mean_weights(uniqueness: Floats, known: NDArray[np.bool_], means: Floats) -> Floats:
    """Weight of each row, shape (N,): the mean over its known labels of uniqueness over ``means``; 0 without a label.

    means : (H,) average uniqueness of all known labels of a horizon, so that weights average 1 over those
    """
    scaled = np.where(known, uniqueness / np.where(means > 0, means, 1.0), 0.0)
    weights: Floats = scaled.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return weights
