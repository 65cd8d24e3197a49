"""Stationary features hardly ever drift, shifted ones do, and too little data says so."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import false_discovery_control, ks_2samp

from market.errors import ConfigError, NotEnoughData
from monitoring.drift import (
    autocorrelation_time,
    benjamini_hochberg,
    distance_beyond,
    drift_report,
    ks_distance,
    permutation_p,
    should_retrain,
)
from monitoring.parameters import DriftParameters

PARAMETERS = DriftParameters(
    level=0.01,
    min_shift=0.1,
    tolerance=0.25,
    block_times=5.0,
    min_blocks=10,
    min_judged=0.5,
    permutations=2_000,
    window_s=600.0,
    reference_s=600.0,
    cooldown_s=3600.0,
    seed=3,
)
SETTLING_ROWS = 1_000
NAMES = ("slow", "fast")


def ar1(generator: np.random.Generator, rows: int, phi: float) -> NDArray[np.float32]:
    """A stationary autoregression of unit variance."""
    noise = generator.standard_normal(rows + SETTLING_ROWS) * np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise)[SETTLING_ROWS:], np.float32)


def _sample(generator: np.random.Generator, rows: int) -> NDArray[np.float32]:
    return np.stack([ar1(generator, rows, 0.95), ar1(generator, rows, 0.5)], axis=1)


def test_stationary_autocorrelated_features_are_rejected_seldom() -> None:
    generator = np.random.default_rng(5)
    lenient = replace(PARAMETERS, min_shift=0.001, tolerance=0.0)
    reports = [drift_report(NAMES, _sample(generator, 5_000), _sample(generator, 8_000), lenient) for _ in range(40)]
    assert all(report.judged == 2 for report in reports)
    assert sum(report.verdict == "drift" for report in reports) <= 2


def test_the_plain_test_would_have_rejected_them() -> None:
    generator = np.random.default_rng(6)
    pairs = [(ar1(generator, 5_000, 0.95), ar1(generator, 5_000, 0.95)) for _ in range(20)]
    assert sum(ks_2samp(*pair).pvalue < 0.01 for pair in pairs) >= 10


def test_a_planted_shift_is_found_and_named() -> None:
    generator = np.random.default_rng(7)
    live = _sample(generator, 5_000)
    live[:, 1] += 1.0
    report = drift_report(NAMES, live, _sample(generator, 8_000), PARAMETERS)
    assert report.verdict == "drift"
    assert report.drifted == ("fast",)
    assert report.worst_feature == "fast"
    assert report.min_p == pytest.approx(1 / 2_001)
    assert should_retrain(report) == "1 of 2 features drifted: fast"


def test_a_shift_below_the_floor_is_certain_and_of_no_consequence() -> None:
    generator = np.random.default_rng(8)
    live, reference = (generator.standard_normal((50_000, 1)).astype(np.float32) for _ in range(2))
    report = drift_report(("x",), live + np.float32(0.1), reference, PARAMETERS)
    assert report.features[0].q is not None
    assert report.features[0].q <= 0.01
    assert report.verdict == "stable"
    assert should_retrain(report) is None


def test_a_crowd_on_one_value_that_moves_by_a_hair_has_not_drifted() -> None:
    generator = np.random.default_rng(16)
    crowd = [np.where(generator.random(5_000) < 0.9, np.float32(0), ar1(generator, 5_000, 0.0)) for _ in range(2)]
    report = drift_report(("x",), (crowd[0] + np.float32(0.05))[:, None], crowd[1][:, None], PARAMETERS)
    assert report.worst_ks > 0.8
    assert report.worst_shift < 0.05
    assert report.verdict == "stable"


def test_the_distance_beyond_a_tolerance_falls_with_it_and_is_symmetric() -> None:
    generator = np.random.default_rng(17)
    live, reference = generator.random(300).astype(np.float32), generator.random(200).astype(np.float32) + 0.5
    found = [distance_beyond(live, reference, tolerance) for tolerance in (0.0, 0.2, 0.4, 0.6)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(ks_distance(live, reference))
    assert found[-1] < 0.1
    assert distance_beyond(reference, live, 0.2) == pytest.approx(found[1])


def test_a_window_of_few_autocorrelation_times_is_insufficient() -> None:
    generator = np.random.default_rng(9)
    live, reference = (ar1(generator, 2_000, 0.99)[:, None] for _ in range(2))
    report = drift_report(("x",), live + np.float32(3.0), reference, PARAMETERS)
    assert report.verdict == "insufficient"
    assert report.features[0].p is None
    assert report.min_p is None
    assert report.worst_ks > 0.5
    assert should_retrain(report) is None


def test_a_constant_says_nothing_of_another_constant_and_equals_itself() -> None:
    ones, twos = np.ones((500, 1), np.float32), np.full((500, 1), 2, np.float32)
    assert drift_report(("x",), ones, twos, PARAMETERS).verdict == "insufficient"
    assert drift_report(("x",), ones, ones, PARAMETERS).verdict == "stable"


def test_no_rows_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="0 live"):
        drift_report(("x",), np.empty((0, 1), np.float32), np.ones((5, 1), np.float32), PARAMETERS)


def test_the_report_is_the_same_twice_and_its_sha_is_of_its_content() -> None:
    generator = np.random.default_rng(10)
    live, reference = _sample(generator, 3_000), _sample(generator, 3_000)
    first, second = (drift_report(NAMES, live, reference, PARAMETERS) for _ in range(2))
    assert first == second
    assert first.sha256 == second.sha256
    assert first.sha256 != drift_report(NAMES, live[1:], reference, PARAMETERS).sha256


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_of_an_autoregression_is_the_known_one(phi: float) -> None:
    found = autocorrelation_time(ar1(np.random.default_rng(11), 200_000, phi))
    assert found == pytest.approx((1 + phi) / (1 - phi), rel=0.1)


def test_the_distance_equals_scipys() -> None:
    generator = np.random.default_rng(12)
    live, reference = (generator.integers(0, 9, size).astype(np.float32) for size in (200, 333))
    assert ks_distance(live, reference) == pytest.approx(ks_2samp(live, reference).statistic)


def test_the_adjusted_p_values_equal_scipys() -> None:
    p_values = np.random.default_rng(13).random(30) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p_values), false_discovery_control(p_values))


def test_no_exchange_of_blocks_beats_samples_that_do_not_overlap() -> None:
    generator = np.random.default_rng(14)
    live = generator.random(400).astype(np.float32)
    assert permutation_p(live, live + 2, 20, 1_000, generator) == pytest.approx(1 / 1_001)
    assert permutation_p(live, live, 20, 1_000, generator) == 1.0


@pytest.mark.parametrize(("key", "value"), [("level", 0.0), ("min_blocks", 4), ("permutations", 10), ("window_s", 0.0)])
def test_a_parameter_out_of_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{key}="):
        replace(PARAMETERS, **{key: value})
