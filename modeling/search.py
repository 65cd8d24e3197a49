"""A short, resumable search over the settings of a network; what a candidate is worth is the caller's to say."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import optuna

from market.errors import ModelError, TickloopError
from modeling.parameters import CnnParameters, NetworkParameters, SearchParameters, TrainingParameters

COMPLETE: Final = "complete"
FAILED: Final = "failed"
PRUNED: Final = "pruned"
ABANDONED: Final = "abandoned"
_SKILL: Final = "nll_skill"


class TrialPruned(ModelError):
    """A candidate was given up before its end: behind the others, or beyond a budget."""


@dataclass(frozen=True)
class Candidate:
    """One point of the search space."""

    network: NetworkParameters
    training: TrainingParameters


@dataclass(frozen=True)
class Score:
    """What a candidate is worth."""

    value: float  # to be maximised
    nll_skill: float  # breaks ties, as when nobody trades
    minute_ts: tuple[int, ...]  # UTC minutes that were traded through, ns
    minute_net: tuple[float, ...]  # net PnL of each, for the statistics of multiple testing


@dataclass(frozen=True)
class Trial:
    """A line of the trial ledger."""

    study: str
    number: int
    state: str  # COMPLETE, FAILED, PRUNED or ABANDONED
    settings: dict[str, float | int]
    value: float | None
    nll_skill: float | None
    minute_ts: tuple[int, ...]
    minute_net: tuple[float, ...]
    reason: str  # why it has no value, empty where it has


Report = Callable[[int, float], None]  # step and how good it looks so far, higher is better
Objective = Callable[[Candidate, Report], Score]
Record = Callable[[Trial], None]


def open_study(name: str, storage: optuna.storages.BaseStorage) -> optuna.Study:
    """The study of that name, with whatever trials its storage holds; a new one if it holds none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner()
    return optuna.create_study(
        study_name=name, storage=storage, direction="maximize", load_if_exists=True, pruner=pruner
    )


def search(
    study: optuna.Study, parameters: SearchParameters, start: Candidate, objective: Objective, record: Record
) -> Candidate:
    """The best candidate of a study once it has ``parameters.trials`` trials, those it came with included.

    The first trial is ``start`` itself. Each trial's end goes to ``record``; a TickloopError of the objective is a
    failed trial. A trial found running was abandoned by a process that died: one process at a time may search a study.
    Raises ModelError if no trial came to a value.
    """
    _give_up_abandoned(study, record)
    while _ended(study) < parameters.trials:
        number = len(study.trials)
        study.sampler = optuna.samplers.TPESampler(seed=parameters.seed + number, n_startup_trials=5)
        if number == 0:
            study.enqueue_trial(_settings(start))
        record(_try(study, parameters, start, objective))
    return best_candidate(study, start)


def best_candidate(study: optuna.Study, start: Candidate) -> Candidate:
    """The completed trial of highest value, ties broken by skill, then by age."""
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if not complete:
        raise ModelError(f"none of the {len(study.trials)} trials of study {study.study_name} came to a value")
    best = max(complete, key=lambda trial: (trial.value, trial.user_attrs[_SKILL], -trial.number))
    return _candidate(best.params, start)


def _ended(study: optuna.Study) -> int:
    return len(study.trials) - len(study.user_attrs.get(ABANDONED, ()))


def _give_up_abandoned(study: optuna.Study, record: Record) -> None:
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        reason = "the process that ran it ended before it did"
        record(Trial(study.study_name, trial.number, ABANDONED, trial.params, None, None, (), (), reason))
        study.set_user_attr(ABANDONED, sorted({*study.user_attrs.get(ABANDONED, ()), trial.number}))
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _try(study: optuna.Study, parameters: SearchParameters, start: Candidate, objective: Objective) -> Trial:
    trial = study.ask()
    candidate = _candidate(_suggested(trial, parameters, start), start)

    def report(step: int, value: float) -> None:
        trial.report(value, step)
        if trial.should_prune():
            raise TrialPruned(f"behind the median of the trials before it at step {step}")

    try:
        score = objective(candidate, report)
    except TrialPruned as pruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return Trial(study.study_name, trial.number, PRUNED, trial.params, None, None, (), (), str(pruned))
    except TickloopError as error:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return Trial(study.study_name, trial.number, FAILED, trial.params, None, None, (), (), str(error))
    trial.set_user_attr(_SKILL, score.nll_skill)
    study.tell(trial, score.value)
    return Trial(study.study_name, trial.number, COMPLETE, trial.params, **asdict(score), reason="")


def _suggested(trial: optuna.Trial, parameters: SearchParameters, start: Candidate) -> dict[str, Any]:
    drawn: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", *parameters.learning_rate, log=True),
        "dropout": trial.suggest_float("dropout", *parameters.dropout),
        "width": trial.suggest_categorical("width", parameters.widths),
    }
    if isinstance(start.network, CnnParameters):
        drawn["dilation_growth"] = trial.suggest_categorical("dilation_growth", parameters.dilation_growths)
    return drawn


def _settings(candidate: Candidate) -> dict[str, Any]:
    network = candidate.network
    searched = {"dropout": network.dropout, "width": network.width}
    if isinstance(network, CnnParameters):
        searched["dilation_growth"] = network.dilation_growth
    return {"learning_rate": candidate.training.learning_rate, **searched}


def _candidate(settings: dict[str, Any], start: Candidate) -> Candidate:
    shape = {key: value for key, value in settings.items() if key != "learning_rate"}
    training = replace(start.training, learning_rate=settings["learning_rate"])
    return Candidate(replace(start.network, **shape), training)
