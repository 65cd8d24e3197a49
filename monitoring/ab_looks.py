"""What a look at an A/B sees, day by day: the Sharpe difference, how sure it is, and when harm was plain."""

import math
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from backtest.hac import NIL
from backtest.reality import stationary_variances
from backtest.resampling import LEVEL, Interval, block_length, shortage, tail_share
from monitoring.ab_boundaries import LEAST_DAYS, harm_share, winner_reach
from monitoring.ab_figures import Arm, Floats, Pair

MINUTES_A_DAY: Final = 1_440
POWER: Final = 0.8  # with which the detectable effect would have been found


class Look(NamedTuple):
    """The Sharpe difference of the minutes so far, a minute."""

    difference: float
    error: float  # standard error: what infinitely many draws by blocks would give
    block: int
    observations: int

    def reach(self, days: float, level: float) -> float:
        """Errors that a winner's difference must lie from 0; a little more than of a known error, see tail_share."""
        level_of_look = 2 * special.ndtr(winner_reach(days, level)) - 1
        return -float(special.ndtri(tail_share(level_of_look, self.observations / self.block)))

    def detectable(self, days: float, level: float) -> float:
        """The Sharpe difference, a minute, that so many minutes as loud as these find with POWER."""
        return float((self.reach(days, level) + special.ndtri(POWER)) * self.error)


def look_at(pair: Pair, holding: float) -> Look | str:
    """What one look sees; in words why it sees nothing."""
    note = shortage(len(pair.counted), 1) or _stillness(pair)
    if note:
        return note
    difference, influence = sharpe_difference(pair)
    block = block_length(influence, holding, holding)
    error = math.sqrt(float(stationary_variances(influence[:, None], block)[0]) / influence.size)
    return shortage(influence.size, block) or Look(difference, error, block, influence.size)


def over_looks(look: Look, days: float, level: float = LEVEL) -> Interval:
    """The Sharpe difference with an interval that holds it on all days' looks at once; none before LEAST_DAYS."""
    known = Interval(look.difference, None, None, level, look.block, look.observations, 0, "")
    if days < LEAST_DAYS:
        return replace(known, note=f"{days:.1f} days of counted minutes, {LEAST_DAYS} are needed")
    half = look.reach(days, level) * look.error
    return replace(known, low=look.difference - half, high=look.difference + half)


def harm_day(pair: Pair, holding: float, planned_days: float) -> int | None:
    """The first day at whose end the challenger's Sharpe ratio was plainly below the champion's; None if on none.

    The looks, one a day, share HARM_LEVEL as an O'Brien-Fleming boundary spends it; what a look is given is its own
    (Bonferroni), so that the sum holds however the looks hang together.
    Source: Lan & DeMets (1983), Discrete sequential boundaries for clinical trials
    """
    for day in range(1, len(pair.counted) // MINUTES_A_DAY + 1):
        look = look_at(first_minutes(pair, day * MINUTES_A_DAY), holding)
        if isinstance(look, str):
            continue
        if special.ndtr(look.difference / max(look.error, 1e-300)) < harm_share(day, planned_days):
            return day
    return None


def counted_days(pair: Pair) -> float:
    """Minutes that count, in days."""
    return float(pair.counted.sum()) / MINUTES_A_DAY


def sharpe_difference(pair: Pair) -> tuple[float, Floats]:
    """Challenger's less champion's Sharpe ratio, a minute, and what each minute adds to it, shape (minutes,).

    Source: Lo (2002), The statistics of Sharpe ratios
    """
    (first, own), (second, other) = (_sharpe(arm.net, pair.counted) for arm in (pair.champion, pair.challenger))
    return second - first, other - own


def first_minutes(pair: Pair, minutes: int) -> Pair:
    """A test as it stood after so many minutes."""
    champion, challenger = (Arm(*(column[:minutes] for column in arm)) for arm in (pair.champion, pair.challenger))
    return Pair(champion, challenger, pair.counted[:minutes])


def _stillness(pair: Pair) -> str:
    for name, arm in (("champion", pair.champion), ("challenger", pair.challenger)):
        net = arm.net[pair.counted]
        if net.size < 2 or float(np.var(net)) <= NIL * float(np.mean(net**2)):
            return f"the {name}'s profit does not move in {net.size} counted minutes"
    return ""


def _sharpe(net: Floats, counted: NDArray[np.bool_]) -> tuple[float, Floats]:
    inside = net[counted]
    scaled = np.where(counted, (net - inside.mean()) / inside.std(), 0.0)
    sharpe = float(inside.mean() / inside.std())
    added = np.where(counted, scaled - sharpe / 2 * (scaled**2 - 1), 0.0)
    return sharpe, added * (net.size / inside.size)
