"""The stationary block bootstrap of bucketed series: how long a block must be, and intervals of any statistic.

``interval_of(statistic, series, block, generator)`` is for reports and will keep that signature; ``block_length`` gives
the block. A bucket is whatever the series is made of; ours are minutes, so horizons and holdings are in minutes too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import special

from market.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], float]

FEWEST_BUCKETS: Final = 30  # fewer say nothing, whatever the block
FEWEST_BLOCKS: Final = 20  # of the block length in a series; fewer are "insufficient": at ten, 15 % instead of 5 reject
HORIZONS_A_BLOCK: Final = (
    3  # in a block at least, of the longer of horizon and holding; under two is out of the question
)
DRAWS: Final = 999
LEVEL: Final = 0.95  # of an interval
_MOST_UNDEFINED: Final = 0.01  # share of draws without a finite value, beyond which there is no interval


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic of a series with its bootstrap interval; no interval where the data are too few, and why."""

    estimate: float | None  # of the series as it is; None where it is not finite
    low: float | None
    high: float | None
    level: float  # share of intervals that hold the truth, 0 to 1
    block: int  # mean block length, buckets
    observations: int
    draws: int
    note: str  # why there is no interval, or what was left out; empty otherwise

    @property
    def verdict(self) -> Literal["above zero", "below zero", "not told from zero", "insufficient"]:
        """Where the interval lies."""
        if self.low is None or self.high is None:
            return "insufficient"
        if self.low > 0:
            return "above zero"
        return "below zero" if self.high < 0 else "not told from zero"


def interval_of(
    statistic: Statistic,
    series: Floats,
    block: int,
    generator: np.random.Generator,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval:
    """Percentile interval of ``statistic(series)`` over resamples by blocks of mean length ``block`` buckets.

    Rows are drawn whole, so columns stay paired: ``ratio_of_sums`` over columns (profit before fees, volume) gives the
    break-even fee. The percentiles lie a little outside the nominal ones, see ``tail_share``. Without an interval (see
    ``shortage``; or more than 1 % of the draws have no finite value) both ends are None and ``note`` says why.

    series : shape (buckets,) or (buckets, columns), in order of time
    Raises DataError if a value is not finite, ConfigError if ``block``, ``draws`` or ``level`` is out of range.
    Source: Politis & Romano (1994), The stationary bootstrap

    >>> profits = np.sin(np.arange(600.0)) + 1
    >>> found = interval_of(mean, profits, 10, np.random.default_rng(0))
    >>> round(found.estimate, 3), found.low < 1 < found.high, found.verdict
    (1.003, True, 'above zero')
    >>> interval_of(mean, profits[:50], 10, np.random.default_rng(0)).note
    '50 buckets are fewer than 20 blocks of 10'
    """
    _require(block, draws, level)
    values = finite_series(series)
    observed = _estimate(statistic, values)
    if observed is None or (short := shortage(len(values), block)):
        note = "the statistic of the series itself is not finite" if observed is None else short
        return Interval(observed, None, None, level, block, len(values), draws, note)
    drawn = np.array([statistic(values[stationary_indices(len(values), block, generator)]) for _ in range(draws)])
    kept = drawn[np.isfinite(drawn)]
    note = f"{draws - kept.size} of {draws} draws have no finite value" if kept.size < draws else ""
    if draws - kept.size > _MOST_UNDEFINED * draws:
        return Interval(observed, None, None, level, block, len(values), draws, note)
    tail = tail_share(level, len(values) / block)
    low, high = np.quantile(kept, [tail, 1 - tail])
    return Interval(observed, float(low), float(high), level, block, len(values), draws, note)


def mean(series: Floats) -> float:
    """Mean of a series, in its own unit a bucket."""
    return float(np.mean(series))


def information_ratio(series: Floats) -> float:
    """Mean over standard deviation of a series, a bucket; not a number for a constant.

    >>> round(information_ratio(np.array([1.0, 3.0, 2.0])), 3), information_ratio(np.ones(3))
    (2.0, nan)
    """
    return float(np.mean(series)) / float(np.std(series, ddof=1)) if np.ptp(series) > 0 else math.nan


def ratio_of_sums(pairs: Floats) -> float:
    """Sum of the first column over that of the second; not a number where the latter is 0.

    >>> ratio_of_sums(np.array([[1.0, 10.0], [2.0, 20.0]]))
    0.1
    """
    above, below = pairs.sum(axis=0)
    return float(above / below) if below else math.nan


def shortage(observations: int, block: int) -> str:
    """Why so many buckets are too few for blocks of that length, in words; empty if they are enough.

    >>> shortage(1_440, 60), shortage(20, 1), shortage(1_000, 60)
    ('', '20 buckets are fewer than 30', '1000 buckets are fewer than 20 blocks of 60')
    """
    if observations < FEWEST_BUCKETS:
        return f"{observations} buckets are fewer than {FEWEST_BUCKETS}"
    if observations < FEWEST_BLOCKS * block:
        return f"{observations} buckets are fewer than {FEWEST_BLOCKS} blocks of {block}"
    return ""


def block_length(series: Floats, horizon: float, holding: float) -> int:
    """Mean block length in buckets: Politis and White's, but never under thrice the longer of horizon and holding.

    Of several columns the longest. Overlapping horizons make every neighbour alike, which the estimate by itself
    cannot always see: with blocks of a third of the horizon, noise is "found" most of the time.

    series : shape (buckets,) or (buckets, columns)
    horizon : of the forecast, buckets; holding : of a position, buckets; both may be fractions
    Raises DataError if a value is not finite, ConfigError if horizon or holding is negative.

    >>> block_length(np.random.default_rng(0).normal(size=1_000), 5, 30)
    90
    """
    if not (0 <= horizon < math.inf and 0 <= holding < math.inf):
        raise ConfigError(f"horizon={horizon} and holding={holding} must be buckets, 0 or more")
    values = finite_series(series)
    columns = values.reshape(len(values), -1).T
    automatic = max((politis_white(column) for column in columns), default=1.0)
    return max(1, math.ceil(automatic - 1e-9), math.ceil(HORIZONS_A_BLOCK * max(horizon, holding)))


def politis_white(series: Floats) -> float:
    """Block length of least mean squared error of the stationary bootstrap's variance, buckets; 1 for a constant.

    At most 3 sqrt(buckets) or a third of the buckets. A series under ten buckets has no autocorrelations to go by: 1.
    Source: Politis & White (2004), Automatic block-length selection for the dependent bootstrap, with the correction
    of Patton, Politis & White (2009)

    series : shape (buckets,)
    """
    size = len(series)
    if size < 10 or np.ptp(series) == 0:
        return 1.0
    centred = series - series.mean()
    run = max(5, int(math.log10(size)))
    most = min(math.ceil(math.sqrt(size)) + run, size - 2)
    padded = 1 << (size + most).bit_length()
    covariance = np.fft.irfft(np.abs(np.fft.rfft(centred, padded)) ** 2, padded)[: most + 1] / size
    lags = _bandwidth(centred, covariance, run)
    at = np.arange(1, lags + 1)
    weights = 2 * np.minimum(1.0, 2 * (1 - at / lags)) * covariance[1 : lags + 1]
    slope, variance = float(weights @ at), float(covariance[0] + weights.sum())
    longest = math.ceil(min(3 * math.sqrt(size), size / 3))
    return float(min(longest, abs(slope / variance) ** (2 / 3) * size ** (1 / 3))) if variance else float(longest)


def _bandwidth(centred: Floats, covariance: Floats, run: int) -> int:
    """Twice the first lag after which ``run`` autocorrelations in a row are insignificant."""
    size, most = len(centred), len(covariance) - 1
    squares = np.concatenate([[0.0], np.cumsum(centred**2)])
    at = np.arange(most + 1)
    spread = np.sqrt((squares[-1] - squares[at + 1]) * squares[size - 1 - at])
    correlation = np.abs(covariance) * size / np.where(spread > 0, spread, np.inf)
    small = correlation < 2 * math.sqrt(math.log10(size) / size)
    quiet = [lag for lag in range(most + 1 - run) if small[lag : lag + run].all()]
    return min(2 * max(quiet[0], 1), most) if quiet else most


def stationary_indices(observations: int, block: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """One resample: the buckets drawn, shape (observations,); blocks of geometric length run on past the end."""
    return np.asarray(_indices(observations, block, generator))


def bootstrap_means(series: Floats, block: int, draws: int, generator: np.random.Generator) -> Floats:
    """Mean of each column in each of ``draws`` resamples, shape (draws, columns); rows are drawn whole.

    The same resamples as ``stationary_indices`` from an equal generator, in time of the number of blocks.

    series : shape (buckets, columns), best centred: block sums are differences of running sums
    """
    sums = np.zeros((len(series) + 1, series.shape[1]))
    np.cumsum(series, axis=0, out=sums[1:])
    return np.asarray(_means(sums, block, draws, generator))


def finite_series(series: Floats) -> Floats:
    """The series as float64. Raises DataError, naming the first, if a value is not finite."""
    values = np.asarray(series, np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        place = int(np.argwhere(bad)[0][0])
        raise DataError(f"bucket {place} of {len(values)} holds {values[place]}: every value must be finite")
    return values


def _require(block: int, draws: int, level: float) -> None:
    if block < 1:
        raise ConfigError(f"block={block} must be 1 bucket or more")
    if draws < 99 or not 0 < level < 1:
        raise ConfigError(f"draws={draws} must be 99 or more, level={level} between 0 and 1")


def tail_share(level: float, blocks: float) -> float:
    """Share of the draws to leave out at either end: less than (1 - level) / 2, as Student's t is wider than a normal.

    The draws do not show that their spread is an estimate, of about a degree of freedom a block.
    """
    return float(special.ndtr(-special.stdtrit(blocks, (1 + level) / 2) / math.sqrt(1 - 1 / blocks)))


def _estimate(statistic: Statistic, values: Floats) -> float | None:
    observed = float(statistic(values)) if len(values) else math.nan
    return observed if math.isfinite(observed) else None


@njit(cache=True)
def _next_block(observations, block, generator):
    """Start and length of a block; the length is geometric, of mean ``block``."""
    return generator.integers(0, observations), generator.geometric(1.0 / block)


@njit(cache=True)
def _indices(observations, block, generator):
    places = np.empty(observations, np.int64)
    filled = 0
    while filled < observations:
        start, length = _next_block(observations, block, generator)
        for i in range(min(length, observations - filled)):
            places[filled + i] = (start + i) % observations
        filled += length
    return places


@njit(cache=True)
def _means(sums, block, draws, generator):
    """``sums`` are running sums from 0, so that a block's is the difference of two."""
    observations, columns = sums.shape[0] - 1, sums.shape[1]
    means = np.zeros((draws, columns))
    for draw in range(draws):
        filled = 0
        while filled < observations:
            start, length = _next_block(observations, block, generator)
            length = min(length, observations - filled)
            filled += length
            laps, end = divmod(start + length, observations)
            for column in range(columns):
                means[draw, column] += laps * sums[-1, column] + sums[end, column] - sums[start, column]
    return means / observations
