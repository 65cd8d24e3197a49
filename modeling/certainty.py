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
LATE_ROWS: Final = 4_096  # by which messages may be late before a return is given up


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


class Instant(NamedTuple):
    """When a row closed, and what it had heard by then."""

    row_ts: int  # ns UTC
    over_ts: int  # the venue's time up to which it has heard all, ns UTC


class _Said(NamedTuple):
    """What is remembered of a row until its return is over."""

    at: int  # when the return begins, then when it is over, the venue's time, ns
    mean_bp: float
    deviation_bp: float
    threshold: float
    start: float = NAN  # the mid that the return begins with


class Outlooks:
    """Outlooks of consecutive rows; a return is learnt at the first row that has heard the market to the return's end.

    Its mids are those of the rows themselves: of the newest that had heard of nothing later. Holds its state. Without a
    certainty there are no intervals and no sets.
    """

    def __init__(self, certainty: Certainty | None, row_ns: int, inverse: bool) -> None:
        self._certainty = certainty
        self._inverse = inverse
        self._mid = NAN  # of the newest row
        if certainty is not None:
            self._interval = AdaptiveConformal.from_dict(certainty.parameters, certainty.interval)
            self._delay_ns = round(certainty.delay_ms * NS_PER_MS)
            self._horizon_ns = certainty.cell.horizon_ms * NS_PER_MS
            most = LATE_ROWS + math.ceil((self._delay_ns + self._horizon_ns) / row_ns)
            self._to_begin: deque[_Said] = deque(maxlen=most)
            self._under_way: deque[_Said] = deque(maxlen=most)

    def after(self, at: Instant, mid: float, ready: bool, traded: NDArray[np.float64]) -> Outlook:
        """The outlook at the next row.

        mid : of our own book at its end, NaN where the row is not valid
        traded : shape (7,), probabilities and returns of the traded cell's classes, and its members' spread
        """
        if self._certainty is None:
            return _outlook(traded, NAN) if ready else SILENT
        self._learn(at.over_ts)
        self._mid = mid
        if not ready:
            return SILENT
        limit = self._interval.threshold()
        outlook = _outlook(traded, limit, _let_in(traded[:CLASSES], self._certainty.set_threshold))
        self._to_begin.append(_Said(at.row_ts + self._delay_ns, outlook.mean_bp, outlook.deviation_bp, limit))
        return outlook

    def _learn(self, over_ts: int) -> None:
        """Take in the returns that are over by now; the newest mid, from before, was in force at each of their ends."""
        while self._to_begin and self._to_begin[0].at <= over_ts:
            said = self._to_begin.popleft()
            self._under_way.append(said._replace(at=said.at + self._horizon_ns, start=self._mid))
        while self._under_way and self._under_way[0].at <= over_ts:
            said = self._under_way.popleft()
            gross_bp = 1e4 * (self._mid - said.start) / (self._mid if self._inverse else said.start)
            score = abs(gross_bp - said.mean_bp) / max(said.deviation_bp, LEAST_DEVIATION_BP)
            self._interval.expect(said.at, score, said.threshold)
        self._interval.learn(over_ts)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what it has learnt so far and what is still to come; empty without a certainty."""
        if self._certainty is None:
            return {}
        waiting = {"to_begin": self._to_begin, "under_way": self._under_way}
        told = {name: [[said.at, *map(str, said[1:])] for said in rows] for name, rows in waiting.items()}
        return {"of": self._identity, "mid": str(self._mid), "interval": self._interval.as_dict(), **told}

    @property
    def _identity(self) -> list[float]:
        return [self._horizon_ns, self._delay_ns, self._to_begin.maxlen or 0]

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on where ``as_dict`` was called. Raises ModelError if it was of another certainty."""
        if self._certainty is None or stored.get("of") != self._identity:
            raise ModelError(f"outlooks of {stored.get('of')} are of another model")
        self._mid = float(stored["mid"])
        self._interval = AdaptiveConformal.from_dict(self._certainty.parameters, stored["interval"])
        for name, rows in (("to_begin", self._to_begin), ("under_way", self._under_way)):
            rows.clear()
            rows.extend(_Said(int(at), *map(float, numbers)) for at, *numbers in stored[name])


def _outlook(traded: NDArray[np.float64], limit: float, classes: int = 0) -> Outlook:
    """The interval holds all within ``limit`` deviations of the mean."""
    mean, variance = mixture(traded[:CLASSES], traded[CLASSES : 2 * CLASSES])
    deviation = math.sqrt(variance)
    half = math.nan if limit < 0 else limit * max(deviation, LEAST_DEVIATION_BP)
    return Outlook(mean, deviation, float(traded[-1]), mean - half, mean + half, classes)


def _let_in(probabilities: NDArray[np.float64], threshold: float) -> int:
    down, none, up = (class_scores(probabilities) <= threshold).tolist()
    return down + 2 * none + 4 * up
