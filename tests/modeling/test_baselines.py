"""Baselines: each rule by hand, the tables behind the probabilities, the median band as a model."""

from dataclasses import replace

import numpy as np
import pytest

from labeling.targets import NO_CLASS
from market.errors import ModelError, NotEnoughData
from modeling.baselines import fit_baselines, fit_median_band, median_regression, persisting
from modeling.parameters import BaselineParameters
from modeling.streaming import forecaster_from
from modeling.training_rows import NOTHING_HEARD
from tests.builders_modeling import SHAPE, labelled_rows

NAMES = ("queue_imbalance", "b", "c", "d", "e")
PARAMETERS = BaselineParameters("queue_imbalance", 0.05)


@pytest.fixture(scope="module")
def fitted():
    baselines, model = fit_baselines(labelled_rows(4000), NAMES, PARAMETERS)
    return {one.name: one for one in baselines}, model


def test_all_four_baselines_answer_with_probabilities(fitted):
    test = labelled_rows(500, seed=5)
    assert list(fitted[0]) == ["class_prior", "persistence", "imbalance", "median_band"]
    for baseline in fitted[0].values():
        probabilities = baseline.predict_proba(test)
        assert probabilities.shape == (500, 3, 3)
        assert np.abs(probabilities.sum(-1) - 1).max() < 1e-12
        assert probabilities.min() > 0
        assert set(np.unique(baseline.predict(test))) <= {-1, 0, 1}


def test_class_prior_gives_the_training_shares(fitted):
    train = labelled_rows(4000)
    shares = np.array([np.mean(train.classes[:, 1] == kind) for kind in (-1, 0, 1)])
    assert fitted[0]["class_prior"].predict_proba(train)[7, 1] == pytest.approx(shares, abs=1e-3)
    assert np.unique(fitted[0]["class_prior"].predict(train)[:, 1]).tolist() == [shares.argmax() - 1]


def test_imbalance_rule_follows_the_leading_feature(fitted):
    test = labelled_rows(2000, seed=6)
    said = fitted[0]["imbalance"].predict(test)
    assert np.mean(said[:, 0] == test.classes[:, 0]) > 0.7
    assert abs(np.mean(said != 0) - np.mean(test.classes != 0)) < 0.05
    assert np.array_equal(np.sign(said[said[:, 0] != 0, 0]), np.sign(test.values[said[:, 0] != 0, 0]))


def test_median_band_follows_the_leading_feature(fitted):
    test = labelled_rows(2000, seed=6)
    assert np.mean(fitted[0]["median_band"].predict(test)[:, 2] == test.classes[:, 2]) > 0.7


def test_persistence_knows_a_class_only_once_its_label_has_ended():
    data = labelled_rows(200)
    data = replace(data, classes=data.classes.copy())
    data.classes[:] = 0
    data.classes[50] = 1
    data.classes[51:60] = NO_CLASS
    said = persisting(data)
    assert np.flatnonzero(said[:, 0]).tolist() == list(range(63, 73))  # 250 ms are 12.5 rows; nine rows tell nothing
    assert np.flatnonzero(said[:, 2]).tolist() == list(range(100, 110))


def test_persistence_waits_for_messages_that_are_late():
    data = labelled_rows(200)
    data = replace(data, classes=np.zeros_like(data.classes), over_ts=data.row_ts - 45_000_000)
    data.classes[50] = 1
    assert np.flatnonzero(persisting(data)[:, 0]).tolist() == [65]  # 250 ms and 45 are 14.75 rows
    deaf = replace(data, over_ts=np.full(200, NOTHING_HEARD))
    assert not persisting(deaf).any()


def test_persistence_does_not_read_later_classes():
    data = labelled_rows(300)
    poisoned = replace(data, classes=data.classes.copy())
    poisoned.classes[200:] = -poisoned.classes[200:]
    assert np.array_equal(persisting(data)[:212], persisting(poisoned)[:212])


def test_median_regression_is_not_moved_by_outliers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    y = 2 * x[:, 0] - x[:, 1] + 0.5 + rng.standard_t(2, 2000)
    y[:20] = 1e4
    assert np.abs(median_regression(x, y, 1e-3) - [2.0, -1.0, 0.5]).max() < 0.15


def test_median_regression_agrees_with_a_linear_programme():
    from scipy.optimize import linprog

    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 2))
    y = x @ [1.0, -2.0] + rng.standard_t(3, 120)
    design = np.column_stack((x, np.ones(120)))
    cost = np.concatenate((np.zeros(3), np.ones(240)))
    equal = np.column_stack((design, np.eye(120), -np.eye(120)))
    exact = linprog(cost, A_eq=equal, b_eq=y, bounds=[(None, None)] * 3 + [(0, None)] * 240).x[:3]

    def loss(found):
        return np.abs(y - design @ found).sum()

    assert loss(median_regression(x, y, 1e-3)) <= 1.001 * loss(exact)


def test_median_band_as_a_model_forecasts_what_the_baseline_says(fitted):
    baselines, model = fitted
    test = labelled_rows(400, seed=7)
    forecaster = forecaster_from(model)
    forecasts = forecaster.run(test.values, test.valid)
    assert SHAPE.ready(forecasts).all()
    assert np.abs(SHAPE.probabilities(forecasts) - baselines["median_band"].predict_proba(test)).max() < 1e-6
    state = forecaster.new_state()
    assert np.array_equal(forecaster.step(state, test.values[3], True), forecasts[3])
    assert not forecaster.step(state, test.values[3], False).any()
    down, _, up = SHAPE.returns_bp(forecasts)[0, 1]
    assert down < 0 < up


def test_unknown_imbalance_feature_is_refused():
    with pytest.raises(ModelError, match="imbalance_feature='queue_imbalance' is not among"):
        fit_baselines(labelled_rows(), ("a", "b", "c", "d", "e"), PARAMETERS)


def test_cell_without_one_class_is_refused():
    train = labelled_rows()
    with pytest.raises(NotEnoughData, match="lacks a class"):
        fit_baselines(replace(train, classes=np.abs(train.classes)), NAMES, PARAMETERS)


def test_band_of_a_cheap_cell_is_the_narrower_one():
    bands = fit_median_band(labelled_rows(4000), PARAMETERS).bands
    assert bands[0] < bands[1]
