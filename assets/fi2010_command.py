"""What ``main.py benchmark fi2010`` does: the dense network and the baselines on FI-2010, beside what is published."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from assets.calibrating import calibrated_on
from assets.epochs import Epochs, Say
from assets.report import Report
from assets.shared_fit import Work, fit_on_devices
from config.settings import Settings
from market.errors import ConfigError
from modeling.architecture import architecture
from modeling.baselines import fit_baselines
from modeling.evaluation import Prediction, baseline_prediction, evaluate, model_prediction
from modeling.fi2010 import HORIZONS, IMBALANCE, NAMES, PUBLISHED, SPLITS, WINDOW, Parts, branch_bases, parts_of
from modeling.learners import fit_learners
from modeling.parameters import CnnParameters
from modeling.sampling import learnable
from modeling.snapshot import ModelSnapshot
from modeling.streaming import forecaster_from
from modeling.training_parts import InMemory
from storage.fi2010 import VARIABLE, read_files
from storage.progress import Pace

MODEL = "tickloop"
SCORES = ("macro_f1", "mcc", "nll", "nll_skill")


def benchmark_report(settings: Settings, arguments: argparse.Namespace, environment: Mapping[str, str]) -> Report:
    """Macro-F1 of the network, the baselines and the published models at every horizon.

    Raises ConfigError if the folder is not there or the network does not fit in a window of 100 columns, DataError if
    a file is not one of FI-2010.
    """
    split = SPLITS[arguments.split]
    parts = parts_of(read_files(environment.get(VARIABLE), split, arguments.normalisation))
    model = fit_network(settings, parts, Pace().say)
    lines = score_lines(predictions(settings, parts, model), parts)
    plain = {"split": split.name, "normalisation": arguments.normalisation, "windows": list(parts.windows)}
    return Report(table_text(lines, parts), plain | {"scores": lines, "published_macro_f1_pct": PUBLISHED})


def fit_network(settings: Settings, parts: Parts, say: Say) -> ModelSnapshot:
    """The configured network on all horizons at once, stopped early and calibrated on Val; it learns no return.

    say : gets a line an epoch
    """
    network, models = settings.models.network, settings.models
    if not isinstance(network, CnnParameters):
        raise ConfigError(f"models.network.kind={network.kind!r} does not fit in a window of {WINDOW}; cnn does")
    columns, bases = tuple(range(len(NAMES))), branch_bases(network)
    built = architecture(network, (columns,) * len(bases), bases, len(NAMES), parts.train.shape)
    training = replace(models.training, return_weight=0.0, cost_weight=0.0)
    heard = Epochs(built.kind, training.epochs, say)
    model = fit_on_devices(Work(built, parts.train, parts.val, training), heard).model
    return calibrated_on(model, InMemory(parts.val), models.calibration, WINDOW)


def predictions(settings: Settings, parts: Parts, model: ModelSnapshot) -> list[Prediction]:
    """What the baselines, the class prior first, and the network say of Test."""
    rules = replace(settings.models.baselines, imbalance_feature=IMBALANCE)
    learners = fit_learners(parts.train, parts.val, settings.models.learners, settings.models.search, WINDOW)
    fitted = (*fit_baselines(parts.train, NAMES, rules)[0], *learners)
    said = [baseline_prediction(one, parts.test) for one in fitted]
    forecaster = forecaster_from(model)
    forecasts = forecaster.run(parts.test.values, parts.test.valid)
    return [*said, model_prediction(MODEL, forecaster.shape, forecasts)]


def score_lines(said: list[Prediction], parts: Parts) -> list[dict[str, Any]]:
    """One line a predictor and horizon, over the windows of Test."""
    table = evaluate(parts.test, learnable(parts.test, WINDOW), said[0], said[1:])
    return [
        {"model": row["model"], "horizon_events": row["horizon_ms"], **{score: row[score] for score in SCORES}}
        for row in table.iter_rows(named=True)
    ]


def table_text(lines: list[dict[str, Any]], parts: Parts) -> str:
    """Macro-F1 in %, a line a model and a column a horizon; a dash where none is published."""
    train, val, test = parts.windows
    ours = {(line["model"], line["horizon_events"]): 100 * line["macro_f1"] for line in lines}
    rows = {
        name: [ours[name, events] for events in HORIZONS] for name in dict.fromkeys(line["model"] for line in lines)
    }
    rows |= {f"{name} (published)": [scores.get(events) for events in HORIZONS] for name, scores in PUBLISHED.items()}
    head = f"{'macro-F1, %':30}" + "".join(f"{f'k={events}':>8}" for events in HORIZONS)
    body = [
        f"{name:30}" + "".join("       -" if f1 is None else f"{f1:8.1f}" for f1 in row) for name, row in rows.items()
    ]
    return "\n".join((f"{train:,} / {val:,} / {test:,} windows of {WINDOW} to train, validate and test", head, *body))
