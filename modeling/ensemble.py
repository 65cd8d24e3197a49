"""Ensembles of forecasts of the same rows: the average, and stacking whose weights come from earlier slices alone.

Shapes: M members, N rows, C cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from labeling.targets import NO_CLASS
from market.errors import LeakageError, ModelError, NotEnoughData
from modeling.forecast import CLASSES

Doubles = NDArray[np.float64]
_STEPS: Final = 500
_SETTLED: Final = 1e-9  # largest move of a weight at which the search ends
_SMALLEST: Final = 1e-12


@dataclass(frozen=True)
class SliceForecasts:
    """What the members said of the Test rows of one slice, and what came."""

    key: str  # of the slice
    probabilities: Doubles  # (M, N, C, 3)
    classes: NDArray[np.int8]  # (N, C); NO_CLASS is passed over
    row_ts: NDArray[np.int64]  # (N,) ns UTC
    known_ts: NDArray[np.int64]  # (N, C) the last instant that each label reads, ns UTC

    def __post_init__(self) -> None:
        rows, cells = self.classes.shape
        if self.probabilities.shape[1:] != (rows, cells, CLASSES) or self.known_ts.shape != (rows, cells):
            shapes = f"{self.probabilities.shape}, {self.classes.shape} and {self.known_ts.shape}"
            raise ModelError(f"slice {self.key}: forecasts, classes and instants of shapes {shapes} do not fit")


@dataclass(frozen=True)
class StackingWeights:
    """Weights of the members, and the instant before which they must not be used. ``fit_stacking`` makes them."""

    weights: Doubles  # (C, M), each row sums to 1
    known_ts: int  # the last instant that any label behind them reads, ns UTC


def fit_stacking(earlier: Sequence[SliceForecasts]) -> StackingWeights:
    """For each cell the mixture of members of least log-loss over earlier slices' Test rows.

    Weights are positive and sum to 1, so that a mixture is never bolder than its boldest member. They are found by
    expectation maximisation from equal ones.
    Raises NotEnoughData if there is no slice, or a cell without a label in all of them.
    """
    if not earlier:
        raise NotEnoughData("no earlier slice to learn stacking weights from; average the members instead")
    cells = earlier[0].classes.shape[1]
    weights = np.array([mixture_weights(_given(earlier, cell)) for cell in range(cells)])
    return StackingWeights(weights, max(int(piece.known_ts.max()) for piece in earlier))


def _given(earlier: Sequence[SliceForecasts], cell: int) -> Doubles:
    """The probability that each member gave to what came, shape (M, labelled rows)."""
    parts = []
    for piece in earlier:
        rows = np.flatnonzero(piece.classes[:, cell] != NO_CLASS)
        truth = piece.classes[rows, cell].astype(np.int64) + 1
        parts.append(piece.probabilities[:, rows, cell, truth])
    given = np.concatenate(parts, 1)
    if not given.size:
        raise NotEnoughData(f"no label of cell {cell} in {len(earlier)} earlier slices to learn stacking weights from")
    return np.maximum(given, _SMALLEST)


def mixture_weights(given: Doubles) -> Doubles:
    """Weights, shape (M,), that make ``sum(log(weights @ given))`` largest. given : shape (M, rows), above 0.

    >>> mixture_weights(np.array([[0.9, 0.8, 0.9], [0.3, 0.2, 0.3]])).round(3).tolist()
    [1.0, 0.0]
    """
    weights = np.full(len(given), 1.0 / len(given))
    for _ in range(_STEPS):
        before, weights = weights, weights * (given / (weights @ given)).mean(1)
        if np.abs(weights - before).max() < _SETTLED:
            break
    return np.asarray(weights / weights.sum())


def require_earlier(stacking: StackingWeights, first: int, key: str) -> None:
    """Raise LeakageError unless every label behind the weights was known before ``first``, ns UTC, of slice ``key``."""
    if stacking.known_ts >= first:
        raise LeakageError(
            f"slice {key} begins at {first} ns, labels behind its stacking weights reach {stacking.known_ts}"
        )


def stacked(stacking: StackingWeights, later: SliceForecasts) -> Doubles:
    """The weighted mixture of a later slice's members, shape (N, C, 3).

    Raises LeakageError if a label behind the weights reaches into the slice, ModelError if its members or cells are
    others.
    """
    require_earlier(stacking, int(later.row_ts[0]), later.key)
    members, _, cells, _ = later.probabilities.shape
    if stacking.weights.shape != (cells, members):
        raise ModelError(f"stacking weights of shape {stacking.weights.shape} for {cells} cells and {members} members")
    return np.einsum("cm,mnck->nck", stacking.weights, later.probabilities)
