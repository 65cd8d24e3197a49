"""Champion against challenger on the same minutes: who is better, by how much, and what could have been told apart.

Pure: minutes of two arms in, a verdict out. docs/ab.md has the rules.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from backtest.resampling import DRAWS, LEVEL, Interval
from monitoring.ab_boundaries import LEAST_DAYS
from monitoring.ab_figures import FIGURES, Pair, ab_columns, arm_figures, finite_or_none, intervals, quantiles_of
from monitoring.ab_looks import MINUTES_A_DAY, counted_days, harm_day, look_at, over_looks

AbVerdict = Literal["challenger", "champion", "not told apart", "stopped for harm", "insufficient"]

HARM: Final = "stopped for harm"
WINNERS: Final = ("challenger", "champion")
HELD_UP: Final = ("tail_loss", "cost_bp")  # figures that a challenger may not win at the price of


@dataclass(frozen=True, slots=True)
class AbResult:
    """What an A/B came to. Differences are challenger less champion."""

    verdict: AbVerdict
    why: str
    days: float  # of counted minutes
    differences: dict[str, Interval]  # by figure of FIGURES; a tail loss and a cost are worse where they are larger
    arms: dict[str, dict[str, float | None]]  # champion and challenger, each figure, None where it is not known
    over_looks: Interval | None  # of the Sharpe difference, for a look a day from LEAST_DAYS on, all of which hold it
    detectable: float | None  # Sharpe difference, a minute, that this day's look finds with POWER
    stopped_on: int | None  # day on which harm was plain

    @property
    def sentence(self) -> str:
        """The verdict in plain words."""
        told = "" if self.detectable is None else f" It could have told apart a Sharpe ratio of {self._daily} a day."
        return f"{self.verdict}: {self.why}.{told}"

    @property
    def _daily(self) -> str:
        return f"{(self.detectable or 0.0) * math.sqrt(MINUTES_A_DAY):.2f}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def judge_ab(
    pair: Pair,
    holding: float,
    generator: np.random.Generator,
    *,
    planned_days: float = LEAST_DAYS,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> AbResult:
    """Who wins. Nobody before LEAST_DAYS of counted minutes; before that the challenger can only be stopped for harm.

    holding : of a position, minutes; planned_days : over which the looks for harm share HARM_LEVEL
    Raises DataError if the arms' shapes differ or a counted minute is not finite.
    """
    columns, days = ab_columns(pair), counted_days(pair)
    stopped = harm_day(pair, holding, planned_days)
    look = look_at(pair, holding)
    if isinstance(look, str):
        return AbResult("insufficient", look, days, {}, {}, None, None, stopped)
    found = intervals(columns, quantiles_of(pair), holding, generator, draws, level)
    arms = dict(zip(("champion", "challenger"), arm_figures(columns.mean(axis=0), quantiles_of(pair)), strict=True))
    named = {arm: dict(zip(FIGURES, map(finite_or_none, values), strict=True)) for arm, values in arms.items()}
    lasting = over_looks(look, days, level)
    verdict, why = _verdict(found, lasting, stopped)
    return AbResult(verdict, why, days, found, named, lasting, look.detectable(days, level), stopped)


def _verdict(found: dict[str, Interval], sharpe: Interval, stopped: int | None) -> tuple[AbVerdict, str]:
    if stopped is not None:
        return HARM, f"by the end of day {stopped} the challenger's Sharpe ratio was plainly lower"
    if sharpe.low is None:
        return "insufficient", sharpe.note
    if sharpe.verdict == "below zero":
        return "champion", f"the challenger's Sharpe ratio is lower, {_shown(sharpe)} a minute over all looks"
    if sharpe.verdict != "above zero":
        return "not told apart", f"difference of Sharpe ratios {_shown(sharpe)} a minute over all looks"
    unknown = [f"{name} ({found[name].note})" for name in HELD_UP if found[name].low is None]
    if unknown:
        return "not told apart", f"a higher Sharpe ratio, {_shown(sharpe)}, at an unknown {' and '.join(unknown)}"
    dearer = [name for name in HELD_UP if found[name].verdict == "above zero"]
    if dearer:
        return "not told apart", f"a higher Sharpe ratio, {_shown(sharpe)}, at a larger {' and '.join(dearer)}"
    return "challenger", f"its Sharpe ratio is higher, {_shown(sharpe)} a minute over all looks"


def _shown(found: Interval) -> str:
    return f"{found.estimate:+.4g} [{found.low:+.4g}, {found.high:+.4g}]"
