"""Baselines that learn: multinomial logistic and LightGBM, one for each cell, on the rows and features of a network.

LightGBM and Optuna are imported where they are used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, combinations_with_replacement
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from market.errors import NotEnoughData
from modeling.boosting import CellRows, Doubles, Forecast, fit_boosted
from modeling.forecast import CLASSES
from modeling.parameters import LearnerParameters, SearchParameters
from modeling.sampling import learnable
from modeling.survey import require_classes
from modeling.training_rows import TrainingSet

if TYPE_CHECKING:
    from modeling.search import Trial

LOGISTIC: Final = "logistic"
LIGHTGBM: Final = "lightgbm"
_MOST_STEPS: Final = 100  # of Newton's; about ten are taken
_MOST_HALVINGS: Final = 30
_FLAT: Final = 1e-9  # largest slope of the loss at which it has arrived
_DAMPING: Final = 1e-12  # adding one constant to every class changes nothing: it must not be solved for


@dataclass(frozen=True)
class Learner:
    """A fitted learner, by cell."""

    name: str
    forecasts: tuple[Forecast, ...]
    trials: tuple["Trial", ...] = ()  # of the searches for its settings, cell by cell

    def predict(self, data: TrainingSet) -> NDArray[np.int8]:
        """Classes, shape (N, C)."""
        return (self.predict_proba(data).argmax(-1) - 1).astype(np.int8)

    def predict_proba(self, data: TrainingSet) -> Doubles:
        """Probabilities of the classes, shape (N, C, 3); of an invalid row they mean nothing."""
        values = np.where(data.valid[:, None], data.values, np.float32(0.0)).astype(np.float64)
        return np.stack([forecast(values) for forecast in self.forecasts], 1)


def fit_learners(
    train: TrainingSet, val: TrainingSet, parameters: LearnerParameters, budget: SearchParameters, receptive_rows: int
) -> tuple[Learner, ...]:
    """Logistic and LightGBM, in this order, on the rows that a network of that memory learns from; as weighted there.

    val : by which LightGBM stops and its search chooses, as a network's does
    budget : of the network's search; LightGBM's has as many trials for each cell and the same sampler; none is pruned
    Raises NotEnoughData if a cell lacks a class to learn, or a row to choose by.
    """
    require_classes(train, receptive_rows)
    cells = range(len(train.shape.cells))
    pairs = [(_labelled(train, cell, receptive_rows), _labelled(val, cell, receptive_rows)) for cell in cells]
    boosted = [fit_boosted(*pair, parameters, budget) for pair in pairs]
    return (
        Learner(LOGISTIC, tuple(_fit_logistic(rows, parameters.logistic_ridge) for rows, _ in pairs)),
        Learner(
            LIGHTGBM,
            tuple(one.forecast for one in boosted),
            tuple(chain.from_iterable(one.trials for one in boosted)),
        ),
    )


def _labelled(data: TrainingSet, cell: int, receptive_rows: int) -> CellRows:
    rows = np.flatnonzero(learnable(data, receptive_rows)[:, cell])
    if not rows.size:
        raise NotEnoughData(f"cell {data.shape.cells[cell].name} has no row to learn or choose by, of {len(data)}")
    weights = data.weights[rows].astype(np.float64)
    truth = data.classes[rows, cell].astype(np.int64) + 1
    return CellRows(data.shape.cells[cell].name, data.values[rows].astype(np.float64), truth, weights)


def _softmax(scores: Doubles) -> Doubles:
    grown = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(grown / grown.sum(-1, keepdims=True))


def _fit_logistic(rows: CellRows, ridge: float) -> Forecast:
    mean, scale = rows.values.mean(0), np.maximum(rows.values.std(0), 1e-9)
    coefficients = logistic_regression((rows.values - mean) / scale, rows.truth, rows.weights, ridge)
    return lambda values: _softmax(((values - mean) / scale) @ coefficients[:-1] + coefficients[-1])


def logistic_regression(x: Doubles, truth: NDArray[np.int64], weights: Doubles, ridge: float) -> Doubles:
    """Coefficients, shape (features + 1, 3), the constant last, of least weighted log-loss plus a ridge.

    The ridge is half ``ridge`` times the sum of squared coefficients, the constant left out, beside the mean log-loss.
    Newton's steps, each halved until the loss falls; a handful do what hundreds of gradient steps would.

    x : shape (N, features); truth : shape (N,), 0, 1 or 2; weights : shape (N,)
    """
    design, shares = np.column_stack((x, np.ones(len(x)))), (weights / weights.sum())[:, None]
    hits, pull = np.eye(CLASSES)[truth], np.full((x.shape[1] + 1, CLASSES), ridge)
    pull[-1] = 0.0

    def loss(coefficients: Doubles) -> float:
        given = _softmax(design @ coefficients)
        nll = -(shares * hits * np.log(np.maximum(given, 1e-300))).sum()
        return float(nll + 0.5 * (pull * coefficients**2).sum())

    coefficients: Doubles = np.zeros_like(pull)
    value = loss(coefficients)
    for _ in range(_MOST_STEPS):
        given = _softmax(design @ coefficients)
        gradient = design.T @ (shares * (given - hits)) + pull * coefficients
        if np.abs(gradient).max() < _FLAT:
            break
        step = _newton_step(design, shares * given, given, gradient, pull)
        coefficients, value, moved = _descended(loss, coefficients, value, step)
        if not moved:
            break
    return coefficients


def _newton_step(design: Doubles, shared: Doubles, given: Doubles, gradient: Doubles, pull: Doubles) -> Doubles:
    """Where the loss would be least if it were as round as here; the direction that no class feels is left alone."""
    size = len(gradient)
    hessian = np.empty((CLASSES, size, CLASSES, size))
    for one, other in combinations_with_replacement(range(CLASSES), 2):
        curvature = shared[:, one] * ((one == other) - given[:, other])
        hessian[one, :, other] = hessian[other, :, one] = design.T @ (curvature[:, None] * design)
    square = hessian.reshape(CLASSES * size, CLASSES * size)
    square[np.diag_indices(CLASSES * size)] += pull.T.ravel() + _DAMPING
    return np.asarray(np.linalg.solve(square, gradient.T.ravel()).reshape(CLASSES, size).T)


def _descended(
    loss: Callable[[Doubles], float], coefficients: Doubles, value: float, step: Doubles
) -> tuple[Doubles, float, bool]:
    """A step down that is as long as the loss allows, and whether there was one."""
    for halving in range(_MOST_HALVINGS):
        tried = coefficients - 0.5**halving * step
        if (there := loss(tried)) < value:
            return tried, there, True
    return coefficients, value, False
