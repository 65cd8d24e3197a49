"""Baselines that learn: multinomial logistic and LightGBM, one for each cell, on the rows and features of a network.

LightGBM is imported where it is fitted.
"""

from collections.abc import Callable
from dataclasses import dataclass
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

    x : shape (N, features); truth : shape (N,), 0, 1 or 2; weights : shape (N,)
    """
    from scipy.optimize import minimize

    design, shares = np.column_stack((x, np.ones(len(x)))), (weights / weights.sum())[:, None]
    hits, shape = np.eye(CLASSES)[truth], (x.shape[1] + 1, CLASSES)
    free = np.ones(shape)
    free[-1] = 0.0

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        coefficients = flat.reshape(shape)
        given = _softmax(design @ coefficients)
        nll = -(shares * hits * np.log(np.maximum(given, 1e-300))).sum()
        gradient = design.T @ (shares * (given - hits)) + ridge * free * coefficients
        return float(nll + 0.5 * ridge * (free * coefficients**2).sum()), gradient.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), method="L-BFGS-B", jac=True, options={"maxiter": 500})
    return np.asarray(found.x, np.float64).reshape(shape)


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
