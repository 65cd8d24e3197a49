"""Baselines that learn: multinomial logistic and LightGBM, one for each cell, on the rows and features of a network.

LightGBM is imported where it is fitted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from market.errors import NotEnoughData
from modeling.forecast import CLASSES
from modeling.parameters import LearnerParameters
from modeling.sampling import TrainingSet, learnable, require_classes

Doubles = NDArray[np.float64]
Forecast = Callable[[Doubles], Doubles]  # (N, features) -> (N, 3)

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

    def predict(self, data: TrainingSet) -> NDArray[np.int8]:
        """Classes, shape (N, C)."""
        return (self.predict_proba(data).argmax(-1) - 1).astype(np.int8)

    def predict_proba(self, data: TrainingSet) -> Doubles:
        """Probabilities of the classes, shape (N, C, 3); of an invalid row they mean nothing."""
        values = np.where(data.valid[:, None], data.values, np.float32(0.0)).astype(np.float64)
        return np.stack([forecast(values) for forecast in self.forecasts], 1)


@dataclass(frozen=True)
class _Labelled:
    """The rows of one cell that can be learnt from; ``truth`` is 0, 1 or 2."""

    values: Doubles
    truth: NDArray[np.int64]
    weights: Doubles


def fit_learners(
    train: TrainingSet, val: TrainingSet, parameters: LearnerParameters, receptive_rows: int
) -> tuple[Learner, ...]:
    """Logistic and LightGBM, in this order, on the rows that a network of that memory learns from; as weighted there.

    val : by which LightGBM stops and chooses among its candidates, as a network's search does
    Raises NotEnoughData if a cell lacks a class to learn, or a row to choose by.
    """
    require_classes(train, receptive_rows)
    cells = range(len(train.shape.cells))
    pairs = [(_labelled(train, cell, receptive_rows), _labelled(val, cell, receptive_rows)) for cell in cells]
    return (
        Learner(LOGISTIC, tuple(_fit_logistic(rows, parameters.logistic_ridge) for rows, _ in pairs)),
        Learner(LIGHTGBM, tuple(_fit_lightgbm(rows, judge, parameters) for rows, judge in pairs)),
    )


def _labelled(data: TrainingSet, cell: int, receptive_rows: int) -> _Labelled:
    rows = np.flatnonzero(learnable(data, receptive_rows)[:, cell])
    if not rows.size:
        raise NotEnoughData(f"cell {data.shape.cells[cell].name} has no row to learn or choose by, of {len(data)}")
    weights = data.weights[rows].astype(np.float64)
    return _Labelled(data.values[rows].astype(np.float64), data.classes[rows, cell].astype(np.int64) + 1, weights)


def _softmax(scores: Doubles) -> Doubles:
    grown = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(grown / grown.sum(-1, keepdims=True))


def _fit_logistic(rows: _Labelled, ridge: float) -> Forecast:
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


def _fit_lightgbm(rows: _Labelled, judge: _Labelled, parameters: LearnerParameters) -> Forecast:
    """The candidate of least validation loss; the same trees from the same seed, on one thread."""
    import lightgbm

    train = lightgbm.Dataset(rows.values, rows.truth, weight=rows.weights, free_raw_data=False)
    val = lightgbm.Dataset(judge.values, judge.truth, reference=train, free_raw_data=False)
    stop = lightgbm.early_stopping(parameters.lightgbm_patience, verbose=False)
    fits = [
        lightgbm.train(candidate, train, parameters.lightgbm_rounds, valid_sets=[val], callbacks=[stop])
        for candidate in candidates(parameters)
    ]
    best = min(fits, key=lambda fit: fit.best_score["valid_0"]["multi_logloss"])
    rounds = best.best_iteration
    return lambda values: np.asarray(best.predict(values, num_iteration=rounds, num_threads=1), np.float64)


def candidates(parameters: LearnerParameters) -> list[dict[str, Any]]:
    """Settings of LightGBM to try: as many as the budget says, drawn from the seed."""
    rng = np.random.default_rng(parameters.seed)
    fixed = {
        "objective": "multiclass",
        "num_class": CLASSES,
        "metric": "multi_logloss",
        "seed": parameters.seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,  # candidates share a data set but not their least rows in a leaf
        "verbosity": -1,
    }
    return [fixed | _drawn(rng, parameters) for _ in range(parameters.lightgbm_trials)]


def _drawn(rng: np.random.Generator, parameters: LearnerParameters) -> dict[str, Any]:
    low, high = np.log(parameters.lightgbm_learning_rate)
    return {
        "num_leaves": int(rng.choice(parameters.lightgbm_leaves)),
        "learning_rate": float(np.exp(rng.uniform(low, high))),
        "min_data_in_leaf": int(rng.integers(*parameters.lightgbm_leaf_rows, endpoint=True)),
        "feature_fraction": float(rng.uniform(*parameters.lightgbm_feature_share)),
    }
