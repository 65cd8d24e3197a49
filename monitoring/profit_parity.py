"""How far a run's profit lies from its backtest's, minute by minute; where the difference comes from; and its band."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from monitoring.parameters import ParityParameters

Verdict = Literal["passed", "failed", "insufficient", "reported", "not asked"]
PASSED: Final = "passed"
FAILED: Final = "failed"
INSUFFICIENT: Final = "insufficient"  # which is not a pass
REPORTED: Final = "reported"  # a figure without a bar
NOT_ASKED: Final = "not asked"  # the level does not apply
DECISIONS: Final = 2  # the level that always applies
PROFIT: Final = (3, 4)  # levels that weigh profit; the others are exact or wrong
CHANCE: Final = 4  # the level that an honest run misses one time in ten
RESIDUAL: Final = "residual"


class Level(NamedTuple):
    """What one level of the ladder came to."""

    level: int  # 1 to 4
    verdict: Verdict
    why: str
    figures: Mapping[str, Any]  # JSON-able


def whole_verdict(levels: Sequence[Level]) -> Verdict:
    """Failed if a level below the fourth is; passed if level 2 and one of those that weigh profit passed, and none of
    the levels is insufficient; else insufficient.

    A run outside the band of level 4 is no failure, and no pass either: where no bar held level 3, nothing weighed the
    profit. Nor has anything where the climb ended below level 3.

    >>> whole_verdict([Level(1, "not asked", "", {}), Level(2, "passed", "", {}), Level(3, "passed", "", {})])
    'passed'
    >>> whole_verdict([Level(2, "passed", "", {}), Level(3, "reported", "", {}), Level(4, "failed", "", {})])
    'insufficient'
    """
    if any(level.verdict == FAILED for level in levels if level.level != CHANCE):
        return FAILED
    passed = {level.level for level in levels if level.verdict == PASSED}
    proven = DECISIONS in passed and not passed.isdisjoint(PROFIT)
    return PASSED if proven and all(level.verdict != INSUFFICIENT for level in levels) else INSUFFICIENT


class Bar(NamedTuple):
    """One step of a waterfall, settlement currency."""

    cause: str
    amount: float  # by which the run's profit differs for it


@dataclass(frozen=True, slots=True)
class Waterfall:
    """From the profit that was assumed to the one that was made."""

    assumed: float  # settlement currency, as is the next
    made: float
    bars: tuple[Bar, ...]  # their sum is exactly ``made - assumed``, to the rounding of floats

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"assumed": self.assumed, "made": self.made, "bars": {bar.cause: bar.amount for bar in self.bars}}


@dataclass(frozen=True, slots=True)
class Band:
    """A run's profit among those of backtests with drawn latencies, settlement currency."""

    low: float
    high: float
    made: float
    inside: bool  # within the band, or off it by no more than level 3 allows
    minutes: pl.DataFrame  # minute, low, high, made, inside
    draws: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without the minutes."""
        inside = int(self.minutes["inside"].sum())
        figures = {"low": self.low, "high": self.high, "made": self.made, "draws": self.draws}
        return figures | {"minutes": self.minutes.height, "minutes_inside": inside}


def side_by_side(made: pl.DataFrame, again: pl.DataFrame) -> pl.DataFrame:
    """Profits of both runs by minute: ``minute``, ``made``, ``again``; 0 in a minute that one of them lacks.

    made, again : ``minute`` and ``net``, see ``backtest.performance.minute_profits``
    """
    sides = made.rename({"net": "made"}).join(again.rename({"net": "again"}), on="minute", how="full", coalesce=True)
    return sides.with_columns(pl.col("made", "again").fill_null(0.0)).sort("minute")


def distance(sides: pl.DataFrame) -> float:
    """Sum over minutes of the absolute differences, over that of the run's own absolute profits; NaN of no profit.

    >>> distance(pl.DataFrame({"minute": [0, 1], "made": [3.0, -1.0], "again": [3.0, -0.8]}))
    0.05
    """
    made, again = sides["made"].to_numpy(), sides["again"].to_numpy()
    moved = float(np.abs(made).sum())
    return round(float(np.abs(made - again).sum()) / moved, 12) if moved else math.nan


def judge_distance(sides: pl.DataFrame, fills: int, at_bar: bool, bar: ParityParameters) -> Level:
    """Level 3; ``at_bar``: a venue that plays a recording is held to the bar, a real one's figure is reported.

    Of too few fills nothing is said of either.
    """
    found = distance(sides)
    figures = {"distance": None if math.isnan(found) else found, "fills": fills, "minutes": sides.height}
    said = f"{100 * found:.4g} % of the profit's movement over {sides.height} minutes and {fills} fills"
    if math.isnan(found):
        return Level(3, INSUFFICIENT, f"no profit moved in {sides.height} minutes and {fills} fills", figures)
    if fills < bar.min_fills:
        return Level(3, INSUFFICIENT, f"{said}; {bar.min_fills} fills are needed", figures)
    if not at_bar:
        return Level(3, REPORTED, f"{said}; a real venue has no bar", figures)
    verdict: Verdict = PASSED if found < bar.most_distance else FAILED
    return Level(3, verdict, f"{said}; the bar is {100 * bar.most_distance:g} %", figures)


def waterfall(assumed: float, steps: Sequence[tuple[str, float]], made: float) -> Waterfall:
    """Bars from profits along the way from assumptions to facts: each step's over the one before, what is left last.

    steps : cause and profit of the backtest in which it is a fact, and every cause before it

    >>> waterfall(10.0, [("fees", 8.0), ("latency", 9.0)], 9.5).bars
    (Bar(cause='fees', amount=-2.0), Bar(cause='latency', amount=1.0), Bar(cause='residual', amount=0.5))
    """
    profits = [assumed, *(profit for _, profit in steps), made]
    causes = [*(cause for cause, _ in steps), RESIDUAL]
    amounts = np.diff(profits).tolist()
    return Waterfall(assumed, made, tuple(Bar(cause, amount) for cause, amount in zip(causes, amounts, strict=True)))


def band(made: pl.DataFrame, drawn: Sequence[pl.DataFrame], bar: ParityParameters) -> Band:
    """The run's profit among the drawn ones, whole and by minute, between the quantiles that leave out as much on
    either side.

    made, drawn : ``minute`` and ``net``, of the same minutes
    """
    own = made["net"].to_numpy()
    others = np.array([minutes["net"].to_numpy() for minutes in drawn])
    slack = bar.most_distance * float(np.abs(own).sum())
    low, high = _ends(others, bar)
    within = (low - slack <= own) & (own <= high + slack)
    minutes = pl.DataFrame({"minute": made["minute"], "low": low, "high": high, "made": own, "inside": within})
    total, (least, most) = float(own.sum()), _ends(others.sum(axis=1), bar)
    inside = bool(least - slack <= total <= most + slack)
    return Band(float(least), float(most), total, inside, minutes, len(drawn))


def judge_band(found: Band, bar: ParityParameters) -> Level:
    """Level 4."""
    said = f"profit {found.made:.6g}, drawn {found.low:.6g} to {found.high:.6g} ({found.draws} backtests)"
    minutes = f"{found.minutes['inside'].sum()} of {found.minutes.height} minutes lie inside"
    chance = "" if found.inside else f"; an honest run lies outside {100 * (1 - bar.band):.0f} % of the time"
    return Level(4, PASSED if found.inside else FAILED, f"{said}; {minutes}{chance}", found.as_dict())


def _ends(values: NDArray[np.float64], bar: ParityParameters) -> NDArray[np.float64]:
    tail = (1 - bar.band) / 2
    return np.quantile(values, (tail, 1 - tail), axis=0)
