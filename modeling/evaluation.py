"""Scores of forecasts, cell by cell, in one table that puts a model beside its baselines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market.errors import NotEnoughData
from modeling.baselines import Baseline
from modeling.forecast import CLASSES, Floats, ForecastShape
from modeling.sampling import TrainingSet

Doubles = NDArray[np.float64]
_SMALLEST = 1e-9  # a probability below it is scored as this


@dataclass(frozen=True)
class Prediction:
    """What somebody said of some rows."""

    name: str
    classes: NDArray[np.int8]  # (N, C)
    probabilities: NDArray[np.floating]  # (N, C, 3)


def model_prediction(name: str, shape: ForecastShape, forecasts: Floats) -> Prediction:
    """The likeliest class of every forecast; rows that are not ready say no trade and are for the caller to mask."""
    probabilities = shape.probabilities(forecasts)
    likeliest = np.where(shape.ready(forecasts)[:, None], probabilities.argmax(-1) - 1, 0)
    return Prediction(name, likeliest.astype(np.int8), probabilities)


def baseline_prediction(baseline: Baseline, data: TrainingSet) -> Prediction:
    """What a baseline says of the same rows."""
    return Prediction(baseline.name, baseline.predict(data), baseline.predict_proba(data))


def evaluate(
    data: TrainingSet, scored: NDArray[np.bool_], prior: Prediction, others: Sequence[Prediction]
) -> pl.DataFrame:
    """One row a cell and predictor, over the same rows for all: those where ``scored`` (N, C) holds.

    Columns model, horizon_ms, budget_bp, rows, moved_rows, signals, macro_f1, mcc, nll, nll_skill (against ``prior``),
    hit_rate (on moved rows), gross_edge_bp (mean gross return on the side signalled). Null where nothing can be said.
    Raises NotEnoughData if a cell has no row to score.
    """
    lines = []
    for place, cell in enumerate(data.shape.cells):
        rows = np.flatnonzero(scored[:, place])
        if not rows.size:
            raise NotEnoughData(f"no row of cell {cell.name} to score, of {len(data)}")
        truth = data.classes[rows, place].astype(np.int64)
        gross = data.gross_bp[rows, data.shape.horizon_of_cell[place]].astype(np.float64)
        prior_nll = log_loss(prior.probabilities[rows, place], truth)
        for one in (prior, *others):
            line = {"model": one.name, "horizon_ms": cell.horizon_ms, "budget_bp": cell.budget_bp, "rows": rows.size}
            scores = _scores(one.classes[rows, place], one.probabilities[rows, place], truth, gross)
            lines.append(line | scores | {"nll_skill": 1.0 - float(scores["nll"] or 0.0) / prior_nll})
    return pl.DataFrame(lines, infer_schema_length=None).select(*_COLUMNS)


_COLUMNS = (
    *("model", "horizon_ms", "budget_bp", "rows", "moved_rows", "signals"),
    *("macro_f1", "mcc", "nll", "nll_skill", "hit_rate", "gross_edge_bp"),
)


def _scores(
    classes: NDArray[np.int8], probabilities: NDArray[np.floating], truth: NDArray[np.int64], gross: Doubles
) -> dict[str, float | int | None]:
    counts = confusion(truth, classes.astype(np.int64))
    signalled = classes != 0
    return {
        "moved_rows": int(np.count_nonzero(gross)),
        "signals": int(signalled.sum()),
        "macro_f1": macro_f1(counts),
        "mcc": matthews(counts),
        "nll": log_loss(probabilities, truth),
        "hit_rate": hit_rate(probabilities, gross),
        "gross_edge_bp": float((classes * gross)[signalled].mean()) if signalled.any() else None,
    }


def confusion(truth: NDArray[np.int64], said: NDArray[np.int64]) -> Doubles:
    """Counts of (truth, said), both -1, 0 or +1, shape (3, 3)."""
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (truth + 1, said + 1), 1.0)
    return counts


def macro_f1(counts: Doubles) -> float:
    """Mean F1 of the classes that occur or were said, in [0, 1].

    >>> macro_f1(np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])).__round__(3)
    0.733
    """
    both = counts.sum(0) + counts.sum(1)
    present = both > 0
    return float((2 * counts.diagonal()[present] / both[present]).mean())


def matthews(counts: Doubles) -> float:
    """Correlation between truth and what was said, in [-1, 1]; 0 where either never varies.

    >>> matthews(np.diag([5.0, 5.0, 5.0]))
    1.0
    """
    total, true, said = counts.sum(), counts.sum(1), counts.sum(0)
    covariance = counts.trace() * total - true @ said
    spread = (total**2 - said @ said) * (total**2 - true @ true)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def log_loss(probabilities: NDArray[np.floating], truth: NDArray[np.int64]) -> float:
    """Mean negative log of the probability given to what came, nats. ``truth`` is -1, 0 or +1."""
    given = probabilities[np.arange(len(truth)), truth + 1].astype(np.float64)
    return float(-np.log(np.maximum(given, _SMALLEST)).mean())


def hit_rate(probabilities: NDArray[np.floating], gross: Doubles) -> float | None:
    """Share of the rows that moved where the likelier side was the right one; an even chance counts half."""
    moved = gross != 0
    if not moved.any():
        return None
    leaning = np.sign(probabilities[moved, 2].astype(np.float64) - probabilities[moved, 0])
    return float((1 + leaning * np.sign(gross[moved])).mean() / 2)
