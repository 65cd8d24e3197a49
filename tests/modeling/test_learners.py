"""Logistic and LightGBM: against scikit-learn, the same bytes from a seed, and never worse than the prior here."""

from dataclasses import replace

import numpy as np
import pytest

from market.errors import ConfigError, NotEnoughData
from modeling.baselines import fit_baselines
from modeling.evaluation import baseline_prediction, evaluate
from modeling.learners import LIGHTGBM, LOGISTIC, candidates, fit_learners, logistic_regression
from modeling.parameters import BaselineParameters, LearnerParameters
from modeling.sampling import learnable
from tests.builders_modeling import labelled_rows

PARAMETERS = LearnerParameters(1e-4, 1_000_000, 2, 30, 20, (7, 15, 31, 63), (0.02, 0.1), (20, 200), (0.5, 1.0), 5)


@pytest.fixture(scope="module")
def fitted():
    return fit_learners(labelled_rows(2500), labelled_rows(900, seed=3), PARAMETERS, 10)


def test_both_beat_the_class_prior_on_rows_with_a_leading_feature(fitted) -> None:
    train, test = labelled_rows(2500), labelled_rows(900, seed=4)
    prior = baseline_prediction(fit_baselines(train, "abcde", BaselineParameters("a", 0.05))[0][0], test)
    table = evaluate(test, learnable(test, 10), prior, [baseline_prediction(one, test) for one in fitted])
    for name in (LOGISTIC, LIGHTGBM):
        assert table.filter(table["model"] == name)["nll_skill"].min() > 0.2
        assert table.filter(table["model"] == name)["macro_f1"].min() > 0.55


def test_a_seed_gives_the_same_forecasts_again(fitted) -> None:
    again = fit_learners(labelled_rows(2500), labelled_rows(900, seed=3), PARAMETERS, 10)
    test = labelled_rows(50, seed=4)
    for one, other in zip(fitted, again, strict=True):
        assert one.predict_proba(test).tobytes() == other.predict_proba(test).tobytes()
        assert np.abs(one.predict_proba(test).sum(-1) - 1).max() < 1e-9


def test_logistic_regression_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(400, 3)), rng.uniform(0.5, 2.0, 400)
    truth = np.clip(np.round(x[:, 0] + rng.normal(size=400)), -1, 1).astype(np.int64) + 1
    ridge = 0.01
    peer = LogisticRegression(C=1 / (ridge * weights.sum()), tol=1e-10, max_iter=5000).fit(x, truth, weights)
    ours = logistic_regression(x, truth, weights, ridge)
    assert np.abs(ours[:-1].T - peer.coef_).max() < 1e-3
    centred = ours[-1] - ours[-1].mean()
    assert np.abs(centred - (peer.intercept_ - peer.intercept_.mean())).max() < 1e-3


def test_budget_says_how_many_candidates_are_tried() -> None:
    drawn = candidates(replace(PARAMETERS, lightgbm_trials=5))
    assert len(drawn) == 5
    assert drawn[:2] == candidates(PARAMETERS)
    assert len({(one["num_leaves"], one["learning_rate"]) for one in drawn}) == 5
    with pytest.raises(ConfigError, match="lightgbm_trials=0"):
        replace(PARAMETERS, lightgbm_trials=0)


def test_rows_before_the_memory_of_the_network_teach_nothing() -> None:
    train = labelled_rows(1500)
    poisoned = replace(train, values=train.values.copy())
    poisoned.values[:9] = 1e6
    val = labelled_rows(500, seed=3)
    said = [fit_learners(data, val, PARAMETERS, 10)[0].predict_proba(val) for data in (train, poisoned)]
    assert np.array_equal(*said)


def test_cell_without_one_class_is_refused() -> None:
    train = labelled_rows()
    with pytest.raises(NotEnoughData, match="lacks a class"):
        fit_learners(replace(train, classes=np.abs(train.classes)), train, PARAMETERS, 1)
    with pytest.raises(NotEnoughData, match="h250_b0 has no row to learn or choose by, of 9"):
        fit_learners(train, train.rows(slice(9)), PARAMETERS, 10)
