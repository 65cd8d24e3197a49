"""A candidate on a slice: what is too slow to trade on is given up before a row is learned."""

from types import SimpleNamespace
from typing import Any

import pytest

from assets import fitting
from config.loading import load_settings
from modeling.parameters import TrainingParameters
from modeling.search import Candidate, TrialPruned
from tests.builders_modeling import SHAPE


def on_a_slice() -> Any:
    """The settings of a bench and the cells of its slice, without a row."""
    settings = load_settings("dev")
    return SimpleNamespace(settings=settings, features=settings.features, shape=SHAPE)


def test_a_candidate_too_slow_to_trade_on_is_pruned_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def learned(*_: object, **__: object) -> None:
        raise AssertionError("it was trained")

    models = load_settings("dev").models
    training: TrainingParameters = models.training
    monkeypatch.setattr(fitting, "train", learned)
    with pytest.raises(AssertionError, match="it was trained"):
        fitting.judge_candidate(on_a_slice(), Candidate(models.network, training), lambda *_: None)
    monkeypatch.setattr(fitting, "LATENCY_BUDGET_US", 0.001)
    with pytest.raises(TrialPruned, match=r"a streaming step takes \d+ us, allowed are 0"):
        fitting.judge_candidate(on_a_slice(), Candidate(models.network, training), lambda *_: None)
