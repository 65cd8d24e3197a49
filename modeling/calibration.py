"""Bend raw class probabilities back to frequencies: temperature and vector scaling of log-probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError, NotEnoughData
from modeling.forecast import CLASSES
from modeling.parameters import CalibrationParameters

Doubles = NDArray[np.float64]
_SMALLEST = 1e-12  # a probability below it is read as this, so that its logarithm stays finite


@dataclass(frozen=True)
class Calibration:
    """For each cell and class: ``softmax(scale * log p + bias)``. Both arrays have shape (cells, 3)."""

    scale: Doubles
    bias: Doubles

    def __post_init__(self) -> None:
        shapes = self.scale.shape, self.bias.shape
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != CLASSES:
            raise ModelError(f"calibration of shapes {shapes[0]} and {shapes[1]}, both must be (cells, {CLASSES})")
        if not (np.isfinite(self.scale).all() and np.isfinite(self.bias).all()):
            raise ModelError("calibration holds a number that is not finite")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``from_dict``."""
        return {"scale": self.scale.tolist(), "bias": self.bias.tolist()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Calibration":
        """The calibration that ``as_dict`` wrote."""
        return cls(np.asarray(stored["scale"], np.float64), np.asarray(stored["bias"], np.float64))


def identity(cells: int) -> Calibration:
    """Leaves the probabilities of ``cells`` cells as they are."""
    return Calibration(np.ones((cells, CLASSES)), np.zeros((cells, CLASSES)))


def _softmax(scores: Doubles) -> Doubles:
    grown = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def calibrated(calibration: Calibration, probabilities: NDArray[np.floating]) -> Doubles:
    """Calibrated probabilities, shape (..., cells, 3).

    >>> calibrated(identity(1), np.array([[0.2, 0.5, 0.3]])).round(6).tolist()
    [[0.2, 0.5, 0.3]]
    """
    scores = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    return _softmax(scores * calibration.scale + calibration.bias)


def _loss(theta: Doubles, scores: Doubles, truth: NDArray[np.int64], ridge: float) -> tuple[float, Doubles]:
    """Mean log-loss with its ridge, and the gradient over (scale, bias)."""
    scale, bias = theta[:CLASSES], theta[CLASSES:]
    probabilities = _softmax(scores * scale + bias)
    rows = np.arange(len(truth))
    loss = -np.log(np.maximum(probabilities[rows, truth], _SMALLEST)).mean()
    probabilities[rows, truth] -= 1.0
    gradient = np.concatenate(((probabilities * scores).mean(0), probabilities.mean(0)))
    pull = np.concatenate((scale - 1.0, bias))
    return float(loss + ridge * (pull @ pull)), gradient + 2 * ridge * pull


def _vector(scores: Doubles, truth: NDArray[np.int64], ridge: float) -> tuple[Doubles, Doubles]:
    from scipy.optimize import minimize

    start = np.concatenate((np.ones(CLASSES), np.zeros(CLASSES)))
    found = minimize(_loss, start, (scores, truth, ridge), method="L-BFGS-B", jac=True)
    return found.x[:CLASSES], found.x[CLASSES:]


def _temperature(scores: Doubles, truth: NDArray[np.int64], ridge: float) -> tuple[Doubles, Doubles]:
    from scipy.optimize import minimize_scalar

    def loss(scale: float) -> float:
        return _loss(np.repeat((scale, 0.0), CLASSES), scores, truth, ridge / CLASSES)[0]

    found = minimize_scalar(loss, bounds=(0.05, 20.0), method="bounded")
    return np.full(CLASSES, found.x), np.zeros(CLASSES)


def fit_calibration(
    parameters: CalibrationParameters, probabilities: NDArray[np.floating], classes: NDArray[np.int8]
) -> Calibration:
    """The calibration that lowers the log-loss of these forecasts most.

    probabilities : shape (rows, cells, 3); classes : shape (rows, cells), -1, 0, +1, anything else is passed over
    Raises NotEnoughData if a cell has no labelled row.
    """
    fit = _vector if parameters.method == "vector" else _temperature
    scales, biases = [], []
    for cell in range(classes.shape[1]):
        known = np.abs(classes[:, cell].astype(np.int64)) <= 1
        if not known.any():
            raise NotEnoughData(f"no labelled row to calibrate cell {cell} on, of {len(classes)} rows")
        scores = np.log(np.maximum(probabilities[known, cell].astype(np.float64), _SMALLEST))
        scale, bias = fit(scores, classes[known, cell].astype(np.int64) + 1, parameters.ridge)
        scales.append(scale)
        biases.append(bias)
    return Calibration(np.array(scales), np.array(biases))
