"""Decision rules: worked by hand, by brute force, and never worse than the likeliest class where they were chosen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from market.errors import NotEnoughData
from modeling.decision import DecisionRule, _chosen, fit_decision, shares_of_late, smoothed
from modeling.evaluation import confusion, macro_f1


def _window(seed: int, rows: int = 300, flat: float = 0.8):
    """Rows whose probabilities tell the truth, most of them flat."""
    rng = np.random.default_rng(seed)
    up = rng.uniform(0, 1 - flat, rows) * 2 * rng.random(rows)
    down = rng.uniform(0, 1 - flat, rows) * 2 * rng.random(rows)
    probabilities = np.stack((down, 1 - up - down, up), -1)
    truth = (rng.random((rows, 1)) > probabilities.cumsum(-1)).sum(-1) - 1
    return probabilities[:, None], truth[:, None].astype(np.int8), np.ones((rows, 1), np.bool_)


def test_rule_says_what_stands_out_against_its_share_by_hand():
    shares = np.array([[0.1, 0.8, 0.1]])
    given_row = np.array([[[0.3, 0.5, 0.2]]])
    assert DecisionRule(np.array([0.0]), shares).classes(given_row).item() == 0
    assert DecisionRule(np.array([0.5]), shares).classes(given_row).item() == -1  # 0.95, 0.56, 0.63


@given(seed=st.integers(0, 2**16))
def test_rule_is_at_least_as_good_as_the_likeliest_class_where_it_was_chosen(seed):
    probabilities, classes, scored = _window(seed)
    rule = fit_decision(probabilities, classes, scored)
    truth = classes[:, 0].astype(np.int64)
    likeliest = probabilities[:, 0].argmax(-1) - 1
    chosen = rule.classes(probabilities)[:, 0].astype(np.int64)
    assert macro_f1(confusion(truth, chosen)) >= macro_f1(confusion(truth, likeliest))
    assert np.allclose(rule.shares[0], probabilities[:, 0].mean(0))


def test_a_peak_that_its_neighbours_do_not_share_is_not_chosen():
    heights = np.full(21, 0.40)
    heights[2] = 0.50  # a few rows that lie just there
    heights[10:17] = 0.48
    assert _chosen(heights) == pytest.approx(0.65)
    heights[13] = 0.39  # itself worse than the likeliest class
    assert _chosen(heights) in (pytest.approx(0.6), pytest.approx(0.7))


@given(heights=arrays(np.float64, 21, elements=st.floats(0, 1)), beside=st.integers(1, 5))
def test_smoothed_heights_are_those_that_a_loop_finds(heights, beside):
    places = [[min(max(place + step, 0), 20) for step in range(-beside, beside + 1)] for place in range(21)]
    assert smoothed(heights, beside) == pytest.approx([heights[near].mean() for near in places])


def test_rule_finds_rare_classes_and_passes_over_rows_that_do_not_count():
    probabilities, classes, scored = _window(3, 4_000)
    rule = fit_decision(probabilities, classes, scored)
    assert rule.exponents[0] > 0.2
    scored[2_000:] = False
    spoilt = classes.copy()
    spoilt[2_000:] = 1
    half = fit_decision(probabilities[:2_000], classes[:2_000], scored[:2_000])
    assert fit_decision(probabilities, spoilt, scored).exponents == half.exponents


def test_shares_follow_the_rows_that_count_by_hand_and_know_no_later_one():
    start, first = np.array([[0.2, 0.6, 0.2]]), np.array([[[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]])
    second, counts = np.array([[[0.0, 1.0, 0.0]], [[0.4, 0.4, 0.2]]]), np.array([True, False])
    shares = shares_of_late(start, [(counts, first), (~counts, second)], np.array([0.5]))
    assert np.allclose(shares, [[[0.6, 0.3, 0.1]], [[0.6, 0.3, 0.1]]])
    both = np.array([True, True])
    followed = shares_of_late(start, [(both, first), (both, second)], np.array([0.5]))
    assert np.allclose(followed, [[[0.3, 0.15, 0.55]], [[0.15, 0.575, 0.275]]])
    assert start.tolist() == [[0.2, 0.6, 0.2]]
    still = shares_of_late(start, [(both, second)], np.array([0.0]))
    assert np.array_equal(still, np.repeat(start[None], 2, 0))


def test_a_class_that_has_become_usual_no_longer_stands_out():
    rule, row = DecisionRule(np.array([1.0]), np.array([[0.1, 0.8, 0.1]])), np.array([0.3, 0.5, 0.2])
    probabilities = np.tile(row, (400, 1, 1))
    said = rule.said("model", [(np.ones(400, np.bool_), probabilities)], np.array([0.02]))
    assert said.classes[0].item() == -1
    assert rule.classes(probabilities, np.tile([0.3, 0.4, 0.3], (400, 1, 1)))[0].item() == 0
    lively = np.tile([0.45, 0.1, 0.45], (400, 1, 1))
    lively[-1] = [[0.4, 0.2, 0.4]]
    assert rule.said("model", [(np.ones(400, np.bool_), lively)], np.array([0.02])).classes[-1].item() == 0


def test_rule_without_a_row_is_refused():
    probabilities, classes, scored = _window(0)
    with pytest.raises(NotEnoughData, match="no row of cell 0 to choose a decision rule on, of 300"):
        fit_decision(probabilities, classes, ~scored)
