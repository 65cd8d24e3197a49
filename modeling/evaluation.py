"""Scores of forecasts, cell by cell, in one table that puts a model beside its baselines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.regimes import REGIME_NAMES
from market.errors import NotEnoughData
from modeling.forecast import CLASSES, Cell, Floats, ForecastShape
from modeling.risk_coverage import area_under_risks, risks
from modeling.training_rows import TrainingSet
from modeling.uncertainty import calibration_error

Doubles = NDArray[np.float64]
_SMALLEST = 1e-9  # a probability below it is scored as this
SHARES_KEPT: Final = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the most confident rows


class Predictor(Protocol):
    """What a baseline is to a score."""

    @property
    def name(self) -> str:
        """Of the predictor, in tables."""

    def predict(self, data: TrainingSet) -> NDArray[np.int8]:
        """Classes, shape (N, C)."""

    def predict_proba(self, data: TrainingSet) -> Doubles:
        """Probabilities of the classes, shape (N, C, 3)."""


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


def likeliest(name: str, probabilities: NDArray[np.floating]) -> Prediction:
    """Who gives these probabilities says the likeliest class of every row."""
    return Prediction(name, (probabilities.argmax(-1) - 1).astype(np.int8), probabilities)


def baseline_prediction(baseline: Predictor, data: TrainingSet) -> Prediction:
    """What a baseline says of the same rows."""
    return Prediction(baseline.name, baseline.predict(data), baseline.predict_proba(data))


class _Asked(NamedTuple):
    """The scored rows of one cell and what came of them."""

    cell: Cell
    place: int  # of the cell
    rows: NDArray[np.int64]
    truth: NDArray[np.int64]
    gross_bp: Doubles
    cost_bp: Doubles

    def of(self, one: Prediction) -> tuple[NDArray[np.int8], NDArray[np.floating]]:
        """What somebody said of them: classes and probabilities."""
        return one.classes[self.rows, self.place], one.probabilities[self.rows, self.place]

    def among(self, kept: NDArray[np.int64]) -> "_Asked":
        """Some of them, by their places among them."""
        return self._replace(
            rows=self.rows[kept],
            truth=self.truth[kept],
            gross_bp=self.gross_bp[kept],
            cost_bp=self.cost_bp[kept],
        )

    def line(self, one: Prediction, prior: Prediction) -> dict[str, Any]:
        """A line of scores."""
        scores = _scores(*self.of(one), self.truth, (self.gross_bp, self.cost_bp))
        skill = 1.0 - float(scores["nll"] or 0.0) / log_loss(self.of(prior)[1], self.truth)
        where = {"model": one.name, "horizon_ms": self.cell.horizon_ms, "budget_bp": self.cell.budget_bp}
        return where | {"rows": self.rows.size} | scores | {"nll_skill": skill}


def _cells(data: TrainingSet, scored: NDArray[np.bool_]) -> Iterator[_Asked]:
    """The scored rows of every cell. Raises NotEnoughData if a cell has none."""
    for place, cell in enumerate(data.shape.cells):
        rows = np.flatnonzero(scored[:, place])
        if not rows.size:
            raise NotEnoughData(f"no row of cell {cell.name} to score, of {len(data)}")
        horizon = data.shape.horizon_of_cell[place]
        gross, cost = (array[rows, horizon].astype(np.float64) for array in (data.gross_bp, data.cost_bp))
        yield _Asked(cell, place, rows, data.classes[rows, place].astype(np.int64), gross, cost)


def evaluate(
    data: TrainingSet, scored: NDArray[np.bool_], prior: Prediction, others: Sequence[Prediction]
) -> pl.DataFrame:
    """One row a cell and predictor, over the same rows for all: those where ``scored`` (N, C) holds.

    Columns model, horizon_ms, budget_bp, rows, moved_rows, signals, macro_f1, mcc, nll, nll_skill (against ``prior``),
    ece, hit_rate (on moved rows), gross_edge_bp (mean gross return on the side signalled), breakeven_fee_bp (a leg),
    p_t (see ``complete_correct``), aurc (see ``modeling.risk_coverage``). Null where nothing can be said.
    Raises NotEnoughData if a cell has no row to score.
    """
    lines = [asked.line(one, prior) for asked in _cells(data, scored) for one in (prior, *others)]
    return pl.DataFrame(lines, infer_schema_length=None).select(*_COLUMNS)


_PLACE: Final = ("model", "horizon_ms", "budget_bp")
_SCORES: Final = (
    *("moved_rows", "signals", "macro_f1", "mcc", "nll", "nll_skill", "ece"),
    *("hit_rate", "gross_edge_bp", "breakeven_fee_bp", "p_t"),
)
_COLUMNS: Final = (*_PLACE, "rows", *_SCORES, "aurc")


def evaluate_regimes(
    data: TrainingSet, scored: NDArray[np.bool_], prior: Prediction, others: Sequence[Prediction]
) -> pl.DataFrame:
    """``evaluate`` on the rows of each regime that every cell has a row of, the regime's name in the first column.

    Raises NotEnoughData if no regime has a row of every cell.
    """
    tables = []
    for code, name in REGIME_NAMES.items():
        inside = scored & (data.regimes == code)[:, None]
        if inside.any(0).all():
            table = evaluate(data, inside, prior, others)
            tables.append(table.select(pl.lit(name).alias("regime"), *table.columns))
    if not tables:
        raise NotEnoughData(f"no regime has a row of every cell among {len(data)} rows")
    return pl.concat(tables, how="vertical_relaxed")


def evaluate_coverage(
    data: TrainingSet, scored: NDArray[np.bool_], prior: Prediction, others: Sequence[Prediction]
) -> pl.DataFrame:
    """Scores among the most confident rows of each cell; a line a predictor, cell and share kept.

    Columns of ``evaluate`` with share and error (share of rows where something else came) in place of aurc. Confidence
    is the probability of the likeliest class; equal ones keep their order of time, so that a predictor which is never
    surer keeps its earliest rows.
    """
    lines = []
    for asked in _cells(data, scored):
        for one in (prior, *others):
            said, probabilities = asked.of(one)
            order = np.argsort(-probabilities.max(-1), kind="stable")
            for share in SHARES_KEPT:
                kept = np.sort(order[: max(1, round(share * len(order)))])
                error = float((said[kept] != asked.truth[kept]).mean())
                lines.append(asked.among(kept).line(one, prior) | {"share": share, "error": error})
    return pl.DataFrame(lines, infer_schema_length=None).select(*_PLACE, "share", "rows", "error", *_SCORES)


def evaluate_risks(data: TrainingSet, scored: NDArray[np.bool_], predictions: Sequence[Prediction]) -> pl.DataFrame:
    """Risk-coverage curves: columns model, horizon_ms, budget_bp, percent (1 to 100 of the rows) and error.

    An error is that share of the most confident rows where something else came, see ``modeling.risk_coverage.risks``.
    """
    percents, tables = np.arange(1, 101), []
    for asked in _cells(data, scored):
        places = np.maximum(1, np.round(percents * asked.rows.size / 100)).astype(np.int64) - 1
        for one in predictions:
            said, probabilities = asked.of(one)
            error = risks(said != asked.truth, probabilities.max(-1))[places]
            where = (pl.lit(value).alias(name) for name, value in zip(_PLACE, (one.name, *asked.cell), strict=True))
            tables.append(pl.DataFrame({"percent": percents, "error": error}).select(*where, "percent", "error"))
    return pl.concat(tables)


def _scores(
    classes: NDArray[np.int8],
    probabilities: NDArray[np.floating],
    truth: NDArray[np.int64],
    returns: tuple[Doubles, Doubles],
) -> dict[str, float | int | None]:
    """``returns`` are gross return and cost of the round trip, bp."""
    gross, cost = returns
    counts = confusion(truth, classes.astype(np.int64))
    signalled = classes != 0
    return {
        "moved_rows": int(np.count_nonzero(gross)),
        "signals": int(signalled.sum()),
        "macro_f1": macro_f1(counts),
        "mcc": matthews(counts),
        "nll": log_loss(probabilities, truth),
        "ece": calibration_error(probabilities, truth),
        "hit_rate": hit_rate(probabilities, gross),
        "gross_edge_bp": float((classes * gross)[signalled].mean()) if signalled.any() else None,
        "breakeven_fee_bp": breakeven_fee_bp(classes, gross, cost),
        "p_t": complete_correct(classes, truth),
        "aurc": area_under_risks(classes != truth, probabilities.max(-1)),
    }


def breakeven_fee_bp(classes: NDArray[np.int8], gross_bp: Doubles, cost_bp: Doubles) -> float | None:
    """Fee a leg at which trading every signal for its horizon breaks even, bp; below 0 where spread and slippage alone
    cost more than the edge. None without a signal whose cost is known.

    >>> breakeven_fee_bp(np.array([1, 0, -1], np.int8), np.array([3.0, 9.0, -5.0]), np.array([1.0, 1.0, 2.0]))
    1.25
    """
    net = (classes * gross_bp - cost_bp)[(classes != 0) & np.isfinite(cost_bp)]
    return float(net.mean()) / 2 if net.size else None


def complete_correct(classes: NDArray[np.int8], truth: NDArray[np.int64]) -> float | None:
    """p_T: share of complete transactions that are right at both ends, in [0, 1]; None if none is complete.

    A transaction opens at a signal up or down and is complete at the first signal of the other side, which opens the
    next one; signals of the same side in between change nothing. An end is right where its signal is what came. The
    definition is ours: published scores of that name may count otherwise.

    >>> complete_correct(np.array([1, 1, -1, 0, 1], np.int8), np.array([1, 0, -1, 0, -1]))
    0.5
    """
    signals = np.flatnonzero(classes)
    turns = signals[np.flatnonzero(np.diff(classes[signals], prepend=np.int8(0)))]
    right = classes[turns] == truth[turns]
    return float((right[:-1] & right[1:]).mean()) if turns.size > 1 else None


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
