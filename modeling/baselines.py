"""The rules that stand beside every model: class prior, persistence, imbalance, median regression with a band.

A baseline says down, no trade or up by a rule, and takes the probabilities of what then comes from a table of how
often it came in training. All of them are fitted on Train alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from labeling.targets import NO_CLASS
from market.errors import ModelError
from modeling.calibration import identity
from modeling.forecast import CLASSES, ForecastShape
from modeling.parameters import BaselineParameters
from modeling.sampling import learnable
from modeling.snapshot import MEDIAN_BAND, ModelSnapshot
from modeling.survey import require_classes
from modeling.training_rows import TrainingSet

Doubles = NDArray[np.float64]
Classes = NDArray[np.int8]
Rule = Callable[[TrainingSet], Classes]  # (N, C) of -1, 0, +1
_ITERATIONS = 50
_KINDS = np.arange(CLASSES) - 1


@dataclass(frozen=True)
class Baseline:
    """A fitted rule and the class frequencies that followed each of its answers in training."""

    name: str
    rule: Rule
    table: Doubles  # (C, answer, class)
    by_row: bool = True  # whether an answer depends on its own row's features alone; else on labels of rows before

    def predict(self, data: TrainingSet) -> Classes:
        """Classes, shape (N, C)."""
        return self.rule(data)

    def predict_proba(self, data: TrainingSet) -> Doubles:
        """Probabilities of the classes, shape (N, C, 3)."""
        return self.frequencies(self.rule(data))

    def frequencies(self, answers: Classes) -> Doubles:
        """Probabilities of the classes behind answers of shape (N, C), shape (N, C, 3)."""
        return self.table[np.arange(answers.shape[1]), answers.astype(np.int64) + 1]


def fit_baselines(
    train: TrainingSet, names: Sequence[str], parameters: BaselineParameters
) -> tuple[tuple[Baseline, ...], ModelSnapshot]:
    """Class prior, persistence, imbalance rule and median band, in this order, and the last one as a model.

    names : the catalogued features, in the order of the columns
    Raises NotEnoughData if a cell lacks a class in training, ModelError if ``names`` lacks the imbalance feature.
    """
    require_classes(train, 1)
    band = fit_median_band(train, parameters)
    baselines = (
        class_prior(train),
        replace(_tabled("persistence", persisting, train), by_row=False),
        _tabled("imbalance", _imbalance(train, names, parameters.imbalance_feature), train),
        Baseline("median_band", band.signals, band.tables),
    )
    return baselines, band.snapshot()


def class_prior(train: TrainingSet) -> Baseline:
    """The shares of the classes in Train, whatever the row."""
    return _tabled("class_prior", _most_frequent(train), train)


def _tabled(name: str, rule: Rule, train: TrainingSet) -> Baseline:
    return Baseline(name, rule, _frequencies(rule(train), train))


def _frequencies(answers: Classes, train: TrainingSet) -> Doubles:
    """How often each class followed each answer, one row added to each so that none is impossible."""
    usable = learnable(train, 1)
    tables = np.ones((answers.shape[1], CLASSES, CLASSES))
    for cell in range(answers.shape[1]):
        rows = usable[:, cell]
        pairs = answers[rows, cell].astype(np.int64) + 1, train.classes[rows, cell].astype(np.int64) + 1
        np.add.at(tables[cell], pairs, 1.0)
    frequencies: Doubles = tables / tables.sum(axis=-1, keepdims=True)
    return frequencies


def _most_frequent(train: TrainingSet) -> Rule:
    usable = learnable(train, 1)
    counts = np.array([((train.classes == kind) & usable).sum(0) for kind in _KINDS])
    common = _KINDS[counts.argmax(0)].astype(np.int8)
    return lambda data: np.broadcast_to(common, (len(data), len(common)))


def persisting(data: TrainingSet) -> Classes:
    """The newest class that was known when the row closed, shape (N, C); no trade before any was."""
    answers = np.zeros(data.classes.shape, np.int8)
    for cell, horizon in enumerate(data.shape.horizon_of_cell):
        places = np.where(data.classes[:, cell] == NO_CLASS, -1, np.arange(len(data)))
        newest_labelled = np.maximum.accumulate(places)
        ended = np.maximum.accumulate(data.known_ts[:, horizon])
        known = np.searchsorted(ended, data.over_ts, side="right") - 1
        source = np.where(known >= 0, newest_labelled[known], -1)
        answers[:, cell] = np.where(source >= 0, data.classes[source, cell], 0)
    return answers


def _directional_shares(train: TrainingSet) -> Doubles:
    """Share of up and down rows of each cell."""
    usable = learnable(train, 1)
    return np.array([np.mean(train.classes[usable[:, c], c] != 0) for c in range(usable.shape[1])])


def _outside(values: Doubles, bands: Doubles) -> Classes:
    return ((values > bands).astype(np.int8) - (values < -bands).astype(np.int8)).astype(np.int8)


def _imbalance(train: TrainingSet, names: Sequence[str], feature: str) -> Rule:
    if feature not in names:
        raise ModelError(f"imbalance_feature={feature!r} is not among the catalogued {list(names)}")
    column = list(names).index(feature)
    sizes = np.abs(train.values[train.valid, column].astype(np.float64))
    bands = np.quantile(sizes, 1.0 - _directional_shares(train))
    return lambda data: _outside(data.values[:, [column]].astype(np.float64), bands)


@dataclass(frozen=True)
class MedianBand:
    """A linear conditional median for each horizon, called up or down where it leaves a band around 0."""

    shape: ForecastShape
    linear: Doubles  # (H, features + 1) bp per unit of a feature, the constant last
    bands: Doubles  # (C,) bp
    tables: Doubles  # (C, answer, class)
    returns_bp: Doubles  # (H, 3) mean training return of each class

    def signals(self, data: TrainingSet) -> Classes:
        """Classes, shape (N, C)."""
        medians = _medians(self.linear, data)
        return _outside(medians[:, list(self.shape.horizon_of_cell)], self.bands)

    def snapshot(self) -> ModelSnapshot:
        """The baseline as a model: what a bundle stores and streaming runs."""
        arrays = {"linear": self.linear, "bands": self.bands, "tables": self.tables, "returns_bp": self.returns_bp}
        return ModelSnapshot(MEDIAN_BAND, self.shape.as_dict(), arrays, identity(len(self.shape.cells)))


def _medians(linear: Doubles, data: TrainingSet) -> Doubles:
    return data.values.astype(np.float64) @ linear[:, :-1].T + linear[:, -1]


def fit_median_band(train: TrainingSet, parameters: BaselineParameters) -> MedianBand:
    """Median regression of each horizon's gross return; bands as wide as leaves training's share of up and down."""
    usable, shape = learnable(train, 1), train.shape
    linear, returns = [], []
    for horizon, anchor in enumerate(shape.anchors):
        rows = usable[:, anchor]
        gross, classes = train.gross_bp[rows, horizon].astype(np.float64), train.classes[rows, anchor]
        linear.append(median_regression(train.values[rows].astype(np.float64), gross, parameters.quantile_smoothing))
        returns.append([gross[classes == kind].mean() for kind in _KINDS])
    sizes = np.abs(_medians(np.array(linear), train)[train.valid])
    shares = _directional_shares(train)
    bands = [np.quantile(sizes[:, h], 1.0 - shares[cell]) for cell, h in enumerate(shape.horizon_of_cell)]
    blank = MedianBand(shape, np.array(linear), np.array(bands), np.empty(0), np.array(returns))
    return MedianBand(shape, blank.linear, blank.bands, _frequencies(blank.signals(train), train), blank.returns_bp)


def median_regression(x: Doubles, y: Doubles, smoothing: float) -> Doubles:
    """Coefficients, the constant last, that minimise the sum of ``sqrt(r^2 + e^2)`` over the residuals r.

    ``e`` is ``smoothing`` standard deviations of ``y``: the absolute loss of a median, quadratic near 0, so that it
    has one answer also where half of the returns are exactly 0. Iteratively reweighted least squares.

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])
    >>> median_regression(x, np.array([1.0, 3.0, 5.0, 7.0, 900.0]), 1e-6).round(1).tolist()
    [2.0, 1.0]
    """
    design = np.column_stack((x, np.ones(len(x))))
    epsilon = max(smoothing * float(y.std()), 1e-9)
    ridge = 1e-9 * len(y) * np.eye(design.shape[1])
    found: Doubles = np.zeros(design.shape[1])
    for _ in range(_ITERATIONS):
        weights = epsilon / np.sqrt((y - design @ found) ** 2 + epsilon**2)
        weighted = design * weights[:, None]
        before, found = found, np.asarray(np.linalg.solve(design.T @ weighted + ridge, weighted.T @ y), np.float64)
        if np.abs(found - before).max() < 1e-6 * epsilon:
            break
    return found
