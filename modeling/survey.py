"""What training has to know of all rows before its first step: class counts, returns, weights and chunks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.regimes import HIGH_VOLATILITY, REGIME_NAMES
from market.errors import NotEnoughData
from modeling.forecast import CLASSES, ForecastShape
from modeling.sampling import class_counts, counts_of, learnable
from modeling.training_parts import TrainingSource
from modeling.training_rows import TrainingSet


@dataclass
class Survey:
    """What training has to know of all rows before the first step; gathered part by part."""

    shape: ForecastShape
    rows: int
    counts: NDArray[np.int64]  # (C, 3) learnable rows by class
    sums: NDArray[np.float64]  # (H, 3) gross return by class of the anchor cell, bp
    squares: NDArray[np.float64]  # (H,) of those returns
    known: NDArray[np.int64]  # (H, 3) how many those are
    weights: NDArray[np.float64]  # (regimes,) total weight of learnable rows
    cell_weights: NDArray[np.float64]  # (regimes, C) of those with a label of the cell
    chunks: list[int]  # of each part

    def batches(self, batch_chunks: int) -> int:
        """Batches of an epoch; none holds chunks of two parts."""
        return sum(-(-count // batch_chunks) for count in self.chunks)

    def batch_weight(self, batch_chunks: int, high_volatility_share: float) -> NDArray[np.float64]:
        """What the rows of a batch weigh on average over an epoch, (C,), within the regimes' cap."""
        factors = np.ones(len(self.weights))
        factors[HIGH_VOLATILITY] = high_volatility_factor(self.weights, high_volatility_share)
        return factors @ self.cell_weights / self.batches(batch_chunks)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Class shares, (C, 3)."""
        return self.counts / self.counts.sum(1, keepdims=True)

    @property
    def mean_returns_bp(self) -> NDArray[np.float64]:
        """Mean gross return of each class, (H, 3); 0 where a class has none."""
        return self.sums / np.maximum(self.known, 1)

    @property
    def deviation_bp(self) -> NDArray[np.float64]:
        """Standard deviation of gross returns, (H,): the unit of the return loss."""
        count = np.maximum(self.known.sum(1), 1)
        variance = self.squares / count - (self.sums.sum(1) / count) ** 2
        return np.sqrt(np.maximum(variance, 1e-12))


def survey(source: TrainingSource, receptive_rows: int, chunk_rows: int) -> Survey:
    """One pass over all parts.

    Raises NotEnoughData if none of its rows has a class.
    """
    cells, horizons, regimes = len(source.shape.cells), len(source.shape.horizons_ms), len(REGIME_NAMES)
    zeros = np.zeros((cells, CLASSES), np.int64), np.zeros((horizons, CLASSES)), np.zeros(horizons)
    known, weights = np.zeros((horizons, CLASSES), np.int64), (np.zeros(regimes), np.zeros((regimes, cells)))
    found = Survey(source.shape, 0, *zeros, known, *weights, [])
    for place in range(len(source)):
        _count(found, source.part(place), receptive_rows, chunk_rows)
    _require_rows(found.counts, found.rows, receptive_rows)
    return found


def _count(found: Survey, data: TrainingSet, receptive_rows: int, chunk_rows: int) -> None:
    usable = learnable(data, receptive_rows)
    found.rows += len(data)
    found.counts += counts_of(data, usable)
    for horizon, anchor in enumerate(data.shape.anchors):
        known = usable[:, anchor] & np.isfinite(data.gross_bp[:, horizon])
        gross = data.gross_bp[known, horizon].astype(np.float64)
        classes = data.classes[known, anchor].astype(np.int64) + 1
        found.sums[horizon] += np.bincount(classes, gross, CLASSES)
        found.known[horizon] += np.bincount(classes, minlength=CLASSES)
        found.squares[horizon] += gross @ gross
    weight = data.weights * usable.any(1)
    found.weights += np.bincount(data.regimes, weight, len(REGIME_NAMES))
    for cell, labelled in enumerate(usable.T):
        found.cell_weights[:, cell] += np.bincount(data.regimes, data.weights * labelled, len(REGIME_NAMES))
    found.chunks.append(len(chunk_starts(usable, receptive_rows, chunk_rows)))


def chunk_starts(usable: NDArray[np.bool_], receptive_rows: int, chunk_rows: int) -> list[int]:
    """The first forecast row of every chunk that has anything to learn, one behind the other from the first row on."""
    firsts = range(receptive_rows - 1, len(usable), chunk_rows)
    return [first for first in firsts if usable[first : first + chunk_rows].any()]


def high_volatility_factor(weights: NDArray[np.float64], most: float) -> float:
    """What rows of high volatility are multiplied by so that they hold at most a share of the total weight.

    weights : (regimes,) total weight by regime

    >>> round(high_volatility_factor(np.array([0.0, 3.0, 1.0, 6.0]), 0.4), 6)
    0.444444
    """
    high, rest = weights[HIGH_VOLATILITY], weights.sum() - weights[HIGH_VOLATILITY]
    if high <= most * (high + rest) or rest == 0:
        return 1.0
    return float(most * rest / ((1 - most) * high))


def require_classes(data: TrainingSet, receptive_rows: int) -> None:
    """Raise NotEnoughData unless every cell has rows of all three classes to learn from."""
    counts = class_counts(data, receptive_rows)
    _require_rows(counts, len(data), receptive_rows)
    require_every_class(counts, data.shape)


def _require_rows(counts: NDArray[np.int64], rows: int, receptive_rows: int) -> None:
    if not counts.any():
        raise NotEnoughData(f"none of {rows} rows is labelled and follows {receptive_rows} valid rows")


def require_every_class(counts: NDArray[np.int64], shape: ForecastShape) -> None:
    """Raise NotEnoughData unless every cell has rows of all three classes; counts (C, 3). Learning needs that.

    Checking does not: Val may be too short for a rare class, and its log-loss says as much without it.
    """
    for cell, (down, no_trade, up) in zip(shape.cells, counts.tolist(), strict=True):
        if not (down and no_trade and up):
            raise NotEnoughData(f"cell {cell.name} lacks a class: {down} rows down, {no_trade} no trade, {up} up")
