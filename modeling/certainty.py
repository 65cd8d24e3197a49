"""How sure a model is of the cell that is traded: fitted on labels it never learned from, carried on row by row.

A bundle holds a ``Certainty``; every session, in a backtest as in trading, goes on from it with its own ``Outlooks``.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labeling.parameters import EXITS, Exit, LabelParameters
from labeling.quotes import NO_QUOTE, Quote, RoundTrip, class_between, quote
from labeling.trips import NO_CLASS
from labeling.walks import Sizing
from market.book import Book
from market.errors import ModelError
from market.units import NS_PER_MS
from modeling.adaptive_calibration import AdaptiveCalibration
from modeling.forecast import CLASSES, Cell, Floats, ForecastShape
from modeling.moments import mixture
from modeling.parameters import AdaptiveParameters, ConformalParameters
from modeling.uncertainty import (
    LEAST_DEVIATION_BP,
    AdaptiveConformal,
    class_scores,
    interval_scores,
    return_moments,
    true_scores,
)
from modeling.underway import Span, UnderWay

NAN: Final = math.nan


@dataclass(frozen=True)
class Question:
    """What is asked of a row: the gross return of a horizon, and the class of the round trip that a cell is of."""

    cell: Cell
    delay_ms: float  # from a decision to the instant that its return is measured from
    latency_ms: float  # to the one that its round trip meets the venue at
    notional: float  # of that round trip, quote currency
    margin_bp: float  # what it has to return to be up or down
    exit: Exit  # price that it is left at

    def __post_init__(self) -> None:
        """Raises ModelError if it asks for what no label answers."""
        if self.exit not in EXITS or not self.notional > 0 or not min(self.delay_ms, self.latency_ms) >= 0:
            raise ModelError(f"{self} asks for a round trip that no label is of")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``from_dict``."""
        return asdict(self) | {"cell": list(self.cell)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Question":
        """What ``as_dict`` wrote."""
        horizon_ms, budget_bp = stored["cell"]
        return cls(**{**stored, "cell": Cell(int(horizon_ms), float(budget_bp))})


def question_of(labels: LabelParameters, cell: Cell) -> Question:
    """What the labels of a cell answer."""
    latency_ms = labels.infer_latency_ms + labels.order_latency_ms
    delay_ms = latency_ms if labels.anchor == "executable" else 0.0
    return Question(cell, delay_ms, latency_ms, float(labels.order_notional_usd), float(labels.margin_bp), labels.exit)


@dataclass(frozen=True)
class Certainty:
    """Where the calibration of a row's class, the adaptive interval of its return and the set of its class begin."""

    question: Question
    parameters: ConformalParameters
    interval: Mapping[str, Any]  # of an AdaptiveConformal, ``as_dict``
    sets: Mapping[str, Any]  # likewise
    adaptive: AdaptiveParameters
    calibration: Mapping[str, Any]  # of an AdaptiveCalibration, ``as_dict``

    @property
    def cell(self) -> Cell:
        """That it is sure of."""
        return self.question.cell

    @property
    def delay_ms(self) -> float:
        """From a decision to the instant that its return is measured from."""
        return self.question.delay_ms

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``from_dict``."""
        states = {"interval": dict(self.interval), "sets": dict(self.sets), "calibration": dict(self.calibration)}
        rates = {"parameters": asdict(self.parameters), "adaptive": asdict(self.adaptive)}
        return {"question": self.question.as_dict(), **rates, **states}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Certainty":
        """What ``as_dict`` wrote. Raises ModelError if its scores do not fit their window, or a state is no numbers."""
        parameters, adaptive = ConformalParameters(**stored["parameters"]), AdaptiveParameters(**stored["adaptive"])
        interval, sets, calibration = stored["interval"], stored["sets"], stored["calibration"]
        for state in (interval, sets):
            AdaptiveConformal.from_dict(parameters, state)
        AdaptiveCalibration.from_dict(adaptive, calibration)
        return cls(Question.from_dict(stored["question"]), parameters, interval, sets, adaptive, calibration)


class Labelled(NamedTuple):
    """What came of N rows of one cell."""

    classes: NDArray[np.int8]  # (N,) of the cell, NO_CLASS where unknown
    gross_bp: Floats  # (N,) of its horizon, NaN where unknown
    known_ts: NDArray[np.int64]  # (N,) when both are over, ns UTC
    over_ts: NDArray[np.int64]  # (N,) up to when each row had heard all, ns UTC


def fit_certainty(
    shape: ForecastShape,
    question: Question,
    forecasts: Floats,
    came: Labelled,
    parameters: ConformalParameters,
    adaptive: AdaptiveParameters,
) -> Certainty:
    """The certainty that forecasts of some rows, all of them ready, and what came of those rows lead to.

    Scores are those of probabilities as they were bent at their row.
    Raises NotEnoughData if no label is known, ModelError if the forecasts are not of that cell.
    """
    cell = question.cell
    at, to = shape.probability_at(cell), shape.return_at(cell.horizon_ms)
    calibration = AdaptiveCalibration(adaptive)
    probabilities = calibration.run(came.over_ts, forecasts[:, at : at + CLASSES], came.classes, came.known_ts)
    returns = forecasts[:, to : to + CLASSES].astype(np.float64)
    scores = interval_scores(came.gross_bp, *return_moments(probabilities, returns))
    interval = AdaptiveConformal.started(parameters, scores)
    sets = AdaptiveConformal.started(parameters, true_scores(class_scores(probabilities), came.classes))
    return Certainty(question, parameters, interval.as_dict(), sets.as_dict(), adaptive, calibration.as_dict())


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


class Sight(NamedTuple):
    """What is served of one forecast of the traded cell."""

    outlook: Outlook
    traded: NDArray[np.float64]  # (7,) the forecast, its probabilities as what came before has bent them


class Instant(NamedTuple):
    """When a row closed, and what it had heard by then."""

    row_ts: int  # ns UTC
    over_ts: int  # the venue's time up to which it has heard all, ns UTC


class Worth(NamedTuple):
    """What a lot of the traded instrument is worth."""

    lot_value: float  # quote currency; linear, spot: of a lot and a tick of price
    inverse: bool


class Outlooks:
    """Outlooks of consecutive rows; what came of one is learnt at the first row that has heard the market to its end.

    Both its probabilities and how sure they are go on learning.
    Returns and classes are those between the rows' own quotes: of the newest row that had heard of nothing later.
    Holds its state. Without a certainty there are no intervals and no sets.
    """

    def __init__(self, certainty: Certainty | None, row_ns: int, worth: Worth) -> None:
        self._certainty, self._inverse = certainty, worth.inverse
        self._newest = NO_QUOTE
        if certainty is not None:
            asked, parameters = certainty.question, certainty.parameters
            self._interval = AdaptiveConformal.from_dict(parameters, certainty.interval)
            self._sets = AdaptiveConformal.from_dict(parameters, certainty.sets)
            self._calibration = AdaptiveCalibration.from_dict(certainty.adaptive, certainty.calibration)
            horizon_ns = asked.cell.horizon_ms * NS_PER_MS
            spans = (Span(round(ms * NS_PER_MS), horizon_ns) for ms in (asked.delay_ms, asked.latency_ms))
            self._returns, self._trips = (UnderWay(span, row_ns) for span in spans)
            self._sizing = Sizing(asked.notional, *worth, asked.exit == "walk")
            self._trip = RoundTrip(asked.exit, asked.cell.budget_bp, asked.margin_bp)

    def quote(self, book: Book) -> Quote:
        """What our own book offers the order that classes are of, at the end of a valid row."""
        return NO_QUOTE if self._certainty is None else quote(book, self._sizing)

    def after(self, at: Instant, newest: Quote, ready: bool, traded: NDArray[np.float64]) -> Sight:
        """The outlook at the next row, on the forecast as it counts there.

        newest : see ``quote``; NO_QUOTE where the row is not valid
        traded : shape (7,), probabilities and returns of the traded cell's classes, and its members' spread
        """
        if self._certainty is None:
            return Sight(_outlook(traded, NAN) if ready else SILENT, traded)
        self._learn(at.over_ts)
        self._newest = newest
        if not ready:
            return Sight(SILENT, traded)
        bent = np.concatenate((self._calibration.bend(traded), traded[CLASSES:]))
        scores, limit, most = class_scores(bent[:CLASSES]).tolist(), self._interval.threshold(), self._sets.threshold()
        outlook = _outlook(bent, limit, _let_in(scores, most))
        self._returns.remember(at.row_ts, outlook.mean_bp, outlook.deviation_bp, limit)
        self._trips.remember(at.row_ts, *scores, most, *traded[:CLASSES].tolist())
        return Sight(outlook, bent)

    def _learn(self, over_ts: int) -> None:
        """Take in what is over by now; the newest quote, from before, was in force at each of their ends."""
        for at, (mean_bp, deviation_bp, limit), start in self._returns.over(over_ts, self._newest):
            end = self._newest.mid
            gross_bp = 1e4 * (end - start.mid) / (end if self._inverse else start.mid)
            self._interval.expect(at, abs(gross_bp - mean_bp) / max(deviation_bp, LEAST_DEVIATION_BP), limit)
        for at, (*scores, most, down, none, up), start in self._trips.over(over_ts, self._newest):
            came = class_between(start, self._newest, self._trip, self._inverse)
            self._sets.expect(at, NAN if came == NO_CLASS else scores[came + 1], most)
            self._calibration.learn(np.array((down, none, up)), came)
        self._interval.learn(over_ts)
        self._sets.learn(over_ts)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what it has learnt so far and what is still to come; empty without a certainty."""
        if self._certainty is None:
            return {}
        parts = {name: part.as_dict() for name, part in self._parts.items()}
        return {"of": self._identity, "newest": list(map(str, self._newest)), **parts}

    @property
    def _parts(self) -> dict[str, AdaptiveConformal | AdaptiveCalibration | UnderWay]:
        return {
            "interval": self._interval,
            "sets": self._sets,
            "calibration": self._calibration,
            "returns": self._returns,
            "trips": self._trips,
        }

    @property
    def _identity(self) -> list[list[int]]:
        return [self._returns.identity, self._trips.identity]

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on where ``as_dict`` was called. Raises ModelError if it was of another certainty."""
        if self._certainty is None or stored.get("of") != self._identity:
            raise ModelError(f"outlooks of {stored.get('of')} are of another model")
        self._newest, parameters = Quote(*map(float, stored["newest"])), self._certainty.parameters
        self._interval = AdaptiveConformal.from_dict(parameters, stored["interval"])
        self._sets = AdaptiveConformal.from_dict(parameters, stored["sets"])
        self._calibration = AdaptiveCalibration.from_dict(self._certainty.adaptive, stored["calibration"])
        self._returns.restore(stored["returns"])
        self._trips.restore(stored["trips"])


def _outlook(traded: NDArray[np.float64], limit: float, classes: int = 0) -> Outlook:
    """The interval holds all within ``limit`` deviations of the mean."""
    mean, variance = mixture(traded[:CLASSES], traded[CLASSES : 2 * CLASSES])
    deviation = math.sqrt(variance)
    half = math.nan if limit < 0 else limit * max(deviation, LEAST_DEVIATION_BP)
    return Outlook(mean, deviation, float(traded[-1]), mean - half, mean + half, classes)


def _let_in(scores: list[float], most: float) -> int:
    down, none, up = (score <= most for score in scores)
    return down + 2 * none + 4 * up
