"""A fit by two processes that this one starts: both learn, are heard, and one that dies ends it at once."""

import multiprocessing
import os
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assets import shared_fit
from assets.shared_fit import Work, fit_on_devices
from config.loading import load_settings
from market.errors import ConfigError, ModelError
from modeling.sampling import learnable
from modeling.survey import chunk_starts
from tests.builders_modeling import labelled_rows, quick_training, small_network


def _one_dies(_: Work, environment: dict[str, str], told: Any) -> None:
    """In place of a part in the fit: the second process is killed, the first waits for it for ever."""
    if environment["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def work_for_two(train: Any) -> Work:
    training = quick_training(epochs=2, devices=2, strategy="ddp")
    return Work(small_network(width=16, depth=1), train, labelled_rows(seed=2), training)


def test_two_processes_learn_together_and_tell_their_epochs() -> None:
    told: list[tuple[int, float]] = []
    work = work_for_two(labelled_rows(seed=1))
    memory = work.network.receptive_rows
    found = fit_on_devices(work, lambda *epoch: told.append(epoch))
    assert told == [(number, epoch.val_nll) for number, epoch in enumerate(found.history)]
    chunks = len(chunk_starts(learnable(work.train, memory), memory, work.training.chunk_rows))
    assert [epoch.rows for epoch in found.history] == [chunks // 2 * 2 * work.training.chunk_rows] * 2
    assert found.history[-1].val_nll < found.history[0].val_nll
    for name, array in found.model.weights.items():
        assert np.isfinite(array).all(), name
    assert {name for name in os.environ if name.startswith("TORCHELASTIC")} == set()


def test_a_process_that_dies_ends_the_fit_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_fit, "_take_part", _one_dies)
    with pytest.raises(
        ModelError, match="of the 2 processes of a fit there ended before it did: process 2 with code -9"
    ):
        fit_on_devices(work_for_two(labelled_rows()))
    assert multiprocessing.active_children() == []


def test_several_devices_beside_several_workers_are_refused() -> None:
    models = load_settings("dev").models
    shared = replace(models, training=replace(models.training, devices=2))
    with pytest.raises(ConfigError, match=r"search.workers=2 must be 1 where training.devices=2"):
        replace(shared, search=replace(shared.search, workers=2))
