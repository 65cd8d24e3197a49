"""Calibration that goes on learning: scale and shifts of log-probabilities, moved by each label as it becomes known.

A market that wakes up moves more often than the window that its model was calibrated on. The log-loss of what came says
by how much, one label at a time. Source: Gupta & Ramdas (2023), Online Platt Scaling with Calibeating, section 2
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from labeling.targets import NO_CLASS
from market.errors import ModelError
from modeling.forecast import CLASSES
from modeling.parameters import AdaptiveParameters
from modeling.sampling import learnable
from modeling.training_rows import TrainingSet

Doubles = NDArray[np.float64]
_SMALLEST: Final = 1e-9  # a probability below it is read as this
_LEAST_SCALE: Final = 0.2
_MOST_SCALE: Final = 5.0
_SCALE: Final = 0  # place in the state, before the shifts


@njit(cache=True)
def _bend(state, probabilities, bent):
    """``softmax(scale * log p + shift)`` of one row, into ``bent``."""
    top = -np.inf
    for k in range(CLASSES):
        bent[k] = state[_SCALE] * np.log(max(probabilities[k], _SMALLEST)) + state[1 + k]
        top = max(top, bent[k])
    total = 0.0
    for k in range(CLASSES):
        bent[k] = np.exp(bent[k] - top)
        total += bent[k]
    for k in range(CLASSES):
        bent[k] /= total


@njit(cache=True)
def _learn(state, probabilities, came, rate, scale_rate, bent):
    """One step down the gradient of the row's log-loss."""
    _bend(state, probabilities, bent)
    along = 0.0
    for k in range(CLASSES):
        missed = (1.0 if k == came + 1 else 0.0) - bent[k]
        state[1 + k] += rate * missed
        along += missed * np.log(max(probabilities[k], _SMALLEST))
    state[_SCALE] = min(max(state[_SCALE] + scale_rate * along, _LEAST_SCALE), _MOST_SCALE)


@njit(cache=True)
def _run(state, over_ts, probabilities, classes, known_ts, rate, scale_rate, bent):
    """Bend each row by what those before it taught whose labels it has heard; both times rise."""
    learnt, scrap = 0, np.empty(CLASSES)
    for row in range(len(over_ts)):
        while learnt < row and known_ts[learnt] <= over_ts[row]:
            if classes[learnt] != NO_CLASS:
                _learn(state, probabilities[learnt], classes[learnt], rate, scale_rate, scrap)
            learnt += 1
        _bend(state, probabilities[row], bent[row])


class AdaptiveCalibration:
    """Bends the probabilities of one cell. Holds its state; ``as_dict`` and ``from_dict`` carry it over a restart.

    parameters : of a label of each row, see ``AdaptiveParameters.of_rows``
    """

    def __init__(self, parameters: AdaptiveParameters, state: Doubles | None = None) -> None:
        self._parameters = parameters
        self._state = np.array([1.0, 0.0, 0.0, 0.0]) if state is None else state
        self._scrap = np.empty(CLASSES)

    def bend(self, probabilities: Doubles) -> Doubles:
        """What it makes of the probabilities of one row, shape (3,).

        >>> AdaptiveCalibration(AdaptiveParameters(0.05, 0.0)).bend(np.array([0.25, 0.5, 0.25])).tolist()
        [0.25, 0.5, 0.25]
        """
        bent = np.empty(CLASSES)
        _bend(self._state, probabilities, bent)
        return bent

    def learn(self, probabilities: Doubles, came: int) -> None:
        """Take in what came, -1, 0, +1 or NO_CLASS, of a row that had these probabilities before they were bent."""
        if came != NO_CLASS:
            rates = self._parameters.rate, self._parameters.scale_rate
            _learn(self._state, probabilities, came, *rates, self._scrap)

    def run(
        self,
        over_ts: NDArray[np.int64],
        probabilities: NDArray[np.floating],
        classes: NDArray[np.int8],
        known_ts: NDArray[np.int64],
    ) -> Doubles:
        """Bent probabilities of consecutive rows, (N, 3); it has then learnt from all whose label the last has heard.

        over_ts : (N,) up to when a row has heard all; known_ts : (N,) when its label is over, both ns UTC, rising
        probabilities : (N, 3); classes : (N,) NO_CLASS where no label is to be learnt from
        Raises ModelError if a time falls.
        """
        if (np.diff(over_ts) < 0).any() or (np.diff(known_ts) < 0).any():
            raise ModelError("rows to calibrate on are not in the order of their labels")
        bent = np.empty((len(over_ts), CLASSES))
        given = np.ascontiguousarray(probabilities, np.float64)
        rates = self._parameters.rate, self._parameters.scale_rate
        _run(self._state, over_ts, given, classes, known_ts, *rates, bent)
        return bent

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``from_dict``."""
        return {"scale": float(self._state[_SCALE]), "shifts": self._state[1:].tolist()}

    @classmethod
    def from_dict(cls, parameters: AdaptiveParameters, stored: Mapping[str, Any]) -> "AdaptiveCalibration":
        """The state that ``as_dict`` wrote. Raises ModelError if it holds anything but numbers, one a class."""
        state = np.array([stored["scale"], *stored["shifts"]], np.float64)
        if state.shape != (1 + CLASSES,) or not np.isfinite(state).all():
            raise ModelError(f"{dict(stored)} is no state of a calibration")
        return cls(parameters, state)


def carried_on(
    parameters: AdaptiveParameters,
    row_ms: int,
    windows: Sequence[tuple[TrainingSet, NDArray[np.floating]]],
    memory_rows: int,
) -> list[Doubles]:
    """Probabilities of consecutive windows of one symbol, each cell bent by what came before; (N, C, 3) each.

    row_ms : between two rows; memory_rows : valid rows that a row must follow for its label to be learnt from
    """
    made = [np.empty(said.shape) for _, said in windows]
    for place, cell in enumerate(windows[0][0].shape.cells):
        state = AdaptiveCalibration(parameters.of_rows(cell.horizon_ms, row_ms))
        for (rows, said), bent in zip(windows, made, strict=True):
            known, horizon = learnable(rows, memory_rows)[:, place], rows.shape.horizon_of_cell[place]
            classes = np.where(known, rows.classes[:, place], NO_CLASS).astype(np.int8)
            bent[:, place] = state.run(rows.over_ts, said[:, place], classes, rows.known_ts[:, horizon])
    return made
