"""The search: resumable, honest about failures, ties broken by skill."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from market.errors import ModelError
from modeling.parameters import CnnParameters, SearchParameters
from modeling.search import Alone, Score, TrialPruned, importances, ledger_lines, open_study, search
from modeling.search_space import Candidate, NetworkSpace
from storage.studies import StudyCrew, study_journal
from storage.trials import append_trial, read_trials
from tests.builders_modeling import quick_training

START = Candidate(CnnParameters("cnn", 64, 3, 3, 2, 0.1), quick_training(learning_rate=2e-4))
SPACE = SearchParameters(4, 5, 5, 0, 1, "", (1e-4, 3e-4), (1.5, 2.0), (0.05, 0.15), (64, 96), (2, 3), (4, 8), 7)
AROUND = NetworkSpace(SPACE, START)


@pytest.fixture
def found(tmp_path):
    """Runs a search over one journal and one ledger; gives the best candidate and the ledger."""

    def run(objective, **changes):
        storage = study_journal(tmp_path / "study.journal")
        study, ledger = open_study("s-k0", storage), tmp_path / "trials.jsonl"
        parameters = replace(SPACE, **changes)
        with StudyCrew(storage, tmp_path, datetime.now) as crew:
            best = search(
                study,
                parameters,
                NetworkSpace(parameters, START),
                objective,
                lambda one: append_trial(ledger, one),
                crew=crew,
            )
        return best, read_trials(ledger)

    return run


def _dropout_score(candidate, report):
    return Score(-candidate.network.dropout, 0.1, (60, 120), (1.0, -0.5))


def test_search_starts_with_the_configured_candidate_and_keeps_the_best(found):
    best, ledger = found(_dropout_score)
    assert [trial["number"] for trial in ledger] == [0, 1, 2, 3]
    assert ledger[0]["settings"] == {
        "learning_rate": 2e-4,
        "focal_gamma": 1.5,
        "dropout": 0.1,
        "width": 64,
        "dilation_growth": 2,
    }
    assert best.network.dropout == min(trial["settings"]["dropout"] for trial in ledger)
    assert (ledger[1]["minute_ts"], ledger[1]["minute_net"]) == ([60, 120], [1.0, -0.5])
    for trial in ledger:
        assert 1e-4 <= trial["settings"]["learning_rate"] <= 3e-4
        assert trial["settings"]["width"] in (64, 96)


def test_settings_of_a_trial_are_drawn_apart(found):
    _, ledger = found(_dropout_score, trials=9, startup_trials=9)
    places = [
        ((drawn["focal_gamma"] - 1.5) / 0.5, (drawn["dropout"] - 0.05) / 0.1)
        for drawn in (trial["settings"] for trial in ledger[1:])
    ]
    assert abs(np.corrcoef(np.array(places).T)[0, 1]) < 0.9


def test_ties_are_broken_by_skill(found):
    best, ledger = found(lambda candidate, report: Score(0.0, candidate.training.learning_rate, (), ()))
    assert best.training.learning_rate == max(trial["settings"]["learning_rate"] for trial in ledger)


def test_of_trials_that_are_alike_the_oldest_is_kept(found):
    best, ledger = found(lambda candidate, report: Score(0.0, 0.1, (), ()))
    assert best == START
    assert len({trial["settings"]["dropout"] for trial in ledger}) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_only_one_of_several_searchers_minds_what_the_others_are_at(workers):
    def drawn(state):
        study, parameters = open_study("s-k0", InMemoryStorage()), replace(SPACE, workers=workers, trials=10)
        search(study, parameters, NetworkSpace(parameters, START), _dropout_score, lambda _: None, crew=Alone())
        best = study.best_trial
        study.add_trial(create_trial(state=state, params=best.params, distributions=best.distributions))
        return NetworkSpace(parameters, START).suggested(study.ask())

    assert (drawn(TrialState.RUNNING) == drawn(TrialState.FAIL)) == (workers == 1)


def test_failed_and_pruned_trials_are_recorded_and_the_rest_goes_on(found):
    def objective(candidate, report):
        objective.calls += 1
        if objective.calls == 2:
            raise ModelError("the training loss is nan in epoch 0")
        if objective.calls == 3:
            raise TrialPruned("a step takes 90 us, allowed are 60")
        return Score(1.0, 0.0, (), ())

    objective.calls = 0
    _, ledger = found(objective)
    assert [trial["state"] for trial in ledger] == ["complete", "failed", "pruned", "complete"]
    assert ledger[1]["reason"] == "the training loss is nan in epoch 0"
    assert ledger[2]["value"] is None


@pytest.mark.parametrize(("epochs", "states"), [(2, "complete complete complete"), (1, "complete complete pruned")])
def test_a_slow_start_is_no_reason_to_give_a_trial_up(found, epochs, states):
    curves = [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [-1.0, 0.5, 3.0]]

    def objective(candidate, report):
        for epoch, value in enumerate(curves[objective.calls]):
            report(epoch, value)
        objective.calls += 1
        return Score(value, 0.0, (), ())

    objective.calls = 0
    _, ledger = found(objective, trials=3, prune_after_trials=2, prune_after_epochs=epochs)
    assert " ".join(trial["state"] for trial in ledger) == states


def test_as_many_trials_as_asked_come_to_a_value_before_any_is_given_up(found):
    def objective(candidate, report):
        objective.calls += 1
        report(0, -float(objective.calls))
        return Score(-float(objective.calls), 0.0, (), ())

    objective.calls = 0
    _, ledger = found(objective, trials=6, prune_after_trials=3, prune_after_epochs=0)
    assert [trial["state"] for trial in ledger] == ["complete"] * 3 + ["pruned"] * 3
    assert "behind the median" in ledger[3]["reason"]


def test_interrupted_search_goes_on_where_it_stopped(found):
    class Killed(BaseException):
        pass

    def dying(candidate, report):
        dying.calls += 1
        if dying.calls == 3:
            raise Killed
        return _dropout_score(candidate, report)

    dying.calls = 0
    with pytest.raises(Killed):
        found(dying)
    best, ledger = found(_dropout_score)
    assert [(trial["number"], trial["state"]) for trial in ledger] == [
        (0, "complete"),
        (1, "complete"),
        (2, "abandoned"),
        (3, "complete"),
        (4, "complete"),
    ]
    assert best.network.dropout == min(trial["settings"]["dropout"] for trial in ledger if trial["state"] == "complete")


def test_a_search_killed_in_its_first_trial_still_tries_the_configured_candidate(found):
    def dying(candidate, report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found(dying)
    _, ledger = found(_dropout_score)
    assert [(trial["number"], trial["state"]) for trial in ledger] == [(0, "abandoned")] + [
        (number, "complete") for number in range(1, 5)
    ]
    assert [trial["settings"] == ledger[0]["settings"] for trial in ledger] == [True, True, False, False, False]
    assert (ledger[1]["settings"]["learning_rate"], ledger[1]["settings"]["dropout"]) == (2e-4, 0.1)


def test_every_trial_is_shown_to_the_ledger_once(tmp_path):
    storage, shown = study_journal(tmp_path / "study.journal"), []
    with StudyCrew(storage, tmp_path, datetime.now) as crew:
        search(open_study("s-k0", storage), SPACE, AROUND, _dropout_score, shown.append, crew=crew)
    assert [trial.number for trial in shown] == [0, 1, 2, 3]


def test_finished_search_tries_nothing_more(found):
    first, _ = found(_dropout_score)

    def never(candidate, report):
        raise AssertionError("no trial was left")

    again, ledger = found(never)
    assert again == first
    assert len(ledger) == 4


def test_same_seed_tries_the_same_candidates(found, tmp_path):
    _, ledger = found(_dropout_score)
    storage = study_journal(tmp_path / "other")
    study = open_study("t", storage)
    with StudyCrew(storage, tmp_path, datetime.now) as crew:
        search(study, SPACE, AROUND, _dropout_score, lambda _: None, crew=crew)
    assert [trial.settings for trial in ledger_lines(study)] == [trial["settings"] for trial in ledger]


def test_trial_behind_the_median_is_pruned(found):
    def objective(candidate, report):
        objective.calls += 1
        for step in range(3):
            report(step, -float(objective.calls))
        return Score(1.0, 0.0, (), ())

    objective.calls = 0
    _, ledger = found(objective, trials=7)
    assert [trial["state"] for trial in ledger] == ["complete"] * 5 + ["pruned"] * 2


@pytest.mark.parametrize(("worth", "first"), [(lambda one: -one.network.dropout, ["dropout"]), (lambda _: 1.0, [])])
def test_importances_name_what_the_value_hangs_on_and_nothing_where_all_are_alike(tmp_path, worth, first):
    storage = study_journal(tmp_path / "study.journal")
    study = open_study("s-k0", storage)
    with StudyCrew(storage, tmp_path, datetime.now) as crew:
        search(
            study,
            replace(SPACE, trials=16),
            AROUND,
            lambda candidate, report: Score(worth(candidate), 0.0, (), ()),
            lambda _: None,
            crew=crew,
        )
    found = importances(study)
    assert list(found)[:1] == first
    assert sum(found.values()) == pytest.approx(len(first))


def test_study_without_a_value_is_one_clear_error(found):
    def failing(candidate, report):
        raise ModelError("no")

    with pytest.raises(ModelError, match="none of the 4 trials of study s-k0"):
        found(failing)


def test_torn_ledger_line_is_passed_over(tmp_path, found):
    found(_dropout_score)
    ledger = tmp_path / "trials.jsonl"
    with ledger.open("ab") as stream:
        stream.write(b'{"study": "s-k0", "num')
    _, trials = found(_dropout_score, trials=5)
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3, 4]
    assert json.loads(ledger.read_bytes().splitlines()[-1])["number"] == 4
