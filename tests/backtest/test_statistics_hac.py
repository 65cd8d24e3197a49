"""Means whose neighbours are alike: by hand, against statsmodels, at their level, with holes, by regime."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS

from backtest.hac import (
    bandwidth_of,
    diebold_mariano,
    effective_sample_size,
    holm,
    long_run_variance,
    mean_test,
    regime_tests,
)
from market.errors import ConfigError, DataError
from tests.builders_statistics import autoregression, overlapping


def test_long_run_variance_by_hand() -> None:
    series = np.array([1.0, 2.0, 3.0, 2.0, 2.0])  # centred -1 0 1 0 0
    assert long_run_variance(series, 1) == pytest.approx(2 / 5)
    assert long_run_variance(series, 2) == pytest.approx(2 / 5)  # neighbours have no product
    assert long_run_variance(series, 3) == pytest.approx((2 + 2 * (1 / 3) * -1) / 5)


@pytest.mark.parametrize("bandwidth", [1, 5, 40])
def test_the_error_of_a_mean_is_that_of_statsmodels(bandwidth: int) -> None:
    series = autoregression(0.6, 400, seed=1) + 0.3
    theirs = OLS(series, np.ones(400)).fit(cov_type="HAC", cov_kwds={"maxlags": bandwidth - 1, "use_correction": False})
    assert math.sqrt(long_run_variance(series, bandwidth) / 400) == pytest.approx(theirs.bse[0], rel=1e-9)


@pytest.mark.parametrize("holding", [0, 25, 50])
def test_a_wide_bandwidth_keeps_the_level(holding: int) -> None:
    rejected = sum(_p(np.random.default_rng(seed).normal(size=500), holding) <= 0.05 for seed in range(1_000))
    assert 30 <= rejected <= 73  # binomial 99.9 % around 50


@pytest.mark.parametrize("horizon", [5, 20])
def test_overlapping_horizons_keep_the_level_that_an_independent_t_loses(horizon: int) -> None:
    markets = [overlapping(1_500, horizon, seed) for seed in range(400)]
    naive = sum(abs(one.mean()) * math.sqrt(1_500) > 1.96 * one.std() for one in markets)
    assert naive > 120
    assert sum(_p(one, horizon) <= 0.05 for one in markets) <= 34  # binomial 99.9 % of 5 %


def _p(series: np.ndarray, holding: float) -> float:
    found = mean_test("", series, holding).p
    assert found is not None
    return found


def test_a_missing_bucket_keeps_its_place() -> None:
    series = overlapping(600, 10, 3)
    holes = np.where(np.arange(600) % 2 == 0, series, np.nan)
    found = mean_test("every second", holes, 10)
    closed = mean_test("closed up", series[::2], 5)
    assert (found.observations, found.mean) == (300, pytest.approx(closed.mean))
    assert found.t == pytest.approx(closed.t, rel=0.15)  # the same time span of neighbours either way
    assert found.effective is not None
    assert found.effective < 80


def test_a_mean_test_by_hand() -> None:
    series = np.tile([2.0, 0.0, 1.0, 1.0], 100)
    found = mean_test("", series, 0)
    assert found.bandwidth == bandwidth_of(400, 0) == 26
    error = math.sqrt(long_run_variance(series, 26) / 400 / (1 - 26 / 400))
    assert found.t == pytest.approx(1.0 / error)
    assert found.verdict == "positive"
    assert "positive, mean 1 a bucket" in found.sentence
    assert mean_test("", -series, 0).verdict == "negative"


def test_effective_sample_size_of_an_autoregression_is_the_known_one() -> None:
    series = autoregression(0.8, 50_000, seed=2)
    assert effective_sample_size(series, 200) == pytest.approx(50_000 * 0.2 / 1.8, rel=0.1)
    assert effective_sample_size(np.tile([1.0, -1.0], 50), 10) == 100  # never more than there are
    assert effective_sample_size(np.ones(100), 10) == 1
    assert effective_sample_size(np.empty(0), 10) == 0


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.001, 0.03, 0.9]) == pytest.approx([0.09, 0.004, 0.09, 0.9])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_nor_changes_their_order(p_values: list[float]) -> None:
    adjusted = np.array(holm(p_values))
    assert np.all(adjusted >= np.array(p_values))
    assert np.all(np.diff(adjusted[np.argsort(p_values)]) >= 0)
    assert adjusted.max() <= 1


def test_only_the_regime_that_loses_is_called_negative() -> None:
    regimes = np.repeat(np.tile([0, 1, 2], 20), 30)
    series = np.random.default_rng(5).normal(size=regimes.size) - 0.4 * (regimes == 1)
    found = regime_tests(series, regimes, ("trend", "range", "high"), 1)
    assert [test.verdict for test in found] == ["not told from zero", "negative", "not told from zero"]
    alone = mean_test("range", np.where(regimes == 1, series, np.nan), 1)
    assert alone.p is not None
    assert found[1].p == pytest.approx(3 * alone.p)
    assert [test.observations for test in found] == [600, 600, 600]


def test_a_regime_that_is_hardly_seen_is_insufficient_and_not_counted() -> None:
    regimes = np.where(np.arange(1_000) < 20, 2, np.arange(1_000) // 100 % 2)
    regimes[:5] = -1
    found = regime_tests(np.random.default_rng(6).normal(size=1_000), regimes, ("trend", "range", "high"), 1)
    assert [test.verdict == "insufficient" for test in found] == [False, False, True]
    assert found[2].sentence == "high: insufficient, 15 buckets are fewer than 30"


def test_diebold_mariano_names_the_better_forecast_and_not_by_luck() -> None:
    truth = overlapping(2_000, 5, 7)
    noise = np.random.default_rng(8).normal(size=(2_000, 2))
    good, bad = (truth - (0.5 * truth + noise[:, 0])) ** 2, (truth - noise[:, 1]) ** 2
    assert diebold_mariano(good, bad, 5).verdict == "first is better"
    assert diebold_mariano(bad, good, 5).verdict == "second is better"
    assert diebold_mariano(noise[:, 0] ** 2, noise[:, 1] ** 2, 5).verdict == "not told apart"
    assert diebold_mariano(good, good, 5).verdict == "insufficient"


def test_too_little_is_said_and_bad_input_refused() -> None:
    assert mean_test("", np.ones(500), 1).note == "all 500 buckets are equal"
    assert mean_test("", np.full(500, 0.1), 1).p is None
    assert mean_test("", np.full(50, np.nan), 1).note == "no bucket"
    assert mean_test("", np.arange(100.0), 30).note == "100 buckets are fewer than 5 bandwidths of 60"
    with pytest.raises(DataError, match="holds inf"):
        mean_test("", np.where(np.arange(99) == 7, np.inf, 1.0), 1)
    with pytest.raises(ConfigError, match="holding=-1"):
        mean_test("", np.arange(99.0), -1)
    with pytest.raises(DataError, match="not of the same buckets"):
        diebold_mariano(np.ones(5), np.ones(6), 1)
    with pytest.raises(DataError, match="a loss is infinite"):
        diebold_mariano(np.full(99, np.inf), np.full(99, np.inf), 1)
    with pytest.raises(DataError, match="regimes up to 3 of 2"):
        regime_tests(np.ones(2), np.array([0, 3]), ("trend", "range"), 1)
