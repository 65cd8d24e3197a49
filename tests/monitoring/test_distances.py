"""Distances, autocorrelation times and corrections: by hand, by scipy, and by what is known of autoregressions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ks_2samp

from monitoring.distances import (
    autocorrelation_time,
    benjamini_hochberg,
    distance_beyond,
    effective_p,
    ks_distance,
)
from tests.builders_drift import ar1


def test_the_distance_beyond_a_tolerance_falls_with_it_and_is_symmetric() -> None:
    generator = np.random.default_rng(17)
    live, reference = generator.random(300).astype(np.float32), generator.random(200).astype(np.float32) + 0.5
    found = [distance_beyond(live, reference, tolerance) for tolerance in (0.0, 0.2, 0.4, 0.6)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(ks_distance(live, reference))
    assert found[-1] < 0.1
    assert distance_beyond(reference, live, 0.2) == pytest.approx(found[1])


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 4)), min_size=1, max_size=20), st.integers(0, 2**32))
def test_a_weight_counts_as_so_many_equal_rows(weighted: list[tuple[int, int]], seed: int) -> None:
    values, counts = (np.array(column) for column in zip(*weighted, strict=True))
    live = np.random.default_rng(seed).integers(-5, 5, 30).astype(np.float32)
    repeated = np.repeat(values, counts).astype(np.float32)
    found = distance_beyond(live, values.astype(np.float32), 1.5, counts.astype(np.float64))
    assert found == pytest.approx(distance_beyond(live, repeated, 1.5))


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_of_an_autoregression_is_the_known_one(phi: float) -> None:
    found = autocorrelation_time(ar1(np.random.default_rng(11), 200_000, phi))
    assert found == pytest.approx((1 + phi) / (1 - phi), rel=0.1)


def test_a_constant_never_decorrelates() -> None:
    assert autocorrelation_time(np.ones(50, np.float32)) == float("inf")


def test_the_distance_equals_scipys() -> None:
    generator = np.random.default_rng(12)
    live, reference = (generator.integers(0, 9, size).astype(np.float32) for size in (200, 333))
    assert ks_distance(live, reference) == pytest.approx(ks_2samp(live, reference).statistic)


def test_the_effective_p_is_scipys_where_rows_are_independent() -> None:
    generator = np.random.default_rng(18)
    live, reference = generator.normal(size=(2, 4_000)).astype(np.float32)
    known = ks_2samp(live, reference, method="asymp")
    assert effective_p(ks_distance(live, reference), live.size, reference.size) == pytest.approx(known.pvalue, abs=0.02)


def test_the_adjusted_p_values_equal_scipys() -> None:
    p_values = np.random.default_rng(13).random(30) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p_values), false_discovery_control(p_values))
