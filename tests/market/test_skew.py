"""The lower envelope against a search over every pair of points."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.skew import MAX_SLOPE, SLOPE_BINS, envelope_slope

EMPTY = np.iinfo(np.int64).max


def test_three_minima_on_a_line_give_its_slope():
    minima = np.full(SLOPE_BINS, EMPTY)
    minima[[0, 10, 20]] = [0, 1_000, 2_000]
    assert envelope_slope(minima, 20, 1_000_000) == pytest.approx(100e-6)


def test_fewer_than_three_minima_give_no_slope():
    minima = np.full(SLOPE_BINS, EMPTY)
    minima[[0, 10]] = [0, 1_000]
    assert envelope_slope(minima, 10, 1_000_000) == 0.0


def test_a_slope_that_no_crystal_has_is_cut():
    minima = np.arange(SLOPE_BINS) * 1_000_000
    assert envelope_slope(minima, SLOPE_BINS - 1, 1_000_000) == MAX_SLOPE


@given(st.dictionaries(st.integers(0, SLOPE_BINS - 1), st.integers(0, 100), min_size=3))
def test_the_line_under_all_points_is_the_closest_one(points):
    minima = np.full(SLOPE_BINS, EMPTY)
    minima[list(points)] = list(points.values())
    slope = envelope_slope(minima, SLOPE_BINS - 1, 10_000_000) * 10_000_000  # per bin
    gaps = []
    for (left, low), (right, high) in combinations(sorted(points.items()), 2):
        line = [low + (high - low) / (right - left) * (time - left) for time in points]
        distances = np.array(list(points.values())) - line
        if distances.min() > -1e-9:
            gaps.append(distances.sum())
    ours = np.array([height - slope * time for time, height in points.items()])
    assert (ours - ours.min()).sum() == pytest.approx(min(gaps), abs=1e-6)
