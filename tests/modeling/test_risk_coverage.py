"""Risk against coverage: by hand, against the mean over all orders of equal rows, and as properties."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.risk_coverage import area_under_risks, risks

ROWS = st.lists(st.tuples(st.booleans(), st.sampled_from((0.4, 0.5, 0.9))), min_size=1, max_size=40)


def arrays(rows):
    wrong, sure = zip(*rows, strict=True)
    return np.array(wrong), np.array(sure)


def test_risks_by_hand():
    wrong, sure = np.array([False, True, False, True]), np.array([0.9, 0.8, 0.7, 0.6])
    assert risks(wrong, sure).tolist() == [0.0, 1 / 2, 1 / 3, 1 / 2]
    assert area_under_risks(wrong, sure) == pytest.approx(1 / 3)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(st.booleans(), st.sampled_from((0.4, 0.9))), min_size=1, max_size=5))
def test_equal_rows_count_as_the_mean_over_all_their_orders(rows):
    wrong, sure = arrays(rows)
    orders = [order for order in permutations(range(len(rows))) if (np.diff(sure[list(order)]) <= 0).all()]
    each = [np.cumsum(wrong[list(order)]) / np.arange(1, len(rows) + 1) for order in orders]
    assert risks(wrong, sure) == pytest.approx(np.mean(each, 0))


@given(rows=ROWS, seed=st.integers(0, 9))
def test_curves_know_no_order_of_rows_and_end_at_the_error_of_all(rows, seed):
    wrong, sure = arrays(rows)
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    found = risks(wrong, sure)
    assert found == pytest.approx(risks(wrong[shuffled], sure[shuffled]))
    assert found[-1] == pytest.approx(wrong.mean())
    assert found.min() >= 0.0
    assert found.max() <= 1.0


@given(rows=ROWS)
def test_no_order_has_less_area_than_the_one_that_puts_its_errors_last(rows):
    wrong, sure = arrays(rows)
    best, worst = (area_under_risks(wrong, sign * (wrong + 1e-3 * np.arange(len(rows)))) for sign in (-1.0, 1.0))
    assert best - 1e-12 <= area_under_risks(wrong, sure) <= worst + 1e-12


def test_who_is_never_surer_has_a_flat_curve():
    assert risks(np.arange(8) % 4 == 0, np.full(8, 0.4)) == pytest.approx(np.full(8, 0.25))
