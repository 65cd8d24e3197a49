"""Whether the classes of the traded cell still come in the shares that the model was trained on, regime by regime.

Shares of classes move by many points from day to day on a market that has not changed, and with the mix of regimes
alone. So a day is held against training within each regime, and has to go beyond what training's own days do to each
other. docs/label_shift.md has the formulas, and how often this is wrong.
"""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.errors import DataError
from monitoring.parameters import LabelShiftParameters
from monitoring.report import content_sha

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Verdict = Literal["shift", "stable", "insufficient"]

CLASS_NAMES: Final = ("down", "no trade", "up")
_NAN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class DailyCounts:
    """Labelled rows by day, regime and class."""

    days: tuple[str, ...]  # UTC dates, rising, D of them
    counts: Counts  # (D, R, 3), the classes in the order of CLASS_NAMES
    day_rows: int  # that a whole day has

    def __post_init__(self) -> None:
        if self.counts.ndim != 3 or self.counts.shape[::2] != (len(self.days), len(CLASS_NAMES)):
            raise DataError(f"counts of shape {self.counts.shape} are not those of {len(self.days)} days and 3 classes")
        if list(self.days) != sorted(set(self.days)):
            raise DataError(f"days {', '.join(self.days)} must rise")

    @property
    def shares_of_day(self) -> Floats:
        """Labelled rows of each day, of those that a whole one has, (D,)."""
        return np.asarray(self.counts.sum(axis=(1, 2)) / self.day_rows)


@dataclass(frozen=True, slots=True)
class DayShift:
    """One regime on one day, against the same regime in training; NaN where nothing can be said.

    Changes are percentage points of a class share.
    """

    day: str
    regime: str
    rows: int
    training_rows: int
    training_days: int  # whole ones with enough rows of the regime
    naive_points: float  # largest change of a class share of that day with all regimes thrown together
    kind: str = ""  # class whose share changed most
    share: float = _NAN  # of it on the day, 0 to 1
    training_share: float = _NAN
    change_points: float = _NAN  # signed
    low_points: float = _NAN  # interval of the change by the bootstrap over days
    high_points: float = _NAN
    training_points: float = _NAN  # what the shifts between two training days hardly ever exceed
    exceeds: bool = False  # the floor, those, and chance
    reason: str = ""  # why nothing is said
    verdict: Verdict = "insufficient"  # of the days up to this one


@dataclass(frozen=True, slots=True)
class RegimeVerdict:
    """What the newest days say of one regime, and why in words."""

    regime: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class LabelShiftReport:
    """Every day and regime, and what follows from the newest."""

    verdict: Verdict
    regimes: tuple[RegimeVerdict, ...]
    days: tuple[DayShift, ...]  # oldest first, the regimes of a day side by side
    naive_points: float  # of the newest day
    naive_fires: bool  # what a rule without regimes, days and training's own scatter would say

    @property
    def sha256(self) -> str:
        """Hex sha256 of the report's content."""
        return content_sha(self)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a day and regime."""
        return [asdict(day) for day in self.days]


def label_shift_report(
    live: DailyCounts, training: DailyCounts, regimes: tuple[str, ...], parameters: LabelShiftParameters
) -> LabelShiftReport:
    """Judge each day of ``live`` against ``training``, regime by regime, and the newest days together.

    Raises DataError if a side counts other regimes than those named, or ``live`` has no day.
    """
    for side in (live, training):
        if side.counts.shape[1] != len(regimes):
            raise DataError(f"counts of {side.counts.shape[1]} regimes stand beside {len(regimes)} names")
    if not live.days:
        raise DataError("no day of live labels: nothing to judge")
    naive = naive_points(live, training)
    by_regime = [_days_of(live, training, number, name, naive, parameters) for number, name in enumerate(regimes)]
    verdicts = tuple(_vote(days, parameters) for days in by_regime)
    days = tuple(day for together in zip(*by_regime, strict=True) for day in together)
    newest = float(naive[-1])
    return LabelShiftReport(_overall(verdicts), verdicts, days, newest, newest > parameters.min_points)


def should_retrain(report: LabelShiftReport) -> str | None:
    """Why a model should be trained anew, in words; None if it should not."""
    found = [regime.reason for regime in report.regimes if regime.verdict == "shift"]
    return "; ".join(found) or None


def naive_points(live: DailyCounts, training: DailyCounts) -> Floats:
    """Largest change of a class share on each live day, in points, whatever the regime: (D,), NaN without a row."""
    reference = _shares(training.counts.sum(axis=(0, 1)))
    return np.asarray(100 * np.abs(_shares(live.counts.sum(axis=1)) - reference).max(axis=1))


def day_to_day_points(counts: Counts, quantile: float) -> float:
    """Quantile of the shifts between any two days, percentage points; counts (D, 3) of one regime.

    >>> day_to_day_points(np.array([[10, 80, 10], [20, 70, 10], [10, 85, 5]]), 0.99)
    15.000000000000002
    """
    shares = _shares(counts)
    first, second = np.triu_indices(len(counts), 1)
    shifts = np.abs(shares[first] - shares[second]).max(axis=1)
    return float(100 * np.quantile(shifts, quantile, method="higher"))


def bootstrap_noise(counts: Counts, draws: int, generator: np.random.Generator) -> Floats:
    """What chance adds to a day's change of shares: (draws, 3); counts (D, 3) of one regime in training.

    A day is one block. The reference is that of training days drawn anew; a single day has no scatter of its own, so
    that of a training day about their mean stands for it.
    """
    shares = _shares(counts)
    drawn = generator.integers(0, len(counts), size=(draws, len(counts)))
    reference = _shares(counts[drawn].sum(axis=1)) - _shares(counts.sum(axis=0))
    own = (shares - shares.mean(axis=0))[generator.integers(0, len(counts), size=draws)]
    return np.asarray(own - reference)


def _days_of(
    live: DailyCounts, training: DailyCounts, number: int, name: str, naive: Floats, parameters: LabelShiftParameters
) -> list[DayShift]:
    """Every live day of one regime, each with the verdict of the days up to it."""
    counts = training.counts[:, number]
    whole = (training.shares_of_day >= parameters.min_day_share) & (counts.sum(axis=1) >= parameters.min_rows)
    usual = _Usual.of(counts[whole], np.random.default_rng((parameters.seed, number)), parameters)
    days = list[DayShift]()
    for day, share_of_day, rows, points in zip(
        live.days, live.shares_of_day, live.counts[:, number], naive, strict=True
    ):
        reason = _too_little(rows, float(share_of_day), usual.days, parameters)
        found = DayShift(day, name, int(rows.sum()), usual.rows, usual.days, float(points), reason=reason)
        days.append(found if reason else _judge(found, rows, usual, parameters))
        days[-1] = replace(days[-1], verdict=_vote(days, parameters).verdict)
    return days


class _Usual(NamedTuple):
    """One regime in training: its shares, and what its days do to each other."""

    days: int
    rows: int
    shares: Floats  # (3,)
    points: float  # what the shifts between two days hardly ever exceed
    low: Floats  # (3,) ends of what chance adds to a day's change of shares
    high: Floats

    @classmethod
    def of(cls, counts: Counts, generator: np.random.Generator, parameters: LabelShiftParameters) -> "_Usual":
        """``counts`` (D, 3) of the whole days; with too few of them the rest is NaN."""
        days, pooled = len(counts), counts.sum(axis=0)
        if days < parameters.min_training_days:
            unknown = np.full(3, np.nan)
            return cls(days, int(pooled.sum()), unknown, float("nan"), unknown, unknown)
        ends = [(1 - parameters.interval) / 2, (1 + parameters.interval) / 2]
        low, high = np.quantile(bootstrap_noise(counts, parameters.draws, generator), ends, axis=0)
        points = day_to_day_points(counts, parameters.training_quantile)
        return cls(days, int(pooled.sum()), _shares(pooled), points, low, high)


def _judge(found: DayShift, rows: Counts, usual: _Usual, parameters: LabelShiftParameters) -> DayShift:
    """The day with its rows of a regime, (3,), held against training: the class that moved most."""
    change = _shares(rows) - usual.shares
    k = int(np.abs(change).argmax())
    points, low, high = (100 * float(value[k]) for value in (change, change + usual.low, change + usual.high))
    share = float(usual.shares[k])
    return replace(
        found,
        kind=CLASS_NAMES[k],
        share=share + points / 100,
        training_share=share,
        change_points=points,
        low_points=low,
        high_points=high,
        training_points=usual.points,
        exceeds=abs(points) > max(parameters.min_points, usual.points) and not low <= 0 <= high,
    )


def _too_little(rows: Counts, share_of_day: float, training_days: int, parameters: LabelShiftParameters) -> str:
    """Why nothing can be said of a day's regime; empty if something can."""
    if training_days < parameters.min_training_days:
        return f"training has {training_days} whole days of it, {parameters.min_training_days} needed"
    if share_of_day < parameters.min_day_share:
        return f"labels cover {share_of_day:.1%} of the day, {parameters.min_day_share:.0%} needed"
    if rows.sum() < parameters.min_rows:
        return f"{rows.sum()} rows of it, {parameters.min_rows} needed"
    return ""


def _vote(days: list[DayShift], parameters: LabelShiftParameters) -> RegimeVerdict:
    """What the newest days of one regime say together: a shift where enough of them moved one class one way."""
    newest = days[-parameters.of_days :]
    exceeding = _most_agreeing([day for day in newest if day.exceeds])
    judged = [day for day in newest if not day.reason]
    if len(exceeding) >= parameters.votes:
        return RegimeVerdict(days[-1].regime, "shift", _in_words(exceeding[-1], len(exceeding), parameters))
    if len(judged) >= parameters.votes:
        said = f"{len(exceeding)} of {len(judged)} days exceed alike what training's own do, {parameters.votes} needed"
        return RegimeVerdict(days[-1].regime, "stable", said)
    why = next((day.reason for day in reversed(newest) if day.reason), f"{len(judged)} days, {parameters.votes} needed")
    return RegimeVerdict(days[-1].regime, "insufficient", why)


def _most_agreeing(exceeding: list[DayShift]) -> list[DayShift]:
    """The largest group of days that moved the same class the same way, in order."""
    ways = Counter((day.kind, day.change_points > 0) for day in exceeding)
    most = ways.most_common(1)[0][0] if ways else None
    return [day for day in exceeding if (day.kind, day.change_points > 0) == most]


def _in_words(day: DayShift, exceeding: int, parameters: LabelShiftParameters) -> str:
    interval = f"{parameters.interval:.0%} interval {day.low_points:+.1f} to {day.high_points:+.1f}"
    usual = f"training's own days differ by at most {day.training_points:.1f}"
    return (
        f"{day.regime}: {day.kind} is {day.share:.1%} of the rows of {day.day}, {day.training_share:.1%} in training: "
        f"{day.change_points:+.1f} points ({interval}; {usual}), {exceeding} of the last {parameters.of_days} days"
    )


def _overall(verdicts: tuple[RegimeVerdict, ...]) -> Verdict:
    for verdict in ("shift", "stable"):
        if any(regime.verdict == verdict for regime in verdicts):
            return verdict
    return "insufficient"


def _shares(counts: Counts) -> Floats:
    """Counts over their sum along the last axis; NaN where that is 0."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(total > 0, counts / np.maximum(total, 1), np.nan))
