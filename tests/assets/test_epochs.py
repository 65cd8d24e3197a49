"""Who waits for a fit or a search hears which epoch of how many has ended, and how long the rest takes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assets import fitting
from assets.epochs import Epochs, Trials
from config.loading import load_settings
from modeling.search import Score
from tests.builders_terminal import Ticking


def test_an_epoch_says_how_long_those_behind_it_take_at_most() -> None:
    said: list[str] = []
    heard = Epochs("member 2 of 3", 4, said.append, Ticking(10.0))
    heard(0, 0.75)
    heard(1, 0.5)
    assert said == [
        "member 2 of 3; epoch 1 of 4, about 30 s to go: 0.7500 nats on Val",
        "member 2 of 3; epoch 2 of 4, about 20 s to go: 0.5000 nats on Val",
    ]


def test_a_fit_that_is_resumed_is_timed_from_where_it_goes_on() -> None:
    said: list[str] = []
    Epochs("cnn", 10, said.append, Ticking(10.0))(7, 0.5)
    assert said == ["cnn; epoch 8 of 10, about 20 s to go: 0.5000 nats on Val"]


def test_a_trial_says_how_long_the_others_take_as_well() -> None:
    said: list[str] = []
    reported: list[tuple[int, float]] = []
    trials = Trials(4, said.append, Ticking())
    trials.end()  # before this process began

    def report(epoch: int, worth: float) -> None:
        reported.append((epoch, worth))

    trials.beside(2, report)(0, -0.75)
    trials.end()
    trials.beside(2, report)(1, -0.5)
    assert said == [
        "trial 2 of 4; epoch 1 of 2, about 1 s to go: 0.7500 nats on Val",
        "trial 3 of 4, about 8 s to go; epoch 2 of 2, about 0 s to go: 0.5000 nats on Val",
    ]
    assert reported == [(0, -0.75), (1, -0.5)]


def test_a_search_tells_the_epochs_of_its_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings("dev")
    on: Any = SimpleNamespace(settings=settings, symbol="binance-coinm-btcusd_perp")

    def judged(_: Any, candidate: Any, report: Any) -> Score:
        report(0, -0.75)
        return Score(1.0, 0.5, (), ())

    monkeypatch.setattr(fitting, "judge_candidate", judged)
    said: list[str] = []
    passing: list[str] = []
    fitting.run_study(on, tmp_path / "trials" / "k0" / "sha", said.append, passing.append)
    count = settings.models.search.trials
    assert [line.partition(":")[0] for line in said] == [f"trial {n} of {count}" for n in range(1, count + 1)]
    assert [line.partition(";")[0].partition(",")[0] for line in passing] == [
        f"trial {n} of {count}" for n in range(1, count + 1)
    ]
    assert all(f"epoch 1 of {settings.models.training.epochs}" in line for line in passing)
