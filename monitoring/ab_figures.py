"""The minutes of two arms, and what they come to: figures, their differences, and an interval of each.

Every figure is a smooth function of means of columns (a tail loss by way of its quantile), so one paired block
bootstrap of the columns gives every interval.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

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

TAIL: Final = 0.01  # share of the worst minutes whose mean is the tail loss
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
    champion, challenger = arm_figures(means, quantiles)
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


def arm_figures(means: Floats, quantiles: tuple[float, float]) -> tuple[Floats, Floats]:
    counted = means[..., -1]
    champion, challenger = (
        _of_arm(means[..., place * _COLUMNS : (place + 1) * _COLUMNS], counted, quantile)
        for place, quantile in enumerate(quantiles)
    )
    return champion, challenger


def _arm_columns(arm: Arm, quantile: float) -> Floats:
    """Profit, its square, whether it won, whether it moved, how far it lies under the quantile, cost, turnover."""
    net = arm.net
    return np.column_stack(
        [net, net**2, net > 0, net != 0, np.maximum(quantile - net, 0.0), arm.cost, arm.turnover]
    ).astype(np.float64)


def _of_arm(means: Floats, counted: Floats, quantile: float) -> Floats:
    net, square, won, moved, under, cost, turnover = (means[..., place] for place in range(_COLUMNS))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = net / counted
        sharpe = mean / np.sqrt(square / counted - mean**2)
        return np.stack([sharpe, won / moved, under / counted / TAIL - quantile, 1e4 * cost / turnover], axis=-1)


def _unknown(value: float, block: int, observations: int, level: float, note: str) -> Interval:
    return Interval(finite_or_none(value), None, None, level, block, observations, 0, note)


def finite_or_none(value: float) -> float | None:
    """The value, None where it is not finite: what JSON can hold."""
    return float(value) if math.isfinite(value) else None
