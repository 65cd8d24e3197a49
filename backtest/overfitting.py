"""What choosing the best of many trials does to its Sharpe ratio: the deflated one, and how often the best fails later.

A Sharpe ratio here is mean over deviation of a bucket, never annualised.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from backtest.hac import NIL, bandwidth_of, effective_sample_size
from backtest.resampling import FEWEST_BUCKETS, finite_series
from market.errors import ConfigError, DataError

Floats = NDArray[np.float64]

SPLITS: Final = 16  # of CSCV, where the series is long enough: 12,870 ways to halve it
FEWEST_SPLITS: Final = 6
_EULER: Final = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class DeflatedSharpe:
    """How sure one can be that the chosen trial's Sharpe ratio is above what the best of as many empty ones shows."""

    probability: float | None  # that it is above; None where the verdict is "insufficient", as is ``hurdle``
    sharpe: float | None  # of the chosen trial, a bucket
    hurdle: float | None  # expected largest Sharpe ratio of ``trials`` trials without skill, a bucket
    trials: int
    observations: int
    effective: float | None  # independent buckets; take the place of the buckets in the formula
    verdict: Literal["better", "not shown", "insufficient"]
    note: str

    @property
    def p(self) -> float | None:
        """One less the probability."""
        return None if self.probability is None else 1.0 - self.probability

    @property
    def sentence(self) -> str:
        """What a gate says of it."""
        if self.probability is None:
            return f"deflated Sharpe: insufficient, {self.note}"
        return (
            f"deflated Sharpe: {self.verdict}, probability {self.probability:.3f}, {self.sharpe:.4g} a bucket against "
            f"{self.hurdle:.4g} of {self.trials} trials, {self.observations} buckets worth {self.effective:.0f}"
        )


@dataclass(frozen=True, slots=True)
class Overfitting:
    """How often the best of one half of the time is below the median in the other half."""

    pbo: float | None  # 0 to 1; 0.5 is no better than a draw; None where the verdict is "insufficient"
    loss_share: float | None  # of the halvings in which the chosen one loses money in the other half
    splits: int
    halvings: int
    block: int  # buckets of a split
    trials: int  # that could be compared
    left_out: int  # with no minute, or all equal ones, in some split
    verdict: Literal["carries over", "overfit", "insufficient"]
    note: str

    @property
    def sentence(self) -> str:
        """What a gate says of it."""
        if self.pbo is None:
            return f"PBO: insufficient, {self.note}"
        return (
            f"PBO: {self.verdict}, {self.pbo:.2f} over {self.halvings} halvings of {self.splits} splits "
            f"of {self.block}, {self.trials} trials, {self.left_out} left out; a loss later in {self.loss_share:.0%}"
        )


def probabilistic_sharpe(sharpe: float, hurdle: float, observations: float, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio is above ``hurdle``, 0 to 1; all a bucket, kurtosis 3 for a normal.

    Source: Bailey & Lopez de Prado (2012), The Sharpe ratio efficient frontier

    >>> round(probabilistic_sharpe(2.5 / 250**0.5, 0.113172, 1_250, -3.0, 10.0), 4)
    0.9004
    """
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if spread <= 0 or observations <= 1:
        raise DataError(f"skew={skew}, kurtosis={kurtosis}, observations={observations} are of no series")
    return float(special.ndtr((sharpe - hurdle) * math.sqrt((observations - 1) / spread)))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Expected largest Sharpe ratio of so many independent trials without skill whose ratios have that variance.

    One trial: 0. Correlated trials count as fewer, so counting each is on the safe side.
    Source: Bailey & Lopez de Prado (2014), The deflated Sharpe ratio

    >>> round(expected_best_sharpe(100, 0.5 / 250), 4)
    0.1132
    """
    if trials < 1 or not 0 <= variance < math.inf:
        raise ConfigError(f"trials={trials} must be 1 or more, variance={variance} 0 or more")
    if trials == 1:
        return 0.0
    places = special.ndtri(np.array([1 - 1 / trials, 1 - 1 / (trials * math.e)]))
    return float(math.sqrt(variance) * ((1 - _EULER) * places[0] + _EULER * places[1]))


def deflated_sharpe(
    series: Floats, sharpes: Floats, trials: int, holding: float, level: float = 0.05
) -> DeflatedSharpe:
    """The chosen trial's Sharpe ratio against the best that ``trials`` trials without skill would show.

    series : the chosen trial's, shape (buckets,), finite; sharpes : a bucket, of all trials that have one, finite
    trials : all that were begun, also those that left no series
    holding : of a position, buckets: neighbours that are alike count as fewer, by ``effective_sample_size``
    Source: Bailey & Lopez de Prado (2014), The deflated Sharpe ratio: correcting for selection bias, backtest
    overfitting and non-normality
    """
    values, spread = finite_series(series), finite_series(sharpes)
    if trials < len(spread):
        raise DataError(f"{len(spread)} Sharpe ratios of {trials} trials")
    note = _shortage(values, spread, trials)
    if note:
        return DeflatedSharpe(None, None, None, trials, values.size, None, "insufficient", note)
    effective = effective_sample_size(values, bandwidth_of(values.size, holding))
    if effective < FEWEST_BUCKETS:
        note = f"{values.size} buckets are worth {effective:.0f} independent ones, fewer than {FEWEST_BUCKETS}"
        return DeflatedSharpe(None, None, None, trials, values.size, effective, "insufficient", note)
    scaled = (values - values.mean()) / values.std()
    sharpe, hurdle = float(values.mean() / values.std()), expected_best_sharpe(trials, _variance(spread))
    found = probabilistic_sharpe(sharpe, hurdle, effective, float(np.mean(scaled**3)), float(np.mean(scaled**4)))
    verdict: Literal["better", "not shown"] = "better" if found >= 1 - level else "not shown"
    return DeflatedSharpe(found, sharpe, hurdle, trials, values.size, effective, verdict, "")


def overfitting(table: Floats, block: int, most: float = 0.5) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation over Sharpe ratios.

    The time is cut into an even number of equal splits, none shorter than ``block``, as many as fit up to 16; the
    oldest buckets that fill no split are left out. Each half of the splits chooses, the other half ranks the choice
    (ties in the middle). A trial that never traded has Sharpe ratio 0. "Overfit" at or above ``most``.

    table : shape (buckets, trials), net of a bucket, not a number where one is missing; infinite values raise DataError
    Source: Bailey, Borwein, Lopez de Prado & Zhu (2017), The probability of backtest overfitting, section 2
    """
    values = np.asarray(table, np.float64)
    if values.ndim != 2 or np.isinf(values).any() or block < 1:
        raise DataError(f"a table of shape {values.shape} and block={block}: finite columns and a positive block only")
    splits = min(SPLITS, len(values) // block // 2 * 2)
    if splits < FEWEST_SPLITS:
        note = f"{len(values)} buckets are fewer than {FEWEST_SPLITS} splits of {block}"
        return Overfitting(None, None, splits, 0, block, 0, values.shape[1], "insufficient", note)
    length = len(values) // splits
    folded = values[len(values) - splits * length :].reshape(splits, length, -1)
    moments = np.stack([np.sum(~np.isnan(folded), axis=1), np.nansum(folded, axis=1), np.nansum(folded**2, axis=1)])
    whole = np.all(moments[0] > 1, axis=0)
    compared, moments = int(whole.sum()), moments[:, :, whole]
    left_out = values.shape[1] - compared
    if compared < 2 or not np.any(moments[2]):
        note = f"{compared} of {values.shape[1]} trials have minutes in all {splits} splits, or none ever traded"
        return Overfitting(None, None, splits, 0, length, compared, left_out, "insufficient", note)
    pbo, losses, halvings = _halvings(moments)
    verdict: Literal["carries over", "overfit"] = "overfit" if pbo >= most else "carries over"
    return Overfitting(pbo, losses, splits, halvings, length, compared, left_out, verdict, "")


def _halvings(moments: Floats) -> tuple[float, float, int]:
    """PBO, share of losing choices, number of halvings; ``moments``: (count, sum, sum of squares; splits; trials)."""
    splits = moments.shape[1]
    inside = np.zeros((math.comb(splits, splits // 2), splits))
    for row, chosen in enumerate(combinations(range(splits), splits // 2)):
        inside[row, chosen] = 1.0
    best = np.argmax(_sharpes(moments, inside), axis=1)
    later = _sharpes(moments, 1.0 - inside)
    own = np.take_along_axis(later, best[:, None], axis=1)
    ranks = np.sum(later < own, axis=1) + 0.5 * (np.sum(later == own, axis=1) + 1)  # 1 to trials
    return float(np.mean(ranks / (moments.shape[2] + 1) <= 0.5)), float(np.mean(own < 0)), len(inside)


def _sharpes(moments: Floats, weights: Floats) -> Floats:
    """Sharpe ratio of every trial over the splits of each row of ``weights``, shape (rows, trials)."""
    counts, sums, squares = (weights @ part for part in moments)
    means = sums / counts
    variances = squares / counts - means**2
    moves = variances > NIL * squares / counts
    return np.where(moves, means / np.sqrt(np.where(moves, variances, 1.0)), 0.0)


def _variance(sharpes: Floats) -> float:
    return float(np.var(sharpes, ddof=1)) if sharpes.size > 1 else 0.0


def _shortage(values: Floats, sharpes: Floats, trials: int) -> str:
    if values.size < FEWEST_BUCKETS:
        return f"{values.size} buckets are fewer than {FEWEST_BUCKETS}"
    if float(np.std(values)) <= NIL * float(np.abs(values).max()):
        return f"all {values.size} buckets are equal"
    return f"{sharpes.size} of {trials} trials have a Sharpe ratio: no variance" if sharpes.size < 2 <= trials else ""
