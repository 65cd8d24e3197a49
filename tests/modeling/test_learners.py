"""Logistic and LightGBM: against scikit-learn, the same bytes from a seed, and never worse than the prior here."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from market.errors import NotEnoughData
from modeling.baselines import fit_baselines
from modeling.boosting import TreeSpace
from modeling.evaluation import baseline_prediction, evaluate
from modeling.learners import LIGHTGBM, LOGISTIC, fit_learners, logistic_regression
from modeling.parameters import BaselineParameters, LearnerParameters, SearchParameters
from modeling.sampling import learnable
from modeling.search import COMPLETE
from tests.builders_modeling import CELLS, labelled_rows

PARAMETERS = LearnerParameters(1e-4, 1_000_000, 30, 20, (7, 15, 31, 63), (0.02, 0.1), (20, 200), (0.5, 1.0), 5)
BUDGET = SearchParameters(2, 5, 5, 0, 1, "", (1e-4, 3e-4), (1.5, 2.0), (0.05, 0.15), (64,), (2,), (4,), 7)


@pytest.fixture(scope="module")
def fitted():
    return fit_learners(labelled_rows(2500), labelled_rows(900, seed=3), PARAMETERS, BUDGET, 10)


def test_both_beat_the_class_prior_on_rows_with_a_leading_feature(fitted) -> None:
    train, test = labelled_rows(2500), labelled_rows(900, seed=4)
    prior = baseline_prediction(fit_baselines(train, "abcde", BaselineParameters("a", 0.05))[0][0], test)
    table = evaluate(test, learnable(test, 10), prior, [baseline_prediction(one, test) for one in fitted])
    for name in (LOGISTIC, LIGHTGBM):
        assert table.filter(table["model"] == name)["nll_skill"].min() > 0.2
        assert table.filter(table["model"] == name)["macro_f1"].min() > 0.55


def test_a_seed_gives_the_same_forecasts_again(fitted) -> None:
    again = fit_learners(labelled_rows(2500), labelled_rows(900, seed=3), PARAMETERS, BUDGET, 10)
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


@pytest.fixture(scope="module")
def searched():
    """LightGBM of one feature's three cells, by a budget of nine trials of which six are drawn before it learns."""
    budget = replace(BUDGET, trials=9, startup_trials=6)
    return fit_learners(labelled_rows(600), labelled_rows(400, seed=3), PARAMETERS, budget, 10)[1]


def test_every_cell_has_as_many_whole_trials_as_the_networks_search(searched) -> None:
    """The slow learners too: they are behind after the first tree, and not where they stop."""
    counts = Counter(trial.study for trial in searched.trials if trial.state == COMPLETE)
    assert counts == {f"lightgbm/{cell.name}": 9 for cell in CELLS}


def test_a_search_begins_with_lightgbms_defaults_and_stays_within_the_bounds(searched) -> None:
    first, *others = [trial.settings for trial in searched.trials if trial.study == "lightgbm/h250_b0"]
    defaults = {"num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 20, "feature_fraction": 1.0}
    assert first == defaults
    assert len({one["learning_rate"] for one in others}) == 8
    assert all(one["num_leaves"] in (7, 15, 31, 63) and 0.02 <= one["learning_rate"] <= 0.1 for one in others)
    narrow = replace(PARAMETERS, lightgbm_leaves=(7, 15), lightgbm_learning_rate=(0.02, 0.05))
    assert TreeSpace(narrow).first == defaults | {"num_leaves": 15, "learning_rate": 0.05}


def test_the_trial_of_least_loss_on_val_is_kept(searched) -> None:
    val = labelled_rows(400, seed=3)
    rows = learnable(val, 10)
    said = searched.predict_proba(val)
    for place, cell in enumerate(CELLS):
        known = rows[:, place]
        truth = val.classes[known, place].astype(int) + 1
        nll = -np.log(np.take_along_axis(said[known, place], truth[:, None], 1)).mean()
        best = max(
            trial.value for trial in searched.trials if trial.study.endswith(cell.name) and trial.value is not None
        )
        assert nll == pytest.approx(-best)


def test_rows_before_the_memory_of_the_network_teach_nothing() -> None:
    train = labelled_rows(1500)
    poisoned = replace(train, values=train.values.copy())
    poisoned.values[:9] = 1e6
    val = labelled_rows(500, seed=3)
    said = [fit_learners(data, val, PARAMETERS, BUDGET, 10)[0].predict_proba(val) for data in (train, poisoned)]
    assert np.array_equal(*said)


def test_rows_that_weigh_next_to_nothing_teach_next_to_nothing() -> None:
    train, val = labelled_rows(900), labelled_rows(300, seed=3)
    wrong = np.arange(900) < 600
    classes = np.where(wrong[:, None], -train.classes, train.classes)
    light = replace(train, classes=classes, weights=np.where(wrong, 1e-4, 1.0).astype(np.float32))
    for learner in fit_learners(light, val, PARAMETERS, replace(BUDGET, trials=1), 10):
        said = learner.predict_proba(val)[:, 0]
        assert np.corrcoef(said[:, 2] - said[:, 0], val.values[:, 0])[0, 1] > 0.5


def test_cell_without_one_class_is_refused() -> None:
    train = labelled_rows()
    with pytest.raises(NotEnoughData, match="lacks a class"):
        fit_learners(replace(train, classes=np.abs(train.classes)), train, PARAMETERS, BUDGET, 1)
    with pytest.raises(NotEnoughData, match="h250_b0 has no row to learn or choose by, of 9"):
        fit_learners(train, train.rows(slice(9)), PARAMETERS, BUDGET, 10)
