"""Sorted windows against numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.normalizer import deviation_sorted, insert_sorted, median_sorted, rank_sorted, replace_sorted

values = st.floats(-100, 100, width=32).map(lambda value: np.float32(round(value, 1)))
samples = st.lists(values, min_size=1, max_size=40)


@given(samples)
def test_median_and_deviation_equal_numpy(drawn):
    ordered = np.sort(np.array(drawn, np.float32))
    median = median_sorted(ordered, ordered.size)
    wide = ordered.astype(np.float64)
    assert median == np.median(wide)
    assert np.isclose(deviation_sorted(ordered, ordered.size, median), np.median(np.abs(wide - median)))


@given(samples, st.integers(1, 12))
def test_window_stays_sorted_while_samples_come_and_go(drawn, capacity):
    ordered = np.zeros(capacity, np.float32)
    for place, joining in enumerate(drawn):
        if place < capacity:
            insert_sorted(ordered, place, joining)
        else:
            replace_sorted(ordered, capacity, drawn[place - capacity], joining)
    kept = drawn[-capacity:]
    assert ordered[: len(kept)].tolist() == sorted(kept)


@given(samples, values)
def test_rank_is_the_share_below_minus_the_share_above(drawn, value):
    ordered = np.sort(np.array(drawn, np.float32))
    expected = (np.sum(ordered < value) - np.sum(ordered > value)) / ordered.size
    assert np.isclose(rank_sorted(ordered, ordered.size, value), expected)
