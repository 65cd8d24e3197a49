"""Champion against challenger on the same minutes: who is better, by how much, and what could have been told apart.

Pure: minutes of two arms in, a verdict out. Every figure is a smooth function of means of columns (a tail loss by way
of its quantile), so one paired block bootstrap of the columns gives every interval. docs/promotion.md has the rules.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from backtest.hac import NIL
from backtest.reality import stationary_variances
from backtest.resampling import (
    DRAWS,
    LEVEL,
    Interval,
    block_length,
    bootstrap_means,
    finite_series,
    shortage,
    tail_share,
)
from market.errors import DataError

Floats = NDArray[np.float64]
AbVerdict = Literal["challenger", "champion", "not told apart", "stopped for harm", "insufficient"]

HARM: Final = "stopped for harm"
WINNERS: Final = ("challenger", "champion")

MINUTES_A_DAY: Final = 1_440
LEAST_DAYS: Final = 14  # of counted minutes; fewer give no winner, whatever they show
TAIL: Final = 0.01  # share of the worst minutes whose mean is the tail loss
POWER: Final = 0.8  # with which the detectable effect would have been found
HARM_LEVEL: Final = 0.025  # chance, over all looks, of stopping a challenger that does no harm
FIGURES: Final = ("sharpe", "hit_rate", "tail_loss", "cost_bp")
_COLUMNS: Final = 7  # of an arm, see _arm_columns


class Arm(NamedTuple):
    """One model's minutes, each over the risk budget of its arm, so that two arms are at equal risk."""

    net: Floats  # (minutes,), profit
    cost: Floats  # (minutes,), fees and distance from the mid
    turnover: Floats  # (minutes,), traded notional

    def scaled(self, risk: float) -> "Arm":
        """The arm's money over a risk budget, such as half of the account's."""
        return Arm(*(column / risk for column in self))


class Pair(NamedTuple):
    """Two arms minute by minute."""

    champion: Arm
    challenger: Arm
    counted: NDArray[np.bool_]  # (minutes,): not washed out, and both arms were there


@dataclass(frozen=True, slots=True)
class AbResult:
    """What an A/B came to. Differences are challenger less champion."""

    verdict: AbVerdict
    why: str
    days: float  # of counted minutes
    differences: dict[str, Interval]  # by figure of FIGURES; a tail loss and a cost are worse where they are larger
    arms: dict[str, dict[str, float | None]]  # champion and challenger, each figure, None where it is not known
    detectable: float | None  # Sharpe difference, a minute, that this many minutes find with POWER at LEVEL
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
    columns, days = ab_columns(pair), float(pair.counted.sum()) / MINUTES_A_DAY
    stopped = harm_day(pair, holding, planned_days)
    note = shortage(len(columns), 1) or _stillness(pair)
    if note:
        return AbResult("insufficient", note, days, {}, {}, None, stopped)
    found = intervals(columns, quantiles_of(pair), holding, generator, draws, level)
    arms = dict(zip(("champion", "challenger"), _arm_figures(columns.mean(axis=0), quantiles_of(pair)), strict=True))
    detectable = detectable_effect(columns, quantiles_of(pair), found["sharpe"].block, level)
    verdict, why = _verdict(found, days, stopped)
    named = {arm: dict(zip(FIGURES, map(_known, values), strict=True)) for arm, values in arms.items()}
    return AbResult(verdict, why, days, found, named, detectable, stopped)


def ab_columns(pair: Pair) -> Floats:
    """What every figure is made of, shape (minutes, 15): seven columns an arm and the mark of a counted minute.

    A minute that does not count is a row of zeros that stays in its place: neighbours stay neighbours.
    """
    shapes = {column.shape for column in (*pair.champion, *pair.challenger, pair.counted)}
    if len(shapes) != 1:
        raise DataError(f"the columns of two arms differ in shape: {sorted(shapes)}")
    low = quantiles_of(pair)
    parts = [_arm_columns(arm, q) for arm, q in zip((pair.champion, pair.challenger), low, strict=True)]
    table = np.column_stack([*parts, np.ones(pair.counted.size)])
    return finite_series(np.where(pair.counted[:, None], table, 0.0))


def quantiles_of(pair: Pair) -> tuple[float, float]:
    """The minute profit of each arm below which TAIL of its counted minutes lie."""
    if not pair.counted.any():
        return 0.0, 0.0
    low, other = (float(np.quantile(arm.net[pair.counted], TAIL)) for arm in (pair.champion, pair.challenger))
    return low, other


def figures_of(means: Floats, quantiles: tuple[float, float]) -> Floats:
    """Differences of the figures, challenger less champion, shape (..., 4); ``means`` of columns, shape (..., 15).

    The tail loss is the mean loss of the worst TAIL of minutes. Its quantile is kept fixed: the loss does not move with
    it to first order (it is the minimum over all quantiles).
    Source: Rockafellar & Uryasev (2000), Optimization of conditional value-at-risk
    """
    champion, challenger = _arm_figures(means, quantiles)
    return np.asarray(challenger - champion)


def intervals(
    columns: Floats,
    quantiles: tuple[float, float],
    holding: float,
    generator: np.random.Generator,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """The difference of every figure with its paired block bootstrap interval; none where it is not finite."""
    observed = figures_of(columns.mean(axis=0), quantiles)
    block = block_length(influences(columns, quantiles), holding, holding)
    centre = columns.mean(axis=0)
    note = shortage(len(columns), block)
    if note:
        return {
            name: _unknown(value, block, len(columns), level, note)
            for name, value in zip(FIGURES, observed, strict=True)
        }
    drawn = figures_of(bootstrap_means(columns - centre, block, draws, generator) + centre, quantiles)
    tail = tail_share(level, len(columns) / block)
    found = {}
    for name, value, sample in zip(FIGURES, observed, drawn.T, strict=True):
        low, high = np.quantile(sample, [tail, 1 - tail])
        whole = Interval(float(value), float(low), float(high), level, block, len(columns), draws, "")
        known = math.isfinite(value) and bool(np.isfinite(sample).all())
        found[name] = whole if known else _unknown(value, block, len(columns), level, "an arm never traded")
    return found


def influences(columns: Floats, quantiles: tuple[float, float]) -> Floats:
    """What each minute adds to each figure's difference, to first order, shape (minutes, 4); 0 for one not known."""
    means = columns.mean(axis=0)
    steps = np.maximum(np.abs(means), columns.std(axis=0)) * 1e-6
    slopes = np.zeros((columns.shape[1], len(FIGURES)))
    for place in np.flatnonzero(steps > 0):
        above, below = means.copy(), means.copy()
        above[place] += steps[place]
        below[place] -= steps[place]
        slopes[place] = (figures_of(above, quantiles) - figures_of(below, quantiles)) / (2 * steps[place])
    return np.asarray((columns - means) @ np.nan_to_num(slopes, posinf=0.0, neginf=0.0))


def sharpe_error(columns: Floats, quantiles: tuple[float, float], block: int) -> float:
    """Standard error of the Sharpe difference, a minute: what infinitely many draws would give."""
    return math.sqrt(float(stationary_variances(influences(columns, quantiles)[:, :1], block)[0]) / len(columns))


def detectable_effect(columns: Floats, quantiles: tuple[float, float], block: int, level: float = LEVEL) -> float:
    """The Sharpe difference, a minute, that so many minutes as loud as these find with POWER, two-sided."""
    reach = special.ndtri((1 + level) / 2) + special.ndtri(POWER)
    return float(reach * sharpe_error(columns, quantiles, block))


def harm_day(pair: Pair, holding: float, planned_days: float) -> int | None:
    """The first day at whose end the challenger's Sharpe ratio was plainly below the champion's; None if on none.

    The looks, one a day, share HARM_LEVEL as an O'Brien-Fleming boundary spends it; what a look is given is its own
    (Bonferroni), so that the sum holds however the looks hang together.
    Source: Lan & DeMets (1983), Discrete sequential boundaries for clinical trials
    """
    for day in range(1, len(pair.counted) // MINUTES_A_DAY + 1):
        seen = _first(pair, day * MINUTES_A_DAY)
        if _stillness(seen):
            continue
        difference, influence = sharpe_difference(seen)
        block = block_length(influence, holding, holding)
        if shortage(len(influence), block):
            continue
        error = math.sqrt(float(stationary_variances(influence[:, None], block)[0]) / len(influence))
        if special.ndtr(difference / max(error, 1e-300)) < harm_share(day, planned_days):
            return day
    return None


def sharpe_difference(pair: Pair) -> tuple[float, Floats]:
    """Challenger's less champion's Sharpe ratio, a minute, and what each minute adds to it, shape (minutes,).

    Source: Lo (2002), The statistics of Sharpe ratios
    """
    (first, own), (second, other) = (_sharpe(arm.net, pair.counted) for arm in (pair.champion, pair.challenger))
    return second - first, other - own


def harm_share(day: int, planned_days: float) -> float:
    """Chance of a false stop that the look at the end of a day may take; all days up to the planned sum to HARM_LEVEL.

    >>> round(sum(harm_share(day, 14) for day in range(1, 15)), 6), harm_share(1, 14) < 1e-9
    (0.025, True)
    """
    return _spent(day, planned_days) - _spent(day - 1, planned_days)


def _spent(day: int, planned_days: float) -> float:
    share = min(day / planned_days, 1.0)
    return float(2 * special.ndtr(special.ndtri(HARM_LEVEL / 2) / math.sqrt(share))) if share > 0 else 0.0


def _arm_columns(arm: Arm, quantile: float) -> Floats:
    """Profit, its square, whether it won, whether it moved, how far it lies under the quantile, cost, turnover."""
    net = arm.net
    return np.column_stack(
        [net, net**2, net > 0, net != 0, np.maximum(quantile - net, 0.0), arm.cost, arm.turnover]
    ).astype(np.float64)


def _arm_figures(means: Floats, quantiles: tuple[float, float]) -> tuple[Floats, Floats]:
    counted = means[..., -1]
    champion, challenger = (
        _of_arm(means[..., place * _COLUMNS : (place + 1) * _COLUMNS], counted, quantile)
        for place, quantile in enumerate(quantiles)
    )
    return champion, challenger


def _of_arm(means: Floats, counted: Floats, quantile: float) -> Floats:
    net, square, won, moved, under, cost, turnover = (means[..., place] for place in range(_COLUMNS))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = net / counted
        sharpe = mean / np.sqrt(square / counted - mean**2)
        return np.stack([sharpe, won / moved, under / counted / TAIL - quantile, 1e4 * cost / turnover], axis=-1)


def _sharpe(net: Floats, counted: NDArray[np.bool_]) -> tuple[float, Floats]:
    inside = net[counted]
    scaled = np.where(counted, (net - inside.mean()) / inside.std(), 0.0)
    sharpe = float(inside.mean() / inside.std())
    added = np.where(counted, scaled - sharpe / 2 * (scaled**2 - 1), 0.0)
    return sharpe, added * (net.size / inside.size)


def _first(pair: Pair, minutes: int) -> Pair:
    champion, challenger = (Arm(*(column[:minutes] for column in arm)) for arm in (pair.champion, pair.challenger))
    return Pair(champion, challenger, pair.counted[:minutes])


def _stillness(pair: Pair) -> str:
    for name, arm in (("champion", pair.champion), ("challenger", pair.challenger)):
        net = arm.net[pair.counted]
        if net.size < 2 or float(np.var(net)) <= NIL * float(np.mean(net**2)):
            return f"the {name}'s profit does not move in {net.size} counted minutes"
    return ""


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _unknown(value: float, block: int, observations: int, level: float, note: str) -> Interval:
    return Interval(_known(value), None, None, level, block, observations, 0, note)


def _verdict(found: dict[str, Interval], days: float, stopped: int | None) -> tuple[AbVerdict, str]:
    if stopped is not None:
        return HARM, f"by the end of day {stopped} the challenger's Sharpe ratio was plainly lower"
    sharpe = found["sharpe"]
    if days < LEAST_DAYS or sharpe.low is None:
        return "insufficient", sharpe.note or f"{days:.1f} days of counted minutes, {LEAST_DAYS} are needed"
    if sharpe.verdict == "below zero":
        return "champion", f"the challenger's Sharpe ratio is lower, {_shown(sharpe)} a minute"
    if sharpe.verdict != "above zero":
        return "not told apart", f"difference of Sharpe ratios {_shown(sharpe)} a minute"
    dearer = [name for name in ("tail_loss", "cost_bp") if found[name].verdict == "above zero"]
    if dearer:
        return "not told apart", f"a higher Sharpe ratio, {_shown(sharpe)}, at a larger {' and '.join(dearer)}"
    return "challenger", f"its Sharpe ratio is higher, {_shown(sharpe)} a minute"


def _shown(found: Interval) -> str:
    return f"{found.estimate:+.4g} [{found.low:+.4g}, {found.high:+.4g}]"
