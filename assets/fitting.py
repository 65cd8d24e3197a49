"""A network on one slice: how a candidate is trained, calibrated and judged; torch is imported only when it is."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from assets.calibrating import calibrated_on
from assets.epochs import Report, Say, Trials
from assets.partitions import Part
from assets.shared_fit import Work, fit_on_devices
from assets.simulation import WARM_MARGIN_ROWS, desk_of
from assets.slice_data import SliceData, compiled_before, slice_data, slice_of
from backtest.compiled import Compiled, forecasts_on
from backtest.engine import Window
from backtest.holding import longest_hold_ns
from backtest.performance import MINUTE_NS, minute_profits
from backtest.runs import Run
from backtest.surface import run_desk
from config.settings import Settings
from features.catalogue import branch_columns, feature_names
from features.mirror import mirrored_places, mirrored_signs
from features.parameters import FeatureParameters
from modeling.architecture import Architecture, architecture, base_dilations, receptive_rows
from modeling.augmentation import Mirror
from modeling.baselines import class_prior
from modeling.calibration import identity
from modeling.evaluation import baseline_prediction, evaluate, model_prediction
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import NetworkParameters
from modeling.sampling import learnable
from modeling.search_space import Candidate, NetworkSpace
from modeling.snapshot import ModelSnapshot
from modeling.streaming import forecaster_from
from modeling.told import forecasts_of, told_of
from storage.lake import Lake
from storage.studies import StudyCrew, study_storage
from storage.trials import append_trial

if TYPE_CHECKING:
    import polars as pl
    from optuna import Study

    from modeling.search import Score
    from modeling.training import Fit

TIMED_STEPS = 500
LEDGER: Final = "trials.jsonl"  # of a study, beside its journal


@dataclass(frozen=True)
class Bench:
    """What every candidate of a slice is trained and judged on."""

    settings: Settings
    symbol: str
    data: SliceData
    span: Window  # of the first part of Val
    stretch: Compiled  # that window

    @property
    def features(self) -> FeatureParameters:
        """How the rows were made."""
        return self.settings.features_of(self.symbol)

    @property
    def shape(self) -> ForecastShape:
        """The cells that are trained."""
        return self.data.train.shape


def bench(settings: Settings, lake: Lake, part: Part) -> Bench:
    """The bench of a slice."""
    rows = longest_memory_rows(settings)
    span = Window(*slice_of(lake, part).split.search)
    stretch = compiled_before(settings, lake, part.symbol, span, rows + WARM_MARGIN_ROWS)
    return Bench(settings, part.symbol, slice_data(settings, lake, part, rows), span, stretch)


def longest_memory_rows(settings: Settings) -> int:
    """Receptive field of the largest network that the search may try, or that is a further member."""
    bases = base_dilations(settings.features.windows_ms, settings.features.row_interval_ms)
    return max(receptive_rows(network, bases) for network in settings.models.networks)


def network_of(features: FeatureParameters, network: NetworkParameters, shape: ForecastShape) -> Architecture:
    """The network that settings describe over the catalogue's columns."""
    bases = base_dilations(features.windows_ms, features.row_interval_ms)
    return architecture(network, branch_columns(features), bases, len(feature_names(features)), shape)


def train(
    on: Bench,
    candidate: Candidate,
    seed: int | None = None,
    *,
    report: Report | None = None,
    folder: Path | None = None,
    before: ModelSnapshot | None = None,
) -> "Fit":
    """A network fitted on Train; it stops early by the first part of Val.

    seed : in place of the candidate's, as each member of an ensemble has its own
    folder : where a killed fit goes on from; see ``checkpoints``
    before : the network whose weights it starts from, of the same architecture
    """
    network = network_of(on.features, candidate.network, on.shape)
    training = candidate.training if seed is None else replace(candidate.training, seed=seed)
    work = Work(
        network,
        on.data.train,
        on.data.search,
        training,
        folder=folder,
        before=before,
        clock=time.perf_counter,
        mirror=mirror_of(on.features),
    )
    return fit_on_devices(work, report)


def mirror_of(features: FeatureParameters) -> Mirror:
    """How the catalogue's rows look in the mirrored market."""
    names = tuple(feature_names(features))
    return Mirror(mirrored_places(names), mirrored_signs(names))


def curve_of(fitted: "Fit", member: int) -> list[dict[str, Any]]:
    """A fit epoch by epoch, as metadata of the member of an ensemble that it made."""
    return [
        {"member": member, "epoch": place, **asdict(epoch), "predictions_per_s": epoch.predictions_per_s}
        for place, epoch in enumerate(fitted.history)
    ]


@contextmanager
def checkpoints(settings: Settings, part: Part, inputs: str) -> Iterator[Path]:
    """The folder below which a slice's members keep their epochs; it goes once what they are for is written.

    inputs : sha of what the models are made from, so that a fit goes on only from what it was begun with
    """
    slice_folder = settings.paths.checkpoints / part.symbol / part.key
    yield slice_folder / inputs[:12]
    if slice_folder.exists():
        shutil.rmtree(slice_folder)


def calibrate(on: Bench, model: ModelSnapshot) -> ModelSnapshot:
    """The model with its probabilities bent to the frequencies of the second part of Val."""
    return calibrated_on(model, on.data.calibration, on.settings.models.calibration)


def earn(on: Bench, model: ModelSnapshot) -> Run:
    """What a model would have earned over the first part of Val."""
    forecaster = forecaster_from(model)
    desk = desk_of(on.settings, on.symbol, forecaster.shape, "take", on.span)
    return run_desk("candidate", desk, on.stretch, forecasts_on(on.stretch, forecaster))


class Profit(NamedTuple):
    """What was earned, quote currency."""

    net: float
    minute_ts: tuple[int, ...]  # UTC minutes that were traded through, ns
    minute_net: tuple[float, ...]
    held_minutes: float  # the longest position


def profit(on: Bench, model: ModelSnapshot) -> Profit:
    """Net profit of a model over the first part of Val, as a whole and minute by minute, and its longest position."""
    run = earn(on, model)
    decisions = run.result.decisions
    minutes = minute_profits(decisions["row_ts"], decisions["equity"])
    ts, net = (tuple(minutes[name].to_list()) for name in ("minute", "net"))
    held_ns = longest_hold_ns(decisions["row_ts"], decisions["position"])
    return Profit(run.performance.net_quote, ts, net, held_ns / MINUTE_NS)


def skills(on: Bench, model: ModelSnapshot) -> dict[Cell, float]:
    """Log-loss skill against the class prior, on the first part of Val, by cell."""
    rows = _own_scores(on, model).select("horizon_ms", "budget_bp", "nll_skill").iter_rows()
    return {Cell(horizon_ms, budget_bp): value for horizon_ms, budget_bp, value in rows}


def skill(on: Bench, model: ModelSnapshot) -> float:
    """Mean log-loss skill over the cells against the class prior, on the first part of Val."""
    return float(_own_scores(on, model)["nll_skill"].mean() or 0.0)  # type: ignore[arg-type]


def _own_scores(on: Bench, model: ModelSnapshot) -> "pl.DataFrame":
    """Scores of a model on the first part of Val, read in parts, over the rows on which it has a forecast."""
    forecaster = forecaster_from(model)
    data, (made,) = told_of(on.data.search, forecasts_of(forecaster))
    prior, said = class_prior(on.data.taught), model_prediction("model", forecaster.shape, made)
    scores = evaluate(data, learnable(data, forecaster.receptive_rows), baseline_prediction(prior, data), [said])
    return scores.filter(scores["model"] == "model")


def step_us(model: ModelSnapshot) -> float:
    """Median duration of one streaming step, microseconds; of this machine, now."""
    forecaster = forecaster_from(model)
    state, row = forecaster.new_state(), np.zeros(forecaster.features, np.float32)
    durations = np.empty(TIMED_STEPS)
    for place in range(TIMED_STEPS):
        start = time.perf_counter_ns()
        forecaster.step(state, row, True)
        durations[place] = time.perf_counter_ns() - start
    return float(np.median(durations)) / 1e3


def run_study(on: Bench, folder: Path, say: Say, passing: Say) -> "Study":
    """The study of a slice once all its trials have ended; one that was interrupted goes on.

    folder : of its journal and ledger; its last three parts name the study. Other processes may search it as well.
    say : gets a line a trial; passing : one an epoch
    """
    from modeling.search import ABANDONED, Trial, open_study, search

    parameters, quote = on.settings.models.search, on.settings.instrument(on.symbol).quote
    storage = study_storage(folder / "study.journal", parameters.storage)
    study = open_study("/".join(folder.parts[-3:]), storage)
    told = Trials(parameters.trials, passing)

    def judged(candidate: Candidate, report: Report) -> "Score":
        return judge_candidate(on, candidate, told.beside(candidate.training.epochs, report))

    def record(trial: Trial) -> None:
        if trial.state != ABANDONED:
            told.end()
        if append_trial(folder / LEDGER, trial):
            worth = trial.reason if trial.value is None else f"net {trial.value:+.3f} {quote} on the first part of Val"
            say(f"trial {trial.number + 1} of {parameters.trials}: {trial.state}, {worth}")

    with StudyCrew(storage, folder, datetime.now) as crew:
        search(study, parameters, searched_space(on), judged, record, crew=crew)
    return study


def searched_space(on: Bench) -> NetworkSpace:
    """The networks that the search may try, around the configured one."""
    models = on.settings.models
    return NetworkSpace(models.search, Candidate(models.network, models.training))


def judge_candidate(on: Bench, candidate: Candidate, report: Report) -> "Score":
    """Net profit over the first part of Val, quote currency. Raises TrialPruned if one step is too slow to trade on.

    How long a step takes does not depend on the weights: it is measured before they are learned. What trades is
    calibrated as the served model is: focal loss flattens probabilities, by as much as the candidate asks for.
    """
    from modeling.search import Score, TrialPruned

    budget_us = on.settings.models.step_budget_us
    if (duration := step_us(untrained(network_of(on.features, candidate.network, on.shape)))) > budget_us:
        raise TrialPruned(f"a streaming step takes {duration:.0f} us, allowed are {budget_us:g}")
    model = calibrate(on, train(on, candidate, report=lambda epoch, val_nll: report(epoch, -val_nll)).model)
    earned = profit(on, model)
    return Score(earned.net, skill(on, model), earned.minute_ts, earned.minute_net, earned.held_minutes)


def untrained(network: Architecture) -> ModelSnapshot:
    """The network before it has learned anything, with weights of a usual size."""
    rng, cells = np.random.default_rng(0), len(network.forecast.cells)
    weights = {name: rng.normal(0.0, 0.1, shape).astype(np.float32) for name, shape in network.weight_shapes().items()}
    return ModelSnapshot(network.kind, network.as_dict(), weights, identity(cells))
