"""A resumable search, by one process or many; what can be tried and what a candidate is worth is the caller's.

A trial carries how it ended, so that the study alone tells every line of the ledger: whoever comes next writes those
that a killed process did not.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol, TypeVar
from zlib import crc32

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from market.errors import ModelError, TickloopError
from modeling.parameters import SearchParameters

COMPLETE: Final = "complete"
FAILED: Final = "failed"
PRUNED: Final = "pruned"
ABANDONED: Final = "abandoned"
_STATES: Final = {COMPLETE: TrialState.COMPLETE, FAILED: TrialState.FAIL, PRUNED: TrialState.PRUNED}
_END: Final = "end"  # attribute of a trial: its line of the ledger
_SURPLUS: Final = "surplus"  # attribute of a trial that was asked for when others had taken all there were


class TrialPruned(ModelError):
    """A candidate was given up before its end: behind the others, or beyond a budget."""


@dataclass(frozen=True)
class Score:
    """What a candidate is worth."""

    value: float  # to be maximised
    nll_skill: float  # breaks ties, as when nobody trades
    minute_ts: tuple[int, ...]  # UTC minutes that were traded through, ns
    minute_net: tuple[float, ...]  # net PnL of each, for the statistics of multiple testing
    held_minutes: float = 0.0  # the longest position, likewise


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
    held_minutes: float | None = None  # see Score


C = TypeVar("C")  # a candidate: one point of the space that is searched
C_co = TypeVar("C_co", covariant=True)
Report = Callable[[int, float], None]  # step and how good it looks so far, higher is better
Objective = Callable[[C, Report], Score]
Record = Callable[[Trial], None]  # a trial that it was shown before it leaves alone


class Space(Protocol[C_co]):
    """What a search may try."""

    @property
    def first(self) -> Mapping[str, Any]:
        """Settings of the first trial."""

    def suggested(self, trial: optuna.Trial) -> dict[str, Any]:
        """Settings of another trial, drawn."""

    def candidate(self, settings: Mapping[str, Any]) -> C_co:
        """What some settings stand for."""


class Crew(Protocol):
    """The processes that share a study, as one of them sees the others."""

    def working_on(self, trial: optuna.Trial) -> AbstractContextManager[None]:
        """Until it is left, the others see that somebody works on the trial."""

    def give_up(self, study: optuna.Study) -> None:
        """Fail the running trials that nobody works on any more."""

    def wait(self) -> None:
        """Let the others come further."""


class Alone:
    """A crew of one process, whose study nobody else sees."""

    def working_on(self, trial: optuna.Trial) -> AbstractContextManager[None]:
        """Nobody has to be told."""
        return nullcontext()

    def give_up(self, study: optuna.Study) -> None:
        """Nobody can have died."""

    def wait(self) -> None:
        """Nobody else holds a trial. Raises ModelError: whoever waits here would wait for ever."""
        raise ModelError("a search by one process waits for the trials of another")


def open_study(name: str, storage: optuna.storages.BaseStorage) -> optuna.Study:
    """The study of that name, with whatever trials its storage holds; a new one if it holds none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)


def search(
    study: optuna.Study,
    parameters: SearchParameters,
    space: Space[C],
    objective: Objective[C],
    record: Record,
    *,
    crew: Crew,
) -> C:
    """The best candidate of a study once ``parameters.trials`` of its trials have ended, those it came with included.

    The first trial is ``space.first``. A TickloopError of the objective is a failed trial. Several processes may
    search one study: together they end as many trials, each of them sees the end, and a trial whose process died is
    abandoned and replaced. Every ended trial goes to ``record``, whoever ran it.
    Raises ModelError if no trial came to a value.
    """
    study.sampler = _Sampler(parameters, space.first)
    study.pruner = optuna.pruners.MedianPruner(parameters.prune_after_trials, parameters.prune_after_epochs)
    shown: set[int] = set()  # the ledger is long to read, and a trial that has ended stays as it is
    while True:
        crew.give_up(study)
        for line in ledger_lines(study):
            if line.number not in shown:
                record(line)
                shown.add(line.number)
        begun = _begun(study)
        if sum(trial.state.is_finished() for trial in begun) >= parameters.trials:
            return best_candidate(study, space)
        if len(begun) >= parameters.trials:
            crew.wait()
        else:
            _try(study, parameters, space, objective, crew)


def best_candidate(study: optuna.Study, space: Space[C]) -> C:
    """The completed trial of highest value, ties broken by skill, then by age."""
    complete = [trial for trial in ledger_lines(study) if trial.state == COMPLETE]
    if not complete:
        raise ModelError(f"none of the {len(study.trials)} trials of study {study.study_name} came to a value")
    best = max(complete, key=lambda trial: (trial.value, trial.nll_skill, -trial.number))
    return space.candidate(best.settings)


def ledger_lines(study: optuna.Study) -> list[Trial]:
    """Every trial of a study that has ended, abandoned ones included, in the order in which they were begun."""
    return [
        _line(study, trial)
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and _SURPLUS not in trial.user_attrs
    ]


def importances(study: optuna.Study) -> dict[str, float]:
    """How much of the spread of the trials' values each setting explains, shares of 1, largest first.

    Empty where that cannot be said: fewer than four trials with a value, or none that differs from the others.
    """
    values = [trial.value for trial in ledger_lines(study) if trial.state == COMPLETE]
    if len(values) < 4 or len(set(values)) == 1:
        return {}
    forest = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=forest))


def _line(study: optuna.Study, trial: FrozenTrial) -> Trial:
    if _abandoned(trial):
        reason = "the process that ran it ended before it did"
        return Trial(study.study_name, trial.number, ABANDONED, trial.params, None, None, (), (), reason)
    line = trial.user_attrs[_END]
    return Trial(**{**line, "minute_ts": tuple(line["minute_ts"]), "minute_net": tuple(line["minute_net"])})


def _abandoned(trial: FrozenTrial) -> bool:
    """Whether a trial was ended by others than whoever ran it."""
    return trial.state.is_finished() and _STATES.get(trial.user_attrs.get(_END, {}).get("state")) != trial.state


def _begun(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: those that run or came to an end of their own."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if _SURPLUS not in trial.user_attrs and not _abandoned(trial)]


def _try(
    study: optuna.Study, parameters: SearchParameters, space: Space[C], objective: Objective[C], crew: Crew
) -> None:
    """One trial; if others have given it up meanwhile it was abandoned and stays so, whatever is said of it here."""
    trial = _asked(study)
    with suppress(optuna.exceptions.UpdateFinishedTrialError), crew.working_on(trial):
        if sum(other.number < trial.number for other in _begun(study)) >= parameters.trials:
            trial.set_user_attr(_SURPLUS, True)
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            return
        _end(study, trial, _outcome(study, trial, space.candidate(space.suggested(trial)), objective))


def _asked(study: optuna.Study) -> optuna.Trial:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Heartbeat of storage")  # the crew gives them, not Optuna's own loop
        return study.ask()


def _outcome(study: optuna.Study, trial: optuna.Trial, candidate: C, objective: Objective[C]) -> Trial:
    def report(step: int, value: float) -> None:
        trial.report(value, step)
        if trial.should_prune():
            raise TrialPruned(f"behind the median of the trials before it at step {step}")

    begun = study.study_name, trial.number
    try:
        score = objective(candidate, report)
    except TrialPruned as pruned:
        return Trial(*begun, PRUNED, trial.params, None, None, (), (), str(pruned))
    except TickloopError as error:
        return Trial(*begun, FAILED, trial.params, None, None, (), (), str(error))
    if not math.isfinite(score.value):
        return Trial(*begun, FAILED, trial.params, None, None, (), (), f"its value is {score.value}")
    return Trial(*begun, COMPLETE, trial.params, **asdict(score), reason="")


def _end(study: optuna.Study, trial: optuna.Trial, line: Trial) -> None:
    trial.set_user_attr(_END, asdict(line))
    study.tell(trial, line.value, state=_STATES[line.state], skip_if_finished=True)


class _Sampler(optuna.samplers.BaseSampler):
    """Gives the space's first settings to the first trial, and to the next if whoever ran that one died with it.

    Every other is drawn from the seed, its own number and the setting's name: from the same draw a trial's settings
    would all lie at the same place between their bounds.
    """

    def __init__(self, parameters: SearchParameters, first: Mapping[str, Any]) -> None:
        self._parameters, self._first = parameters, first
        self._configured: set[int] = set()  # trials of this process that were given the configured settings

    def _untried(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether no earlier trial tries the configured settings; one that is still being drawn may come to them."""
        earlier = [other for other in _begun(study) if other.number < trial.number]
        return not any(other.params.items() <= self._first.items() for other in earlier)

    def _drawn(self, trial: FrozenTrial, name: str = "") -> optuna.samplers.TPESampler:
        settings = self._parameters
        sequence = np.random.SeedSequence((settings.seed, trial.number, crc32(name.encode())))
        return optuna.samplers.TPESampler(
            seed=int(sequence.generate_state(1)[0]),
            n_startup_trials=settings.startup_trials,
            constant_liar=settings.workers > 1,
        )

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        if self._untried(study, trial):
            self._configured.add(trial.number)
            return {}
        return self._drawn(trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        return self._drawn(trial).sample_relative(study, trial, search_space) if search_space else {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        if trial.number in self._configured:
            return self._first[param_name]
        return self._drawn(trial, param_name).sample_independent(study, trial, param_name, param_distribution)
