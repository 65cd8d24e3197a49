"""Everybody on one slice of recordings: rules symbol by symbol, learners and networks on the pooled rows."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.calibrating import calibrated_on
from assets.carried import going_on, said_by_rule
from assets.conformal_tables import conformal_table
from assets.epochs import Epochs, Say
from assets.fitting import mirror_of, network_of
from assets.judged import MODEL, Judged, moments_of
from assets.recorded_slices import PooledSlice, Windows
from assets.shared_fit import Work, fit_on_devices
from config.settings import Settings
from features.catalogue import feature_names
from modeling.baselines import fit_baselines
from modeling.decision import fit_decision
from modeling.evaluation import Prediction, baseline_prediction, likeliest
from modeling.learners import fit_learners
from modeling.parameters import sibling
from modeling.sampling import learnable
from modeling.snapshot import ModelSnapshot, ensemble_of
from modeling.streaming import forecaster_from
from modeling.training_parts import InMemory
from modeling.training_rows import TrainingSet
from storage.progress import Pace

if TYPE_CHECKING:
    from modeling.search import Trial

Probabilities = NDArray[np.floating]
MEAN: Final = "mean of kinds"
STACKED: Final = "stacked kinds"


@dataclass(frozen=True)
class Terms:
    """What is fitted, from which seeds, and until when a fit may begin."""

    kinds: tuple[str, ...]
    seeds: int
    deadline: float  # of time.monotonic

    def fits(self, first_seed: int) -> Iterator[tuple[str, int]]:
        """All seeds of the first kind, then of the next."""
        return ((kind, first_seed + seed) for kind in self.kinds for seed in range(self.seeds))


class Heard(NamedTuple):
    """What one predictor said of the later parts of Val and of Test, symbols pooled."""

    calibration: Probabilities  # (N, C, 3)
    conformal: Probabilities
    test: Probabilities


class Contest(NamedTuple):
    """One slice with all that was said of its Test."""

    slice: PooledSlice
    test: TrainingSet  # pooled
    scored: NDArray[np.bool_]  # (N, C) rows that all are scored on
    said: dict[str, Prediction]  # by name; the class prior first
    heard: dict[str, Heard]  # of the kinds' ensembles
    conformal: pl.DataFrame  # of the ensembles, see assets.conformal_tables.conformal_table, with their name and symbol
    missing: tuple[str, ...]  # fits that the deadline left out
    trials: "tuple[Trial, ...]"  # of the searches for LightGBM's settings


def contest(settings: Settings, piece: PooledSlice, memory_rows: int, terms: Terms, say: Say) -> Contest:
    """Fit everybody on Train, choose on Val, ask about Test."""
    data = piece.whole
    scored = learnable(data.test, memory_rows)
    models = settings.models
    learners = fit_learners(data.train, data.search, models.learners, models.search, memory_rows)
    served, decide = partial(carried, settings, piece, memory_rows), partial(decided, settings, piece, memory_rows)
    said = rules_said(settings, piece.symbols)
    for learner in learners:
        said |= decide(learner.name, served(Heard(*(learner.predict_proba(part) for part in asked_of(data)))))
    say(f"{piece.piece.key}: rules and learners are fitted")
    members, missing = fitted(settings, data, terms, say, Pace().say)
    heard, tables, val = dict[str, Heard](), list[pl.DataFrame](), InMemory(data.calibration)
    for kind, by_seed in members.items():
        models = list(by_seed.values())
        singles = [calibrated_on(model, val, settings.models.calibration, memory_rows) for model in models]
        for seed, model in zip(by_seed, singles, strict=True):
            said |= decide(f"{kind} seed {seed}", served(forecasts_of(model, data)))
        ensemble = calibrated_on(ensemble_of(models), val, settings.models.calibration, memory_rows)
        name = f"{kind} ensemble"
        heard[name] = served(forecasts_of(ensemble, data))
        said |= decide(name, heard[name])
        tables.append(conformal_of(settings, name, ensemble, piece, memory_rows))
    if len(heard) > 1:
        said |= decide(MEAN, mean_of(list(heard.values())))
    conformal = pl.concat(tables) if tables else pl.DataFrame()
    trials = tuple(trial for learner in learners for trial in learner.trials)
    return Contest(piece, data.test, scored, said, heard, conformal, missing, trials)


def rules_said(settings: Settings, symbols: Sequence[Windows]) -> dict[str, Prediction]:
    """The rules, each fitted on the Train of the symbol that it is asked about."""
    names = feature_names(settings.features)
    apart = [
        [baseline_prediction(rule, one.test) for rule in fit_baselines(one.train, names, settings.models.baselines)[0]]
        for one in symbols
    ]
    return {same[0].name: joined(same) for same in zip(*apart, strict=True)}


def joined(parts: Sequence[Prediction]) -> Prediction:
    """One predictor's answers about symbols, one behind the other."""
    classes, probabilities = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("classes", "probabilities")
    )
    return Prediction(parts[0].name, classes, probabilities)


def asked_of(data: Windows) -> tuple[TrainingSet, ...]:
    """The windows that a ``Heard`` is of."""
    return data.calibration, data.conformal, data.test


def by_symbol(piece: PooledSlice, heard: Heard) -> Iterator[Heard]:
    """What was said of each symbol."""
    ends = [np.cumsum([len(part) for part in parts])[:-1] for parts in zip(*map(asked_of, piece.symbols), strict=True)]
    apart = (np.split(said, at) for said, at in zip(heard, ends, strict=True))
    return map(Heard._make, zip(*apart, strict=True))


def carried(settings: Settings, piece: PooledSlice, memory_rows: int, heard: Heard) -> Heard:
    """The same, symbol by symbol, by probabilities that learn from the third part of Val on, as a session's do."""
    made = []
    for windows, said in zip(piece.symbols, by_symbol(piece, heard), strict=True):
        made.append(going_on(settings, (windows.conformal, windows.test), memory_rows, said.conformal, said.test))
    return Heard(heard.calibration, *map(np.concatenate, zip(*made, strict=True)))


def decided(settings: Settings, piece: PooledSlice, memory_rows: int, name: str, heard: Heard) -> dict[str, Prediction]:
    """The predictor's answers about Test, symbol by symbol, by the decision rule that its answers about Val chose."""
    val = [one.calibration for one in piece.symbols]
    usable = np.concatenate([learnable(part, memory_rows) for part in val])
    rule = fit_decision(heard.calibration, np.concatenate([part.classes for part in val]), usable)
    answers = []
    for windows, said in zip(piece.symbols, by_symbol(piece, heard), strict=True):
        behind = windows.conformal, windows.test
        answers.append(said_by_rule(settings, rule, behind, memory_rows, name, said.conformal, said.test))
    return {name: joined(answers)}


def fitted(
    settings: Settings, data: Windows, terms: Terms, say: Say, passing: Say
) -> tuple[dict[str, dict[int, ModelSnapshot]], tuple[str, ...]]:
    """Networks by kind and seed, not calibrated, and the fits that there was no time to begin.

    say : gets a line a fit; passing : one an epoch
    """
    models, missing = dict[str, dict[int, ModelSnapshot]](), list[str]()
    for kind, seed in terms.fits(settings.models.training.seed):
        if time.monotonic() > terms.deadline:
            missing.append(f"{kind} from seed {seed}")
            continue
        network = network_of(settings.features, sibling(settings.models.network, kind), data.train.shape)
        training = replace(settings.models.training, seed=seed, cost_weight=0.0)
        mirror = mirror_of(settings.features)
        heard = Epochs(f"{kind} from seed {seed}", training.epochs, passing)
        found = fit_on_devices(Work(network, data.train, data.search, training, mirror=mirror), heard)
        models.setdefault(kind, {})[seed] = found.model
        say(f"{kind} from seed {seed}: {found.val_nll:.4f} nats on Val after epoch {found.best_epoch + 1}")
    return models, tuple(missing)


def forecasts_of(model: ModelSnapshot, data: Windows) -> Heard:
    """Probabilities that a model gives the pooled windows."""
    forecaster = forecaster_from(model)
    shape = forecaster.shape
    return Heard(*(shape.probabilities(forecaster.run(part.values, part.valid)) for part in asked_of(data)))


def mean_of(heard: Sequence[Heard]) -> Heard:
    """The mixture of several predictors that count the same."""
    return Heard(*(np.mean(parts, axis=0) for parts in zip(*heard, strict=True)))


def conformal_of(
    settings: Settings, name: str, model: ModelSnapshot, piece: PooledSlice, memory_rows: int
) -> pl.DataFrame:
    """How a model's adaptive conformal sets did on Test, symbol by symbol."""
    tables = []
    for number, data in enumerate(piece.symbols):
        judged = judged_alone(settings, model, data, memory_rows)
        table = conformal_table(settings.models.conformal, settings.features.row_interval_ms, judged)
        tables.append(table.with_columns(pl.lit(name).alias("model"), pl.lit(number).alias("symbol")))
    return pl.concat(tables)


def judged_alone(settings: Settings, model: ModelSnapshot, data: Windows, memory_rows: int) -> Judged:
    """One symbol's windows with what the model alone says of them."""
    forecaster = forecaster_from(model)
    shape, parts = forecaster.shape, (data.conformal, data.test)
    before, after = (forecaster.run(part.values, part.valid) for part in parts)
    scored = learnable(data.test, memory_rows)
    raw = (shape.probabilities(made) for made in (before, after))
    earlier, said = (likeliest(MODEL, bent) for bent in going_on(settings, parts, memory_rows, *raw))
    expected = moments_of(shape, earlier, before), moments_of(shape, said, after)
    return Judged(data.conformal, data.test, scored, (said,), earlier, expected, memory_rows)
