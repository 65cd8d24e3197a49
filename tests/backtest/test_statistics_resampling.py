"""Resampling by blocks: drawn by hand, twice the same by two routes, arch's block length, intervals that cover."""

import math

import numpy as np
import pytest
from scipy import stats

from backtest.resampling import (
    block_length,
    bootstrap_means,
    information_ratio,
    interval_of,
    mean,
    politis_white,
    ratio_of_sums,
    stationary_indices,
)
from market.errors import ConfigError, DataError
from tests.builders_statistics import autoregression, overlapping, peer


@pytest.mark.parametrize("block", [1, 7, 400])
def test_means_of_resamples_are_those_of_the_rows_drawn(block: int) -> None:
    series = np.random.default_rng(0).normal(size=(300, 3))
    fast = bootstrap_means(series, block, 20, np.random.default_rng(5))
    generator = np.random.default_rng(5)
    plain = [series[stationary_indices(300, block, generator)].mean(axis=0) for _ in range(20)]
    assert fast == pytest.approx(np.array(plain), abs=1e-12)


def test_blocks_run_on_in_time_and_are_as_long_as_asked() -> None:
    places = stationary_indices(100_000, 20, np.random.default_rng(1))
    breaks = np.count_nonzero(np.diff(places) % 100_000 != 1)
    assert 100_000 / (breaks + 1) == pytest.approx(20, rel=0.05)
    assert np.bincount(places, minlength=100_000).max() < 20
    assert set(stationary_indices(50, 5, np.random.default_rng(2))) <= set(range(50))


@pytest.mark.parametrize("size", [11, 50, 400, 3_000])
@pytest.mark.parametrize("phi", [-0.4, 0.0, 0.5, 0.95])
def test_block_length_is_archs(size: int, phi: float) -> None:
    arch = peer("arch.bootstrap")
    series = autoregression(phi, size, seed=size)
    theirs = float(arch.optimal_block_length(series)["stationary"].iloc[0])
    assert politis_white(series) == pytest.approx(theirs, rel=1e-6)


def test_a_block_is_never_under_thrice_the_longer_of_horizon_and_holding() -> None:
    noise = np.random.default_rng(3).normal(size=(2_000, 4))
    assert block_length(noise, 5, 30) == 90
    assert block_length(noise, 45, 30) == 135
    assert block_length(noise, 0.1, 0.7) <= 10
    persistent = autoregression(0.99, 2_000, seed=1)
    assert block_length(np.column_stack([noise, persistent]), 1, 1) == math.ceil(politis_white(persistent))
    assert block_length(np.zeros(100), 0, 0) == 1


def test_an_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    generator, covered = np.random.default_rng(4), 0
    for seed in range(200):
        found = interval_of(mean, overlapping(1_000, 5, seed), 15, generator, draws=199, level=0.9)
        covered += found.verdict == "not told from zero"
    assert 160 <= covered <= 193  # binomial 99.9 % around 0.84 to 0.92: blocks shorten an interval a little


def test_few_blocks_widen_an_interval_by_student_s_t() -> None:
    series = np.random.default_rng(8).normal(size=600)
    found = interval_of(mean, series, 30, np.random.default_rng(9))
    generator = np.random.default_rng(9)
    drawn = [series[stationary_indices(600, 30, generator)].mean() for _ in range(found.draws)]
    wide = stats.norm.cdf(-stats.t.ppf(0.975, 20) / math.sqrt(1 - 1 / 20))  # 20 blocks of 30
    assert wide < 0.02
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [wide, 1 - wide])))
    assert found.high - found.low > 1.05 * np.subtract(*np.quantile(drawn, [0.975, 0.025]))


def test_a_ratio_is_drawn_in_pairs() -> None:
    volume = np.random.default_rng(6).exponential(size=800)
    found = interval_of(ratio_of_sums, np.column_stack([0.25 * volume, volume]), 5, np.random.default_rng(0))
    assert (found.low, found.high) == (pytest.approx(0.25), pytest.approx(0.25))
    assert found.verdict == "above zero"


def test_equal_generators_give_equal_intervals() -> None:
    series = overlapping(500, 5, 1)
    first, second, other = (interval_of(information_ratio, series, 10, np.random.default_rng(s)) for s in (7, 7, 8))
    assert first == second != other


def test_too_little_to_say_is_said() -> None:
    generator = np.random.default_rng(0)
    short = interval_of(mean, np.arange(19.0), 10, generator)
    assert (short.verdict, short.note, short.estimate) == ("insufficient", "19 buckets are fewer than 30", 9.0)
    still = interval_of(information_ratio, np.ones(500), 10, generator)
    assert (still.verdict, still.estimate) == ("insufficient", None)
    one_trade = np.zeros((500, 2))
    one_trade[100] = 1.0, 10.0
    rare = interval_of(ratio_of_sums, one_trade, 10, generator)
    assert rare.verdict == "insufficient"
    assert "draws have no finite value" in rare.note
    empty = interval_of(mean, np.empty(0), 10, generator)
    assert (empty.verdict, empty.estimate) == ("insufficient", None)


def test_bad_input_is_one_clear_error() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(DataError, match="bucket 3 of 100 holds nan"):
        interval_of(mean, np.where(np.arange(100) == 3, np.nan, 1.0), 5, generator)
    with pytest.raises(ConfigError, match="block=0 must be 1 bucket or more"):
        interval_of(mean, np.ones(100), 0, generator)
    with pytest.raises(ConfigError, match="level=95 between 0 and 1"):
        interval_of(mean, np.ones(100), 5, generator, level=95)
    with pytest.raises(ConfigError, match="holding=-1"):
        block_length(np.ones(100), 5, -1)
