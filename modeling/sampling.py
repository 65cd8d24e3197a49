"""Which rows a model may learn from and be checked on, and what each of them counts."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from labeling.targets import NO_CLASS
from labeling.uniqueness import mean_weights, uniqueness_by_horizon
from market.units import NS_PER_MS
from modeling.forecast import CLASSES
from modeling.training_rows import TrainingSet

Doubles = NDArray[np.float64]


def ready_rows(valid: NDArray[np.bool_], receptive_rows: int) -> NDArray[np.bool_]:
    """Where the last ``receptive_rows`` rows are all valid: where a forecaster's ready is 1.

    >>> ready_rows(np.array([True, True, False, True, True, True]), 2).tolist()
    [False, True, False, False, True, True]
    """
    places = np.arange(len(valid))
    newest_invalid = np.maximum.accumulate(np.where(valid, -1, places)) if len(valid) else places
    return places - newest_invalid >= receptive_rows


def learnable(data: TrainingSet, receptive_rows: int) -> NDArray[np.bool_]:
    """Which classes a model can be asked for and checked on, shape (N, C)."""
    return ready_rows(data.valid, receptive_rows)[:, None] & (data.classes != NO_CLASS)


def class_counts(data: TrainingSet, receptive_rows: int) -> NDArray[np.int64]:
    """Learnable rows of each class, (C, 3); those of parts add up."""
    return counts_of(data, learnable(data, receptive_rows))


def counts_of(data: TrainingSet, usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows of each class where ``usable`` (N, C) holds, (C, 3)."""
    kinds = np.arange(CLASSES, dtype=np.int8) - 1
    return np.stack([((data.classes == kind) & usable).sum(0) for kind in kinds], 1)


def weighted_by_uniqueness(data: TrainingSet) -> TrainingSet:
    """The same rows, each weighing what its labels say that the labels beside them do not; 1 on average.

    A row of which no label is known keeps its weight: it teaches nothing either way.
    """
    found = uniqueness_of(data)
    return weighted(data, found, found.sum(axis=0) / np.maximum(np.isfinite(data.gross_bp).sum(axis=0), 1))


def uniqueness_of(data: TrainingSet) -> Doubles:
    """Average uniqueness of each row's label at each horizon, (N, H); 0 where it is not known."""
    spans = np.array(data.shape.horizons_ms, np.int64) * NS_PER_MS
    return uniqueness_by_horizon(data.known_ts[:, 0] - spans[0], data.known_ts, np.isfinite(data.gross_bp))


def weighted(data: TrainingSet, uniqueness: Doubles, means: Doubles) -> TrainingSet:
    """The rows weighing their uniqueness (N, H) over its means (H,) in all of Train; without a label as before."""
    known = np.isfinite(data.gross_bp)
    weights = mean_weights(uniqueness, known, means)
    return replace(data, weights=np.where(known.any(axis=1), weights, data.weights).astype(np.float32))
