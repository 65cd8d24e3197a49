"""A candidate on a slice: pruned before a row is learned where it is too slow, and resumed where it was killed."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assets import fitting, models
from assets.calibrating import calibrated_on
from assets.partitions import Part
from config.loading import load_settings
from config.settings import Paths
from features.catalogue import feature_names
from modeling.parameters import TrainingParameters
from modeling.search import TrialPruned
from modeling.search_space import Candidate
from modeling.training_parts import InMemory
from tests.builders_modeling import (
    SHAPE,
    labelled_rows,
    quick_training,
    random_calibration,
    random_model,
    random_rows,
)


def on_a_slice() -> Any:
    """The settings of a bench and the cells of its slice, without a row."""
    settings = load_settings("dev")
    return SimpleNamespace(settings=settings, features=settings.features, shape=SHAPE)


def test_a_candidate_too_slow_to_trade_on_is_pruned_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def learned(*_: object, **__: object) -> None:
        raise AssertionError("it was trained")

    dev = load_settings("dev").models
    training: TrainingParameters = dev.training
    monkeypatch.setattr(fitting, "train", learned)
    with pytest.raises(AssertionError, match="it was trained"):
        fitting.judge_candidate(on_a_slice(), Candidate(dev.network, training), lambda *_: None)
    on = on_a_slice()
    on.settings = replace(on.settings, models=replace(dev, step_budget_us=0.001))
    with pytest.raises(TrialPruned, match=r"a streaming step takes \d+ us, allowed are 0.001"):
        fitting.judge_candidate(on, Candidate(dev.network, training), lambda *_: None)


def test_a_candidate_trades_and_is_scored_by_the_probabilities_that_its_calibration_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By those of the served model's own step, on the second part of Val; learnt nowhere else."""
    settings, val = load_settings("dev"), labelled_rows(900, seed=3)
    raw = random_model(3)
    data = SimpleNamespace(calibration=InMemory(val))
    on = SimpleNamespace(settings=settings, features=settings.features, shape=SHAPE, data=data)
    judged: list[Any] = []

    def earned(_: Any, model: Any) -> fitting.Profit:
        judged.append(model)
        return fitting.Profit(1.0, (60,), (1.0,), 0.25)

    monkeypatch.setattr(fitting, "train", lambda *_, **__: SimpleNamespace(model=raw))
    monkeypatch.setattr(fitting, "profit", earned)
    monkeypatch.setattr(fitting, "skill", lambda _, model: judged.append(model) or 0.5)
    score = fitting.judge_candidate(on, Candidate(settings.models.network, settings.models.training), lambda *_: None)
    served = calibrated_on(raw, InMemory(val), settings.models.calibration)
    assert [model.calibration.as_dict() for model in judged] == [served.calibration.as_dict()] * 2
    assert served.calibration.as_dict() != raw.calibration.as_dict()
    assert (score.value, score.nll_skill, score.held_minutes) == (1.0, 0.5, 0.25)


PART, SEED = Part("symbol", "k0"), 11
ROOT = Path(__file__).parents[2]
STAMPS = dict.fromkeys(("catalogue_sha", "config_sha", "data_fingerprint", "code_version", "created"), "same")
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.assets.test_fitting import fitted_in

fitted_in(Path(sys.argv[1]), lambda epoch, _: os.kill(os.getpid(), signal.SIGKILL) if epoch == 1 else None)
"""


def bench_in(var: Path) -> Any:
    """A bench of two windows as wide as the catalogue."""
    settings = replace(load_settings("dev"), paths=Paths(var))
    names = feature_names(settings.features)
    wide = [replace(labelled_rows(400, seed), values=random_rows(400, len(names), seed)) for seed in (1, 2)]
    data = SimpleNamespace(train=InMemory(wide[0]), search=wide[1], conformal=InMemory(wide[1]))
    return SimpleNamespace(settings=settings, features=settings.features, shape=SHAPE, data=data)


def fitted_in(var: Path, report: Any = None) -> Any:
    """What the asset does with a member: a fit of its own seed, its epochs below a folder that goes in the end."""
    on = bench_in(var)
    settings = on.settings
    shape = replace(settings.models.network, depth=1, kernel_size=2, dilation_growth=1)
    candidate = Candidate(shape, quick_training(epochs=3, chunk_rows=128, mixup_alpha=0.4))
    with fitting.checkpoints(settings, PART, "a" * 64) as folder:
        return fitting.train(on, candidate, SEED, report=report, folder=folder / str(SEED))


def bundled(found: Any, var: Path) -> object:
    """Sha of the bundle that the asset writes of a fit."""
    metrics = {"val_nll": found.val_nll, "best_epoch": float(found.best_epoch)}
    return models.store(bench_in(var), found.model, var / "bundle", STAMPS, metrics)["sha"]


def test_a_member_that_was_killed_goes_on_to_the_same_bytes_and_leaves_no_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "killed"], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert killed.returncode == -signal.SIGKILL
    kept = list((tmp_path / "killed" / "checkpoints").rglob("*.ckpt"))
    assert [path.parts[-5:-1] for path in kept] == [("symbol", "k0", "a" * 12, str(SEED))]
    seen: list[int] = []
    resumed = fitted_in(tmp_path / "killed", lambda epoch, _: seen.append(epoch))
    whole = fitted_in(tmp_path / "whole")
    assert seen == [2]
    assert resumed.history == whole.history
    for name, array in whole.model.weights.items():
        assert np.isfinite(array).all()
        assert array.tobytes() == resumed.model.weights[name].tobytes()
    assert not list(tmp_path.rglob("*.ckpt"))
    monkeypatch.setattr(models, "step_us", lambda model: 1.0)  # how long a step takes is of the machine, not the fit
    assert bundled(resumed, tmp_path / "killed") == bundled(whole, tmp_path / "whole")
    other = replace(whole, model=replace(whole.model, calibration=random_calibration(np.random.default_rng(1))))
    assert bundled(other, tmp_path / "other") != bundled(whole, tmp_path / "again")


def test_a_fit_that_fails_keeps_its_epochs(tmp_path: Path) -> None:
    settings = replace(load_settings("dev"), paths=Paths(tmp_path))
    kept = tmp_path / "checkpoints" / "symbol" / "k0" / ("b" * 12)
    kept.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), fitting.checkpoints(settings, PART, "b" * 64):
        raise KeyboardInterrupt
    assert kept.exists()
    with fitting.checkpoints(settings, PART, "c" * 64):
        pass
    assert not kept.exists()
