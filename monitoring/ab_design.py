"""Which model trades when: two sub-accounts side by side, or one account that switches back and forth."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import ConfigError, DataError
from monitoring.ab_figures import Arm, Pair

CHAMPION: Final = 0
CHALLENGER: Final = 1
WASHED_OUT: Final = -1
HALF: Final = 0.5  # of the risk that one account may take, for each of two arms


@dataclass(frozen=True, slots=True)
class Switchback:
    """One account that changes hands; the arm that rests decides in shadow, so that every minute has both."""

    period_minutes: int  # between two changes
    washout_minutes: int  # after a change, while the one before flattens; they count for neither
    seed: int  # of which arm begins each pair of periods

    def __post_init__(self) -> None:
        if not 0 <= self.washout_minutes < self.period_minutes:
            raise ConfigError(
                f"washout_minutes={self.washout_minutes} must lie in 0 to below period_minutes={self.period_minutes}"
            )
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed} is below 0")

    def arms(self, minutes: int) -> NDArray[np.int8]:
        """Who trades in each minute from the start on: CHAMPION, CHALLENGER, or WASHED_OUT.

        Of each two periods either arm has one, in an order that is drawn: no hour of the day belongs to one of them.

        >>> Switchback(3, 1, 0).arms(7).tolist()
        [-1, 1, 1, -1, 0, 0, -1]
        """
        periods = -(-minutes // self.period_minutes)
        first = np.random.default_rng(self.seed).integers(0, 2, periods // 2 + 1)
        order = np.column_stack([first, 1 - first]).ravel()[:periods]
        arms = np.repeat(order, self.period_minutes)[:minutes].astype(np.int8)
        arms[np.arange(minutes) % self.period_minutes < self.washout_minutes] = WASHED_OUT
        return arms


def side_by_side(champion: Arm, challenger: Arm, risks: tuple[float, float] = (HALF, HALF)) -> Pair:
    """Two sub-accounts, each at its share of the risk; a minute counts where both were there (are finite)."""
    arms = champion.scaled(risks[0]), challenger.scaled(risks[1])
    if arms[0].net.shape != arms[1].net.shape:
        raise DataError(f"{arms[0].net.size} minutes of a champion and {arms[1].net.size} of a challenger")
    counted = np.all([np.isfinite(column) for arm in arms for column in arm], axis=0)
    first, second = (Arm(*(np.where(counted, column, 0.0) for column in arm)) for arm in arms)
    return Pair(first, second, counted)


def switched(live: Arm, shadow: Arm, arms: NDArray[np.int8]) -> Pair:
    """One account: in each minute the arm that trades is the live one, the other decides in shadow.

    arms : (minutes,), see Switchback.arms
    """
    hers = arms == CHALLENGER
    champion = Arm(*(np.where(hers, idle, real) for real, idle in zip(live, shadow, strict=True)))
    challenger = Arm(*(np.where(hers, real, idle) for real, idle in zip(live, shadow, strict=True)))
    pair = side_by_side(champion, challenger, (1.0, 1.0))
    return pair._replace(counted=pair.counted & (arms != WASHED_OUT))
