"""Uncertainty: spreads and scores by hand, coverage on still and on drifting data, nothing learnt before its time."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.targets import NO_CLASS
from market.errors import ConfigError, ModelError, NotEnoughData
from modeling.parameters import ConformalParameters
from modeling.uncertainty import (
    AdaptiveConformal,
    calibration_error,
    class_scores,
    conformal_sets,
    coverage_of,
    interval_scores,
    return_intervals,
    return_moments,
    true_scores,
)

PARAMETERS = ConformalParameters(0.1, 0.01, 300)
DELAY = 12  # rows until a label is known


def _market(rows: int, drift: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row times, forecasts, classes drawn from ever other odds than the forecasts say, and when they are known."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet((1.0, 2.0, 1.0), rows)
    bent = said ** np.linspace(1.0, 1.0 - drift, rows)[:, None]
    odds = bent / bent.sum(1, keepdims=True)
    classes = ((rng.random((rows, 1)) > odds.cumsum(1)).sum(1) - 1).astype(np.int8)
    return np.arange(rows), said, np.minimum(classes, 1), np.arange(rows) + DELAY


def _started(seed: int) -> AdaptiveConformal:
    _, said, classes, _ = _market(400, 0.0, 100 + seed)
    return AdaptiveConformal.started(PARAMETERS, true_scores(class_scores(said), classes))


@pytest.mark.parametrize("drift", [0.0, 0.9])
@given(seed=st.integers(0, 50))
@settings(max_examples=4)
def test_sets_hold_nine_labels_in_ten_also_where_the_market_drifts(drift: float, seed: int) -> None:
    row_ts, said, classes, known_ts = _market(6000, drift, seed)
    sets = conformal_sets(_started(seed), row_ts, said, classes, known_ts)
    found = coverage_of(sets, classes)
    assert found.coverage == pytest.approx(0.9, abs=0.01)
    assert 1.0 < found.set_size < 3.0


def test_sets_that_do_not_adapt_lose_a_drifting_market() -> None:
    row_ts, said, classes, known_ts = _market(6000, 0.9, 1)
    still = AdaptiveConformal.started(ConformalParameters(0.1, 0.0, 300), _started(1).newest * np.ones(300))
    frozen = class_scores(said) <= still.threshold()
    assert coverage_of(frozen, classes).coverage < 0.87
    assert coverage_of(conformal_sets(_started(1), row_ts, said, classes, known_ts), classes).coverage > 0.89


def test_nothing_is_learnt_from_a_label_before_it_is_known() -> None:
    row_ts, said, classes, known_ts = _market(600, 0.0, 3)
    scores = true_scores(class_scores(said), classes)
    later = np.arange(len(scores)) >= 300
    kept, missed = (_started(3).run(row_ts, np.where(later, score, scores), known_ts) for score in (0.0, 2.0))
    assert np.flatnonzero(kept != missed)[0] == 300 + DELAY


def test_state_goes_on_after_a_restart_where_it_was() -> None:
    row_ts, said, classes, known_ts = _market(500, 0.5, 4)
    whole = conformal_sets(_started(4), row_ts, said, classes, known_ts)
    state = _started(4)
    first = conformal_sets(state, row_ts[:217], said[:217], classes[:217], known_ts[:217])
    again = AdaptiveConformal.from_dict(PARAMETERS, json.loads(json.dumps(state.as_dict())))
    assert len(again.waiting) == DELAY
    second = conformal_sets(again, row_ts[217:], said[217:], classes[217:], known_ts[217:])
    assert np.array_equal(np.concatenate((first, second)), whole)
    with pytest.raises(ModelError, match="300 scores for a conformal window of 50"):
        AdaptiveConformal.from_dict(ConformalParameters(0.1, 0.01, 50), state.as_dict())


def test_level_moves_as_the_paper_says_and_the_ends_let_all_or_nothing_in() -> None:
    state = AdaptiveConformal.started(ConformalParameters(0.1, 0.05, 50), np.arange(1.0, 10.0))
    assert state.threshold() == 9.0  # rank ceil(10 x 0.9) of nine
    state.expect(5, 9.5, 9.0)
    state.expect(6, 1.5, 9.0)
    state.expect(7, math.nan, 9.0)
    state.learn(4)
    assert (state.alpha, len(state.newest)) == (0.1, 9)
    state.learn(5)
    assert state.alpha == pytest.approx(0.1 + 0.05 * (0.1 - 1))
    state.learn(9)
    assert state.alpha == pytest.approx(0.1 + 0.05 * (0.2 - 1))
    state.alpha = -0.01
    assert state.threshold() == math.inf
    state.alpha = 1.01
    assert state.threshold() == -math.inf


def test_missing_labels_are_never_learnt_or_counted() -> None:
    row_ts, said, _, known_ts = _market(300, 0.0, 5)
    state = _started(5)
    sets = conformal_sets(state, row_ts, said, np.full(300, NO_CLASS, np.int8), known_ts)
    assert state.alpha == PARAMETERS.miscoverage
    with pytest.raises(NotEnoughData, match="none of 300 rows"):
        coverage_of(sets, np.full(300, NO_CLASS, np.int8))
    with pytest.raises(NotEnoughData, match="none of 2 scores"):
        AdaptiveConformal.started(PARAMETERS, np.full(2, np.nan))


def test_return_intervals_hold_nine_returns_in_ten_by_the_same_machine() -> None:
    rng = np.random.default_rng(6)
    mean, deviation = rng.normal(size=5000), np.exp(rng.normal(size=5000))
    gross = mean + deviation * rng.standard_t(3, 5000) * np.linspace(1.0, 3.0, 5000)
    state = AdaptiveConformal.started(PARAMETERS, interval_scores(gross, mean, deviation)[:400])
    rows = np.arange(4600)
    low, high = return_intervals(state, rows, (mean[400:], deviation[400:]), gross[400:], rows + DELAY).T
    assert np.mean((low <= gross[400:]) & (gross[400:] <= high)) == pytest.approx(0.9, abs=0.01)
    assert np.allclose((low + high) / 2, mean[400:])


def test_intervals_are_endless_where_all_is_let_in_and_empty_where_nothing_is() -> None:
    state, one = AdaptiveConformal.started(PARAMETERS, np.ones(50)), np.array([2.0])
    now, expected = np.array([0]), (one, np.array([0.0]))
    state.alpha = -0.1
    assert return_intervals(state, now, expected, one, now + 5).tolist() == [[-np.inf, np.inf]]
    state.alpha = 1.1
    assert np.isnan(return_intervals(state, now, expected, one, now + 5)).all()
    state.alpha = 0.1
    low, high = return_intervals(state, now, expected, one, now + 5)[0]
    assert (low, high) == pytest.approx((1.999, 2.001))


def test_return_moments_by_hand() -> None:
    mean, deviation = return_moments(np.array([[[0.5, 0.0, 0.5]]]), np.array([[[-1.0, 0.0, 3.0]]]))
    assert (mean[0, 0], deviation[0, 0]) == (1.0, 2.0)


def test_equally_likely_classes_come_in_their_order() -> None:
    assert class_scores(np.array([[0.25, 0.5, 0.25]])).tolist() == [[0.625, 0.25, 0.875]]


def test_calibration_error_by_hand_over_bins_of_equal_mass() -> None:
    said = np.array([[0.4, 0.3, 0.3]] * 2 + [[0.1, 0.0, 0.9]] * 2)
    assert calibration_error(said, np.array([-1, 0, 1, 1]), bins=2) == pytest.approx((0.1 + 0.1) / 2)
    assert calibration_error(said[2:], np.array([-1, -1]), bins=15) == pytest.approx(0.9)


def test_calibrated_odds_have_a_small_error_and_sharpened_ones_a_large_one() -> None:
    _, said, classes, _ = _market(20_000, 0.0, 8)
    sharp = said**3 / (said**3).sum(1, keepdims=True)
    assert calibration_error(said, classes.astype(np.int64)) < 0.015
    assert calibration_error(sharp, classes.astype(np.int64)) > 0.1


@pytest.mark.parametrize(
    ("key", "values"), [("miscoverage", (0.6, 0, 100)), ("rate", (0.1, 1.0, 100)), ("window", (0.1, 0.0, 10))]
)
def test_conformal_settings_outside_their_bounds_are_refused(key: str, values: tuple[float, float, int]) -> None:
    with pytest.raises(ConfigError, match=key):
        ConformalParameters(*values)
