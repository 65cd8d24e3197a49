"""Adaptive calibration: steps worked by hand, a market that wakes up, nothing learnt before it is known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.targets import NO_CLASS
from market.errors import ModelError
from modeling.adaptive_calibration import AdaptiveCalibration, carried_on
from modeling.parameters import AdaptiveParameters
from modeling.uncertainty import calibration_error
from tests.builders_modeling import labelled_rows

ROW_NS = 20_000_000
GIVEN = np.array([0.2, 0.5, 0.3])
RATES = AdaptiveParameters(0.05, 0.015).of_rows(1000, 20)


def rows(count: int, horizon_rows: int = 50, late_ns: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Up to when each row has heard all, and when its label is over."""
    row_ts = np.arange(count, dtype=np.int64) * ROW_NS
    return row_ts - late_ns, row_ts + horizon_rows * ROW_NS


def drawn(shares: np.ndarray, seed: int) -> np.ndarray:
    """Classes of rows that come with these probabilities, shape (N, 3)."""
    found = np.random.default_rng(seed).random(len(shares))[:, None] > np.cumsum(shares, 1)
    return (found.sum(1) - 1).astype(np.int8)


def log_loss(probabilities: np.ndarray, classes: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(classes)), classes.astype(np.int64) + 1]).mean())


def test_a_label_moves_shifts_and_scale_down_the_gradient_of_its_loss() -> None:
    state = AdaptiveCalibration(AdaptiveParameters(0.1, 0.2))
    state.learn(GIVEN, 1)
    missed = np.array([-0.2, -0.5, 0.7])
    found = state.as_dict()
    assert found["shifts"] == pytest.approx((0.1 * missed).tolist())
    assert found["scale"] == pytest.approx(1.0 + 0.2 * float(missed @ np.log(GIVEN)))
    heights = found["scale"] * np.log(GIVEN) + found["shifts"]
    assert state.bend(GIVEN).tolist() == pytest.approx((np.exp(heights) / np.exp(heights).sum()).tolist())
    assert state.bend(GIVEN)[2] > GIVEN[2]


def test_it_begins_by_leaving_probabilities_alone_and_without_rates_it_never_moves() -> None:
    over_ts, known_ts = rows(300)
    said = np.random.default_rng(0).dirichlet((2.0, 3.0, 2.0), 300)
    classes = drawn(said, 1)
    still = AdaptiveCalibration(AdaptiveParameters(0.0, 0.0)).run(over_ts, said, classes, known_ts)
    moving = AdaptiveCalibration(RATES).run(over_ts, said, classes, known_ts)
    assert np.allclose(still, said, atol=1e-12)
    assert np.allclose(moving[:50], said[:50], atol=1e-12)
    assert np.abs(moving[50:] - said[50:]).max() > 1e-4


def test_a_market_that_wakes_up_is_told_of_as_it_is_within_seconds() -> None:
    rng = np.random.default_rng(2)
    over_ts, known_ts = rows(6_000)
    calm = rng.dirichlet((1.0, 8.0, 1.0), 6_000)
    lively = calm * [2.5, 1.0, 2.5]
    classes = drawn(lively / lively.sum(1, keepdims=True), 3)
    bent = AdaptiveCalibration(RATES).run(over_ts, calm, classes, known_ts)
    later, truth = slice(2_000, None), classes[2_000:].astype(np.int64)
    assert calibration_error(calm[later], truth) > 0.1
    assert calibration_error(bent[later], truth) < 0.03
    assert log_loss(bent[later], classes[later]) < log_loss(calm[later], classes[later]) - 0.03


def test_forecasts_that_are_too_sure_are_flattened() -> None:
    over_ts, known_ts = rows(8_000)
    true = np.random.default_rng(4).dirichlet((2.0, 2.0, 2.0), 8_000)
    sure = true**3 / (true**3).sum(1, keepdims=True)
    state = AdaptiveCalibration(RATES)
    state.run(over_ts, sure, drawn(true, 5), known_ts)
    assert state.as_dict()["scale"] == pytest.approx(1 / 3, abs=0.12)


@given(st.integers(0, 200), st.integers(0, 300))
def test_no_row_knows_of_a_label_that_it_has_not_heard_to_its_end(seed: int, changed: int) -> None:
    late = np.random.default_rng(seed).integers(0, 60, 301) * ROW_NS
    row_ts = np.arange(301, dtype=np.int64) * ROW_NS
    over_ts, known_ts = np.maximum.accumulate(row_ts - late), row_ts + 20 * ROW_NS
    said = np.random.default_rng(seed).dirichlet((1.0, 1.0, 1.0), 301)
    classes = drawn(said, seed)
    other = classes.copy()
    other[changed] = NO_CLASS if classes[changed] == 0 else 0
    before, after = (AdaptiveCalibration(RATES).run(over_ts, said, one, known_ts) for one in (classes, other))
    same = np.all(before == after, axis=1)
    assert np.array_equal(same, over_ts < known_ts[changed])


def test_row_by_row_is_the_run_to_the_last_bit_over_a_restart() -> None:
    over_ts, known_ts = rows(400, horizon_rows=7, late_ns=3_000_000)
    said = np.random.default_rng(6).dirichlet((1.0, 2.0, 1.0), 400)
    classes = drawn(said, 7)
    classes[::9] = NO_CLASS
    whole = AdaptiveCalibration(RATES).run(over_ts, said, classes, known_ts)
    state, learnt = AdaptiveCalibration(RATES), 0
    for row in range(400):
        while known_ts[learnt] <= over_ts[row]:
            state.learn(said[learnt], int(classes[learnt]))
            learnt += 1
        assert state.bend(said[row]).tobytes() == whole[row].tobytes()
        state = AdaptiveCalibration.from_dict(RATES, json.loads(json.dumps(state.as_dict())))


def test_an_impossible_class_that_comes_neither_breaks_nor_runs_away() -> None:
    state, never = AdaptiveCalibration(AdaptiveParameters(0.5, 0.5)), np.array([0.0, 1.0, 0.0])
    for _ in range(1_000):
        state.learn(never, 1)
    found = state.as_dict()
    assert 0.2 <= found["scale"] <= 5.0
    assert all(map(math.isfinite, found["shifts"]))
    assert state.bend(never).sum() == pytest.approx(1.0)
    assert state.bend(never)[2] > 0.9


def test_each_cell_goes_on_from_window_to_window_at_the_rate_of_its_horizon() -> None:
    first, second = labelled_rows(300, seed=1), labelled_rows(300, seed=2)
    said = np.random.default_rng(8).dirichlet((1.0, 1.0, 1.0), (300, 3))
    parameters = AdaptiveParameters(0.05, 0.01)
    made = carried_on(parameters, 20, [(first, said), (second, said)], 40)
    for place, horizon_ms in ((0, 250), (2, 1000)):
        state = AdaptiveCalibration(parameters.of_rows(horizon_ms, 20))
        horizon = first.shape.horizon_of_cell[place]
        for data, bent in zip((first, second), made, strict=True):
            classes = np.where(np.arange(300) >= 39, data.classes[:, place], NO_CLASS).astype(np.int8)
            expected = state.run(data.over_ts, said[:, place], classes, data.known_ts[:, horizon])
            assert np.array_equal(bent[:, place], expected)
    assert not np.array_equal(made[0], made[1])


def test_what_is_no_state_or_not_in_order_is_refused() -> None:
    for stored in ({"scale": 1.0, "shifts": [0.0]}, {"scale": math.nan, "shifts": [0.0] * 3}):
        with pytest.raises(ModelError, match="is no state of a calibration"):
            AdaptiveCalibration.from_dict(RATES, stored)
    over_ts, known_ts = rows(3)
    with pytest.raises(ModelError, match="not in the order of their labels"):
        AdaptiveCalibration(RATES).run(over_ts[::-1], np.tile(GIVEN, (3, 1)), np.zeros(3, np.int8), known_ts)
    twice = replace(labelled_rows(30), known_ts=labelled_rows(30).known_ts[::-1])
    with pytest.raises(ModelError, match="not in the order of their labels"):
        carried_on(RATES, 20, [(twice, np.full((30, 3, 3), 1 / 3))], 1)
