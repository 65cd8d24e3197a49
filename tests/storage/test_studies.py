"""One study for many processes, in a journal and in PostgreSQL: no trial lost, none doubled, the ledger complete."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from market.errors import ConfigError, ModelError
from modeling.parameters import CnnParameters, SearchParameters
from modeling.search import Score, TrialPruned, ledger_lines, open_study, search
from modeling.search_space import Candidate, NetworkSpace
from storage import studies
from storage.studies import StudyCrew, secret_url, study_storage
from storage.trials import append_trial, read_trials
from tests.builders_modeling import quick_training
from tests.builders_postgres import postgres_server

TRIALS, WORKERS, BEAT_S = 9, 4, 1
DYING = "dying"  # file of a process that is about to die
START = Candidate(CnnParameters("cnn", 64, 3, 3, 2, 0.1), quick_training(learning_rate=2e-4))
SPACE = SearchParameters(
    TRIALS, 5, 5, 0, WORKERS, "", (1e-4, 3e-4), (1.5, 2.0), (0.05, 0.15), (64, 96), (2, 3), (4, 8), seed=7
)
AROUND = NetworkSpace(SPACE, START)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, str]]:
    """URLs of a database, without and with its password."""
    with postgres_server() as urls:
        with pytest.raises(ConfigError):  # nobody gets in without the password; and what it imports the forks have
            study_storage(Path(), urls[0])
        yield urls


def judged(candidate: Candidate, report: Callable[[int, float], None]) -> Score:
    """Fails for some, is pruned for others; minutes long enough to be seen torn."""
    if candidate.network.dropout > 0.14:
        raise ModelError("the training loss is nan")
    if candidate.network.dropout < 0.06:
        raise TrialPruned("too slow")
    return Score(-candidate.network.dropout, 0.1, tuple(range(60)), (0.25,) * 60)


def search_in(folder: Path, url: str, objective: Any = judged) -> None:
    """What every process does, the study's opening included."""
    storage = study_storage(folder / "study.journal", url, BEAT_S)
    study = open_study("shared", storage)
    with StudyCrew(storage, folder, datetime.now) as crew:
        search(study, SPACE, AROUND, objective, lambda one: append_trial(folder / "trials.jsonl", one), crew=crew)


def killed_in_its_second(folder: Path, url: str) -> None:
    """A process that dies in the middle of a trial."""
    begun = []

    def objective(candidate: Candidate, report: Callable[[int, float], None]) -> Score:
        begun.append(candidate)
        if len(begun) == 2:
            (folder / DYING).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return judged(candidate, report)

    search_in(folder, url, objective)


def slower_than_the_killed(folder: Path, url: str) -> None:
    """A process that leaves enough trials for the other one to die in."""

    def objective(candidate: Candidate, report: Callable[[int, float], None]) -> Score:
        deadline = time.monotonic() + 50.0
        while not (folder / DYING).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return judged(candidate, report)

    search_in(folder, url, objective)


def together(folder: Path, url: str) -> list[int | None]:
    """Exit codes of four processes that search one study, of which one is killed."""
    context = multiprocessing.get_context("fork")
    works = [killed_in_its_second, *[slower_than_the_killed] * (WORKERS - 1)]
    processes = [context.Process(target=work, args=(folder, url)) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def check(folder: Path, url: str) -> None:
    """The ledger holds every trial of the study once, and those that count are as many as were asked for."""
    ledger = read_trials(folder / "trials.jsonl")
    study = open_study("shared", study_storage(folder / "study.journal", url, BEAT_S))
    assert Counter(trial["number"] for trial in ledger) == Counter(line.number for line in ledger_lines(study))
    assert max(Counter(trial["number"] for trial in ledger).values()) == 1
    states = Counter(trial["state"] for trial in ledger)
    assert states["abandoned"] == 1
    assert sum(states.values()) == TRIALS + 1
    assert states["complete"] > 0
    first = next(trial for trial in ledger if trial["number"] == 0)
    assert (first["settings"]["learning_rate"], first["settings"]["dropout"]) == (2e-4, 0.1)  # type: ignore[index]
    for trial in ledger:
        assert len(trial["minute_net"]) == (60 if trial["state"] == "complete" else 0)  # type: ignore[arg-type]
    assert len(list(folder.glob(".worker-*"))) == 1  # of the one that could not clear up


def test_four_processes_share_a_journal_and_one_of_them_dies(tmp_path: Path) -> None:
    assert together(tmp_path, "") == [-signal.SIGKILL, 0, 0, 0]
    check(tmp_path, "")


def test_four_processes_share_a_database_and_one_of_them_dies(
    tmp_path: Path, server: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(studies.URL, server[1])
    assert together(tmp_path, server[0]) == [-signal.SIGKILL, 0, 0, 0]
    check(tmp_path, server[0])


def test_a_database_that_refuses_us_is_one_line_without_the_secret(
    server: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(studies.URL, server[1].replace("correct", "wrong"))
    with pytest.raises(ConfigError, match="no study database at postgresql.psycopg2://.*password") as caught:
        study_storage(tmp_path, server[0])
    assert "horse" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_secret_is_of_the_configured_database_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(studies.URL, "postgresql://me:secret@one/studies")
    assert secret_url("postgresql://one/studies") == "postgresql://me:secret@one/studies"
    with pytest.raises(ConfigError, match="TICKLOOP_STUDY_URL is of another database") as caught:
        secret_url("postgresql://two/studies")
    assert "secret" not in str(caught.value)
    monkeypatch.delenv(studies.URL)
    assert secret_url("postgresql://two/studies") == "postgresql://two/studies"


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_a_journal_whose_last_line_is_torn_loses_that_line_alone(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "study.journal"
    study = open_study("shared", study_storage(path, ""))
    study.tell(study.ask(), 1.0)
    whole = path.read_bytes()
    study.ask()
    (last,) = path.read_bytes()[len(whole) :].splitlines(keepends=True)
    path.write_bytes(whole + last[:kept])
    assert study.ask().number == 1  # by a process that had the journal open
    for opened in (1, 2):
        again = open_study("shared", study_storage(path, ""))
        assert [trial.number for trial in again.trials] == list(range(1 + opened))
        again.ask()


def test_a_colleague_at_work_keeps_its_trial(tmp_path: Path) -> None:
    """What one process runs is not given up by another that comes later: only by the death of the first."""
    storage = study_storage(tmp_path / "study.journal", "")
    study = open_study("shared", storage)
    with StudyCrew(storage, tmp_path, datetime.now) as later:
        with StudyCrew(storage, tmp_path, datetime.now) as first, first.working_on(study.ask()):
            later.give_up(study)
            assert ledger_lines(study) == []
        later.give_up(study)
        assert [(line.number, line.state) for line in ledger_lines(study)] == [(0, "abandoned")]
        assert [path.name for path in tmp_path.glob(".worker-*")] == [f".worker-{later.name}.lock"]


def test_two_that_give_up_the_same_trial_in_the_same_moment_both_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, other = (study_storage(tmp_path / "study.journal", "") for _ in range(2))
    study = open_study("shared", storage)
    with StudyCrew(storage, tmp_path, datetime.now) as dead, dead.working_on(study.ask()):
        pass

    def told_by_the_other_first(trial_id: int, state: TrialState, values: Any = None) -> bool:
        other.set_trial_state_values(trial_id, state, values)
        return type(storage).set_trial_state_values(storage, trial_id, state, values)

    monkeypatch.setattr(storage, "set_trial_state_values", told_by_the_other_first)
    with StudyCrew(storage, tmp_path, datetime.now) as crew:
        crew.give_up(study)
    assert [line.state for line in ledger_lines(study)] == ["abandoned"]


def test_a_trial_that_was_given_up_ends_at_its_next_report(tmp_path: Path) -> None:
    """A process that stood still for long finds its trial ended by others, and takes up the next."""
    storage = study_storage(tmp_path / "study.journal", "")
    study = open_study("shared", storage)
    went_on = []

    def slow(candidate: Candidate, report: Callable[[int, float], None]) -> Score:
        went_on.append(candidate)
        if len(went_on) == 1:
            (running,) = [trial for trial in study.trials if not trial.state.is_finished()]
            study.tell(running.number, state=TrialState.FAIL)
        report(0, 1.0)
        return judged(candidate, report)

    with StudyCrew(storage, tmp_path, datetime.now) as crew:
        search(study, SPACE, AROUND, slow, lambda _: None, crew=crew)
    assert [line.state for line in ledger_lines(study)].count("abandoned") == 1
    assert len(went_on) == TRIALS + 1


def test_a_trial_that_was_given_up_stays_so_when_its_process_comes_back(tmp_path: Path) -> None:
    storage = study_storage(tmp_path / "study.journal", "")
    study = open_study("shared", storage)

    def slow(candidate: Candidate, report: Callable[[int, float], None]) -> Score:
        slow.calls += 1  # type: ignore[attr-defined]
        if slow.calls == 1:  # type: ignore[attr-defined]
            (running,) = [trial for trial in study.trials if not trial.state.is_finished()]
            study.tell(running.number, state=TrialState.FAIL)
        return judged(candidate, report)

    slow.calls = 0  # type: ignore[attr-defined]
    with StudyCrew(storage, tmp_path, datetime.now) as crew:
        search(study, SPACE, AROUND, slow, lambda _: None, crew=crew)
    assert [line.state for line in ledger_lines(study)].count("abandoned") == 1
    assert ledger_lines(study)[0].state == "abandoned"
    assert len(ledger_lines(study)) == TRIALS + 1


def test_a_trial_whose_process_died_before_it_left_its_name_is_given_up_after_a_while(tmp_path: Path) -> None:
    storage = study_storage(tmp_path / "study.journal", "")
    study = open_study("shared", storage)
    study.ask()
    for days, states in ((0, []), (1, ["abandoned"])):
        with StudyCrew(storage, tmp_path, lambda days=days: datetime.now() + timedelta(days=days)) as crew:  # type: ignore[misc]
            crew.give_up(study)
        assert [line.state for line in ledger_lines(study)] == states
