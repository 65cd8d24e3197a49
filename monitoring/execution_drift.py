"""Whether orders still take as long, fill as often and cost as much as the models in force say, day by day.

Observations of one hour share one market and count as one. A day is off where its mean is beyond a floor and its
interval excludes what is expected; most of the newest days have to be off the same way. docs/drift.md has the formulas.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.errors import DataError
from monitoring.paid_cost import INTERVAL, mean_interval
from monitoring.parameters import ExecutionDriftParameters
from monitoring.report import content_sha

Floats = NDArray[np.float64]
Verdict = Literal["drift", "stable", "insufficient"]

LATENCY: Final = "latency"  # of an order's way to the venue and back, over the mean in force
FILL_RATIO: Final = "fill ratio"  # lots filled per lots placed
PAID_COST: Final = "paid cost"  # bp beyond what the decision assumed
HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS


class Observations(NamedTuple):
    """What was seen of one measure, in any order, and what the model in force expects of their weighted mean."""

    measure: str
    expected: float | None  # None: no model says
    ts: NDArray[np.int64]  # (N,) ns UTC
    values: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class DayExecution:
    """One measure on one day."""

    day: str
    measure: str
    expected: float | None
    hours: int  # with an observation
    mean: float | None = None
    low: float | None = None  # its interval
    high: float | None = None
    off: int = 0  # +1 above, -1 below what is expected, beyond floor and chance
    reason: str = ""  # why nothing is said


@dataclass(frozen=True, slots=True)
class MeasureVerdict:
    """What the newest days say of one measure, and why in words."""

    measure: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """Every measure and day, oldest first, and what follows from the newest."""

    verdict: Verdict
    measures: tuple[MeasureVerdict, ...]
    days: tuple[DayExecution, ...]

    @property
    def sha256(self) -> str:
        """Hex sha256 of the report's content."""
        return content_sha(self)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a measure and day."""
        return [asdict(day) for day in self.days]


def execution_report(seen: Sequence[Observations], parameters: ExecutionDriftParameters) -> ExecutionReport:
    """Judge every day of each measure, and the newest days together.

    Raises DataError if a measure is unknown.
    """
    by_measure = [_days_of(found, parameters) for found in seen]
    verdicts = tuple(_vote(found.measure, days, parameters) for found, days in zip(seen, by_measure, strict=True))
    said = {found.verdict for found in verdicts}
    overall: Verdict = "drift" if "drift" in said else "stable" if "stable" in said else "insufficient"
    return ExecutionReport(overall, verdicts, tuple(day for days in by_measure for day in days))


def should_retrain(report: ExecutionReport) -> str | None:
    """Why a model should be trained anew, in words; None if it should not."""
    return "; ".join(found.reason for found in report.measures if found.verdict == "drift") or None


def bounds_of(measure: str, expected: float, parameters: ExecutionDriftParameters) -> tuple[float, float]:
    """Between which a mean is near enough to what is expected.

    >>> rules = ExecutionDriftParameters(1.25, fill_points=10.0, cost_bp=0.5, min_hours=12, votes=2, of_days=3)
    >>> bounds_of(LATENCY, 1.0, rules), bounds_of(PAID_COST, 0.0, rules)
    ((0.8, 1.25), (-0.5, 0.5))
    """
    if measure == LATENCY:
        return expected / parameters.latency_ratio, expected * parameters.latency_ratio
    floors = {FILL_RATIO: parameters.fill_points / 100, PAID_COST: parameters.cost_bp}
    if measure not in floors:
        raise DataError(f"unknown measure {measure!r}; known are {LATENCY}, {', '.join(floors)}")
    return expected - floors[measure], expected + floors[measure]


def _days_of(found: Observations, parameters: ExecutionDriftParameters) -> list[DayExecution]:
    days = found.ts // DAY_NS
    return [_day(found, int(day), days == day, parameters) for day in np.unique(days)]


def _day(
    found: Observations, day: int, of_day: NDArray[np.bool_], parameters: ExecutionDriftParameters
) -> DayExecution:
    hours = found.ts[of_day] // HOUR_NS
    name, count = str(datetime.fromtimestamp(day * 86_400, UTC).date()), int(np.unique(hours).size)
    if found.expected is None:
        return DayExecution(name, found.measure, None, count, reason="no model in force says what to expect")
    if count < parameters.min_hours:
        few = f"orders in {count} hours, {parameters.min_hours} needed"
        return DayExecution(name, found.measure, found.expected, count, reason=few)
    mean, low, high = mean_interval(found.values[of_day], found.weights[of_day], hours)
    least, most = bounds_of(found.measure, found.expected, parameters)
    above, below = mean > most and low > found.expected, mean < least and high < found.expected
    return DayExecution(name, found.measure, found.expected, count, mean, low, high, int(above) - int(below))


def _vote(measure: str, days: list[DayExecution], parameters: ExecutionDriftParameters) -> MeasureVerdict:
    newest = days[-parameters.of_days :]
    judged = [day for day in newest if not day.reason]
    for way in (1, -1):
        off = [day for day in judged if day.off == way]
        if len(off) >= parameters.votes:
            return MeasureVerdict(measure, "drift", _in_words(off[-1], len(off), parameters))
    if len(judged) >= parameters.votes:
        return MeasureVerdict(measure, "stable", f"{len(judged)} days, not {parameters.votes} of them off the same way")
    why = next((day.reason for day in reversed(newest) if day.reason), f"{len(judged)} days, {parameters.votes} needed")
    return MeasureVerdict(measure, "insufficient", why)


def _in_words(day: DayExecution, off: int, parameters: ExecutionDriftParameters) -> str:
    return (
        f"{day.measure} was {day.mean:.3g} on {day.day} where {day.expected:.3g} is expected "
        f"({INTERVAL:.0%} interval {day.low:.3g} to {day.high:.3g}), {off} of the last {parameters.of_days} days"
    )
