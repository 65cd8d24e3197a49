"""How sure a model is of the cell that is traded: fitted on labels it never learned from, carried on row by row.

A bundle holds a ``Certainty``; every session, in a backtest as in trading, goes on from it with its own ``Outlooks``.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError
from modeling.forecast import CLASSES, Cell, Floats, ForecastShape
from modeling.moments import mixture
from modeling.parameters import ConformalParameters
from modeling.uncertainty import (
    LEAST_DEVIATION_BP,
    AdaptiveConformal,
    class_scores,
    interval_scores,
    return_moments,
    true_scores,
)

NS_PER_MS: Final = 1_000_000
NAN: Final = math.nan


@dataclass(frozen=True)
class Certainty:
    """Where the adaptive interval of a cell's return begins, and the threshold of its conformal set."""

    cell: Cell
    delay_ms: float  # from a decision to the instant that its return is measured from
    parameters: ConformalParameters
    interval: Mapping[str, Any]  # of an AdaptiveConformal, ``as_dict``
    set_threshold: float  # largest score of a class that is let in; it stays: no session sees the class that came

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``from_dict``; an infinite threshold is written as text."""
        asked = self.parameters
        return {
            "cell": list(self.cell),
            "delay_ms": self.delay_ms,
            "miscoverage": asked.miscoverage,
            "rate": asked.rate,
            "window": asked.window,
            "interval": dict(self.interval),
            "set_threshold": str(self.set_threshold),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Certainty":
        """What ``as_dict`` wrote. Raises ModelError if its scores do not fit their window."""
        parameters = ConformalParameters(float(stored["miscoverage"]), float(stored["rate"]), int(stored["window"]))
        AdaptiveConformal.from_dict(parameters, stored["interval"])
        cell = Cell(int(stored["cell"][0]), float(stored["cell"][1]))
        return cls(cell, float(stored["delay_ms"]), parameters, stored["interval"], float(stored["set_threshold"]))


class Labelled(NamedTuple):
    """What came of N rows of one cell."""

    classes: NDArray[np.int8]  # (N,) of the cell, NO_CLASS where unknown
    gross_bp: Floats  # (N,) of its horizon, NaN where unknown


def fit_certainty(
    shape: ForecastShape,
    cell: Cell,
    forecasts: Floats,
    came: Labelled,
    delay_ms: float,
    parameters: ConformalParameters,
) -> Certainty:
    """The certainty that forecasts of some rows, all of them ready, and what came of those rows lead to.

    Raises NotEnoughData if no label is known, ModelError if the forecasts are not of that cell.
    """
    at, to = shape.probability_at(cell), shape.return_at(cell.horizon_ms)
    probabilities, returns = forecasts[:, at : at + CLASSES], forecasts[:, to : to + CLASSES]
    mean, deviation = return_moments(probabilities, returns)
    interval = AdaptiveConformal.started(parameters, interval_scores(came.gross_bp, mean, deviation))
    sets = AdaptiveConformal.started(parameters, true_scores(class_scores(probabilities), came.classes))
    return Certainty(cell, delay_ms, parameters, interval.as_dict(), sets.threshold())


class Outlook(NamedTuple):
    """What one forecast of the traded cell says and how sure it is; NaN and 0 where it says nothing."""

    mean_bp: float
    deviation_bp: float  # between the classes
    spread_bp: float  # of the members' means
    lower_bp: float  # of the interval, minus infinite where all is let in, NaN where nothing is
    upper_bp: float
    classes: int  # let in: 1 down, 2 no trade, 4 up, added

    def as_dict(self) -> dict[str, float | int | None]:
        """JSON-able: None for what is not finite."""
        return {name: value if math.isfinite(value) else None for name, value in self._asdict().items()}


SILENT: Final = Outlook(NAN, NAN, NAN, NAN, NAN, 0)


class _Said(NamedTuple):
    mean_bp: float
    deviation_bp: float
    threshold: float


_NOTHING_SAID: Final = _Said(NAN, NAN, NAN)


class Outlooks:
    """Outlooks of consecutive rows; a return is learnt at the first row by which it is over, from the rows' own mids.

    Holds its state. Without a certainty there are no intervals and no sets.
    """

    def __init__(self, certainty: Certainty | None, row_ns: int, inverse: bool) -> None:
        self._certainty = certainty
        self._inverse = inverse
        self._row = 0
        if certainty is not None:
            self._interval = AdaptiveConformal.from_dict(certainty.parameters, certainty.interval)
            delay_ns = certainty.delay_ms * NS_PER_MS
            first = math.ceil(delay_ns / row_ns)  # rows until a return begins, and until it is over
            last = math.ceil((delay_ns + certainty.cell.horizon_ms * NS_PER_MS) / row_ns)
            self._mids: deque[float] = deque(maxlen=last - first + 1)
            self._said: deque[_Said] = deque([_NOTHING_SAID] * last, maxlen=last)

    def after(self, mid: float, ready: bool, traded: NDArray[np.float64]) -> Outlook:
        """The outlook at the next row.

        mid : of our own book at its end, NaN where the row is not valid
        traded : shape (7,), probabilities and returns of the traded cell's classes, and its members' spread
        """
        if self._certainty is None:
            return _outlook(traded, NAN) if ready else SILENT
        self._learn(mid)
        if not ready:
            self._said.append(_NOTHING_SAID)
            return SILENT
        limit = self._interval.threshold()
        outlook = _outlook(traded, limit, _let_in(traded[:CLASSES], self._certainty.set_threshold))
        self._said.append(_Said(outlook.mean_bp, outlook.deviation_bp, limit))
        return outlook

    def _learn(self, mid: float) -> None:
        """Take in the return that is over at this row, and what the row of its decision said of it."""
        self._mids.append(mid)
        self._row += 1
        if len(self._mids) < (self._mids.maxlen or 0):
            return
        start, said = self._mids[0], self._said[0]
        gross_bp = 1e4 * (mid - start) / (mid if self._inverse else start)
        score = abs(gross_bp - said.mean_bp) / max(said.deviation_bp, LEAST_DEVIATION_BP)
        self._interval.expect(self._row, score, said.threshold)
        self._interval.learn(self._row)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what it has learnt so far and what is still to come; empty without a certainty."""
        if self._certainty is None:
            return {}
        said = [[str(number) for number in one] for one in self._said]
        mids = [str(mid) for mid in self._mids]
        return {"row": self._row, "interval": self._interval.as_dict(), "said": said, "mids": mids}

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on where ``as_dict`` was called. Raises ModelError if it was of another certainty."""
        if self._certainty is None or len(stored["said"]) != self._said.maxlen:
            raise ModelError(f"outlooks over {len(stored.get('said', ()))} rows are of another model")
        self._row = int(stored["row"])
        self._interval = AdaptiveConformal.from_dict(self._certainty.parameters, stored["interval"])
        self._said.extend(_Said(*map(float, one)) for one in stored["said"])
        self._mids.clear()
        self._mids.extend(map(float, stored["mids"]))


def _outlook(traded: NDArray[np.float64], limit: float, classes: int = 0) -> Outlook:
    """The interval holds all within ``limit`` deviations of the mean."""
    mean, variance = mixture(traded[:CLASSES], traded[CLASSES : 2 * CLASSES])
    deviation = math.sqrt(variance)
    half = math.nan if limit < 0 else limit * max(deviation, LEAST_DEVIATION_BP)
    return Outlook(mean, deviation, float(traded[-1]), mean - half, mean + half, classes)


def _let_in(probabilities: NDArray[np.float64], threshold: float) -> int:
    down, none, up = (class_scores(probabilities) <= threshold).tolist()
    return down + 2 * none + 4 * up
