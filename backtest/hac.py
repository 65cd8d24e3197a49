"""Whether a mean differs from zero where neighbours are alike: Newey-West errors, one test a regime, two forecasts.

A series here has one value a bucket and may have holes: buckets that are missing, or belong to another regime. A mean
is over the buckets that are there, and its error keeps every bucket in its place, so that neighbours stay neighbours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from backtest.resampling import FEWEST_BUCKETS, finite_series
from market.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Verdict = Literal["positive", "negative", "not told from zero", "insufficient"]

FEWEST_BANDWIDTHS: Final = 5  # in the buckets that are there; fewer are "insufficient"
HOLDINGS_A_BANDWIDTH: Final = 2
NIL: Final = 1e-12  # a variance this small beside the square of the values is rounding


@dataclass(frozen=True, slots=True)
class MeanTest:
    """A mean against zero, two-sided."""

    name: str
    mean: float | None  # a bucket, in the series' unit; None without a bucket
    t: float | None  # mean over its HAC error; None where the verdict is "insufficient", as is all that follows from it
    p: float | None  # two-sided, after Holm where several were tested together
    bandwidth: int  # of the Bartlett kernel, buckets
    observations: int  # buckets that are there
    effective: float | None  # independent buckets that the series is worth, at most ``observations``
    verdict: Verdict
    note: str  # why it is insufficient; empty otherwise

    @property
    def sentence(self) -> str:
        """What a gate says of it."""
        if self.p is None:
            return f"{self.name}: insufficient, {self.note}"
        return (
            f"{self.name}: {self.verdict}, mean {self.mean:.4g} a bucket, t {self.t:.2f}, p {self.p:.3g}, "
            f"{self.observations} buckets worth {self.effective:.0f}, bandwidth {self.bandwidth}"
        )


@dataclass(frozen=True, slots=True)
class ForecastTest:
    """Losses of two forecasts against each other."""

    test: MeanTest  # of first minus second
    verdict: Literal["first is better", "second is better", "not told apart", "insufficient"]

    @property
    def sentence(self) -> str:
        """What a gate says of it."""
        return f"{self.verdict}; first minus second, {self.test.sentence}"


def bandwidth_of(observations: int, holding: float) -> int:
    """Bandwidth of the Bartlett kernel in buckets: 1.3 sqrt(observations), but never under twice the holding.

    Wider than the textbook's, because the kernel shrinks what overlapping holdings do to the error, and the critical
    values of ``mean_test`` pay for the width.
    Source: Lazarus, Lewis, Stock & Watson (2018), HAR inference: recommendations for practice

    >>> bandwidth_of(1_440, 10), bandwidth_of(1_440, 60)
    (50, 120)
    """
    if not 0 <= holding < math.inf:
        raise ConfigError(f"holding={holding} must be buckets, 0 or more")
    return max(1, math.ceil(1.3 * math.sqrt(observations)), math.ceil(HOLDINGS_A_BANDWIDTH * holding))


def long_run_variance(series: Floats, bandwidth: int) -> float:
    """Variance of sqrt(buckets) times the mean, by the Bartlett kernel around the mean: lags below the bandwidth count.

    Bandwidth 1 is the plain variance; statsmodels calls bandwidth - 1 ``maxlags``.
    Source: Newey & West (1987), A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
    covariance matrix

    >>> long_run_variance(np.array([1.0, -1.0, 1.0, -1.0]), 1), long_run_variance(np.array([1.0, -1.0, 1.0, -1.0]), 2)
    (1.0, 0.25)
    """
    centred = series - series.mean()
    size = len(series)
    lags = range(1, min(bandwidth, size))
    weighted = sum((1 - lag / bandwidth) * float(centred[lag:] @ centred[:-lag]) for lag in lags)
    return (float(centred @ centred) + 2 * weighted) / size


def effective_sample_size(series: Floats, bandwidth: int) -> float:
    """Independent buckets that the mean of a series, and its information ratio, rest on: 1 to their number; 0 if none.

    Buckets x variance / long-run variance. Where neighbours alternate that would exceed the buckets: they are the most.
    A ratio of minutes is so small that its own error is the mean's.

    series : shape (buckets,), finite
    """
    values = finite_series(series)
    if values.size == 0 or _still(values):
        return float(values.size > 0)
    worth = values.size * long_run_variance(values, 1) / max(long_run_variance(values, bandwidth), 1e-300)
    return float(min(max(worth, 1.0), values.size))


def mean_test(name: str, series: Floats, holding: float, level: float = 0.05) -> MeanTest:
    """Is the mean of a series zero? Not a number marks a missing bucket; holes stay in their place.

    The t is held against Student's t with 1.5 x buckets / bandwidth degrees of freedom, the kernel's own, and its error
    is raised by what centring took out, so that a wide bandwidth keeps the level. "Insufficient" under 30 buckets or
    five bandwidths, or if all are equal.

    series : shape (buckets,), in order of time; infinite values raise DataError
    holding : of a position, or the horizon of a forecast if that is longer, buckets
    """
    values = np.asarray(series, np.float64)
    present = ~np.isnan(values)
    finite_series(values[present])
    observations = int(present.sum())
    bandwidth = bandwidth_of(observations, holding)
    mean = float(values[present].mean()) if observations else None
    if mean is None or (note := _shortage(values[present], bandwidth)):
        note = "no bucket" if mean is None else note
        return MeanTest(name, mean, None, None, bandwidth, observations, None, "insufficient", note)
    off = np.where(present, values - mean, 0.0)
    share = bandwidth / observations
    variance = long_run_variance(off, bandwidth) * values.size / (1 - share)  # of the sum
    t = mean * observations / math.sqrt(variance)
    p = float(2 * special.stdtr(1.5 / share, -abs(t)))
    effective = min(max(observations * float(off @ off) / variance, 1.0), observations)
    return _judged(MeanTest(name, mean, t, p, bandwidth, observations, effective, "insufficient", ""), level)


def regime_tests(
    series: Floats, regimes: NDArray[np.integer], names: Sequence[str], holding: float, level: float = 0.05
) -> tuple[MeanTest, ...]:
    """One test for each regime, p by Holm over those with enough buckets: the chance that *any* is wrong is ``level``.

    series : shape (buckets,); regimes : shape (buckets,), places in ``names``, below 0 where none is known
    Raises DataError if the two do not fit together.
    Source: Holm (1979), A simple sequentially rejective multiple test procedure
    """
    if len(series) != len(regimes) or regimes.max(initial=-1) >= len(names):
        raise DataError(
            f"{len(series)} buckets, {len(regimes)} regimes up to {regimes.max(initial=-1)} of {len(names)}"
        )
    values = np.asarray(series, np.float64)
    found = [mean_test(name, np.where(regimes == code, values, np.nan), holding) for code, name in enumerate(names)]
    adjusted = iter(holm([test.p for test in found if test.p is not None]))
    return tuple(test if test.p is None else _judged(replace(test, p=next(adjusted)), level) for test in found)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: rejecting those up to a level keeps the chance of any false rejection at that level.

    Source: Holm (1979)

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    raised = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(value) for value in adjusted]


def diebold_mariano(first: Floats, second: Floats, horizon: float, level: float = 0.05) -> ForecastTest:
    """Which of two forecasts loses less, by the mean difference of their losses and its HAC error.

    Their rectangular kernel over the horizon can make a variance negative; the Bartlett kernel of ``mean_test`` cannot.

    first, second : losses, shape (buckets,); not a number where a forecast is missing: only buckets with both count
    Raises DataError if the shapes differ.
    Source: Diebold & Mariano (1995), Comparing predictive accuracy, section 1.1
    """
    if first.shape != second.shape:
        raise DataError(f"losses of shapes {first.shape} and {second.shape} are not of the same buckets")
    if np.isinf(first).any() or np.isinf(second).any():
        raise DataError("a loss is infinite: every loss must be finite, or not a number where a forecast is missing")
    test = mean_test("difference of losses", first - second, horizon, level)
    words: dict[Verdict, Literal["first is better", "second is better", "not told apart", "insufficient"]] = {
        "negative": "first is better",
        "positive": "second is better",
        "not told from zero": "not told apart",
        "insufficient": "insufficient",
    }
    return ForecastTest(test, words[test.verdict])


def _shortage(values: Floats, bandwidth: int) -> str:
    if values.size < FEWEST_BUCKETS:
        return f"{values.size} buckets are fewer than {FEWEST_BUCKETS}"
    if values.size < FEWEST_BANDWIDTHS * bandwidth:
        return f"{values.size} buckets are fewer than {FEWEST_BANDWIDTHS} bandwidths of {bandwidth}"
    return f"all {values.size} buckets are equal" if _still(values) else ""


def _still(values: Floats) -> bool:
    """Whether all values are equal but for rounding."""
    return float(np.var(values)) <= NIL**2 * float(np.mean(values**2))


def _judged(test: MeanTest, level: float) -> MeanTest:
    if test.p is None or test.mean is None:
        return test
    if test.p > level:
        return replace(test, verdict="not told from zero")
    return replace(test, verdict="positive" if test.mean > 0 else "negative")
