"""Whether one predictor's macro-F1 is above another's on the same rows: a paired bootstrap of blocks of time.

Rows lie densely and their labels overlap, so that neighbours are nearly the same observation; buckets of a second,
drawn in blocks of several horizons, are what is independent enough to count.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.resampling import Interval, block_length, interval_of
from modeling.evaluation import Prediction, macro_f1
from modeling.forecast import CLASSES, Cell
from modeling.training_rows import TrainingSet

Floats = NDArray[np.float64]
BUCKET_NS: Final = 1_000_000_000
_BUCKETS_A_MS: Final = 1e-3
_CELLS: Final = CLASSES * CLASSES


class Comparison(NamedTuple):
    """Macro-F1 of a model less that of another, in one cell."""

    cell: Cell
    model: str
    other: str
    difference: Interval

    @property
    def sentence(self) -> str:
        """The verdict in plain words."""
        found, where = self.difference, f"at {self.cell.name}"
        if found.low is None or found.high is None:
            return f"{self.model} against {self.other} {where}: not enough data to say ({found.note})."
        verb = {"above zero": "beats", "below zero": "is worse than"}.get(found.verdict, "does not beat")
        figures = (
            f"macro-F1 {found.estimate:+.3f}, {100 * found.level:.0f} % interval {found.low:+.3f} to {found.high:+.3f}"
        )
        return f"{self.model} {verb} {self.other} {where}: {figures}."


def compare(
    data: TrainingSet,
    scored: NDArray[np.bool_],
    model: Prediction,
    others: Sequence[Prediction],
    generator: np.random.Generator,
) -> list[Comparison]:
    """The model against each of the others in every cell, on the rows where ``scored`` (N, C) holds."""
    found = []
    for place, cell in enumerate(data.shape.cells):
        rows = np.flatnonzero(scored[:, place])
        truth, ts = data.classes[rows, place].astype(np.int64), data.row_ts[rows]
        counts = {one.name: bucket_counts(ts, truth, one.classes[rows, place]) for one in (model, *others)}
        for other in others:
            pair = np.hstack((counts[model.name], counts[other.name]))
            found.append(Comparison(cell, model.name, other.name, f1_difference(pair, cell.horizon_ms, generator)))
    return found


def bucket_counts(row_ts: NDArray[np.int64], truth: NDArray[np.int64], said: NDArray[np.int8]) -> Floats:
    """Confusion counts of each second that holds a row, shape (buckets, 9); arguments of shape (rows,), in order."""
    _, bucket = np.unique(row_ts // BUCKET_NS, return_inverse=True)
    counts = np.zeros((int(bucket.max(initial=-1)) + 1, _CELLS))
    np.add.at(counts, (bucket, CLASSES * (truth + 1) + said.astype(np.int64) + 1), 1.0)
    return counts


def f1_difference(pair: Floats, horizon_ms: int, generator: np.random.Generator) -> Interval:
    """Interval of the difference of two predictors' macro-F1; ``pair`` holds both their counts, shape (buckets, 18).

    The block follows from the difference of hits, and is never under thrice the horizon.
    """
    hits = np.eye(CLASSES).ravel()
    advantage = (pair[:, :_CELLS] - pair[:, _CELLS:]) @ hits
    return interval_of(_difference, pair, block_length(advantage, horizon_ms * _BUCKETS_A_MS, 0.0), generator)


def _difference(pair: Floats) -> float:
    first, second = pair.sum(0).reshape(2, CLASSES, CLASSES)
    return macro_f1(first) - macro_f1(second)
