"""How far from 0 an A/B's difference has to lie on the look of a day: what harm may spend, and what a winner needs."""

import math
from typing import Final

from scipy import special

LEAST_DAYS: Final = 14  # of counted minutes; fewer give no winner, whatever they show
HARM_LEVEL: Final = 0.025  # chance, over all looks, of stopping a challenger that does no harm
_WIDEST: Final = 40.0  # deviations; the chance beyond it is 0 in float64


def winner_reach(days: float, level: float) -> float:
    """Deviations that the difference must lie from 0 after so many days, for a look on every day from LEAST_DAYS on.

    Equal arms pass it on some day, however long the test goes on, with a chance of at most 1 - level: the difference is
    a Brownian motion in the days, exp(z^2 / 2) / sqrt(days) of its deviations z a martingale from LEAST_DAYS on, and
    sqrt(a^2 + log(days / LEAST_DAYS)) a fixed value of that. Derived in docs/ab.md.

    >>> [round(winner_reach(days, 0.95), 2) for days in (14, 28, 140)]
    [2.8, 2.92, 3.18]
    """
    return math.sqrt(first_reach(1 - level) ** 2 + math.log(max(days / LEAST_DAYS, 1.0)))


def first_reach(chance: float) -> float:
    """The first day's reach ``a`` with which equal arms pass on some day with that chance: 2 (1 - Phi(a) + a phi(a)).

    >>> round(first_reach(0.05), 3)
    2.795
    """
    low, high = 0.0, _WIDEST
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _passes(middle) > chance else (low, middle)
    return high


def harm_share(day: int, planned_days: float) -> float:
    """Chance of a false stop that the look at the end of a day may take; all days up to the planned sum to HARM_LEVEL.

    >>> round(sum(harm_share(day, 14) for day in range(1, 15)), 6), harm_share(1, 14) < 1e-9
    (0.025, True)
    """
    return _spent(day, planned_days) - _spent(day - 1, planned_days)


def _passes(reach: float) -> float:
    density = math.exp(-(reach**2) / 2) / math.sqrt(2 * math.pi)
    return float(2 * (special.ndtr(-reach) + reach * density))


def _spent(day: int, planned_days: float) -> float:
    share = min(day / planned_days, 1.0)
    return float(2 * special.ndtr(special.ndtri(HARM_LEVEL / 2) / math.sqrt(share))) if share > 0 else 0.0
