"""Paired block bootstrap of macro-F1: finds a planted difference, stays silent on none, and says so in words."""

from dataclasses import replace

import numpy as np
import pytest

from backtest.comparison import bucket_counts, compare
from modeling.evaluation import Prediction, confusion
from modeling.training_rows import TrainingSet
from tests.builders_modeling import labelled_rows


def _predictor(name: str, data: TrainingSet, wrong: float, seed: int) -> Prediction:
    """Says what came, but for a share of rows, where it says no trade."""
    silent = np.random.default_rng(seed).random(data.classes.shape) < wrong
    return Prediction(name, np.where(silent, np.int8(0), data.classes), np.zeros((*data.classes.shape, 3)))


def _spread_out(count: int) -> TrainingSet:
    """Ten rows a second."""
    data = labelled_rows(count)
    return replace(data, row_ts=data.row_ts[0] + np.arange(count) * 100_000_000)


def test_counts_of_the_seconds_add_up_to_the_confusion() -> None:
    data = _spread_out(95)
    said = np.roll(data.classes[:, 0], 1)
    counts = bucket_counts(data.row_ts, data.classes[:, 0].astype(np.int64), said)
    assert counts.sum(1)[1:-1].tolist() == [10.0] * (len(counts) - 2)
    whole = confusion(data.classes[:, 0].astype(np.int64), said.astype(np.int64))
    assert np.array_equal(counts.sum(0).reshape(3, 3), whole)


def test_better_worse_and_equal_predictors_are_told_apart_in_words() -> None:
    data = _spread_out(3000)
    model, worse, better, alike = (
        _predictor(n, data, w, i)
        for i, (n, w) in enumerate((("cnn", 0.3), ("prior", 0.6), ("oracle", 0.05), ("twin", 0.3)))
    )
    found = compare(data, np.ones((3000, 3), np.bool_), model, [worse, better, alike], np.random.default_rng(0))
    said = {(one.cell.name, one.other): one.sentence for one in found}
    assert said["h250_b0", "prior"].startswith("cnn beats prior at h250_b0: macro-F1 +0.")
    assert said["h1000_b0", "oracle"].startswith("cnn is worse than oracle at h1000_b0: macro-F1 -0.")
    assert said["h250_b2", "twin"].startswith("cnn does not beat twin at h250_b2: macro-F1")
    assert len(found) == 9


def test_short_windows_are_called_insufficient() -> None:
    data = _spread_out(200)
    pair = [_predictor(name, data, wrong, 1) for name, wrong in (("cnn", 0.1), ("prior", 0.9))]
    (first, *_) = compare(data, np.ones((200, 3), np.bool_), pair[0], pair[1:], np.random.default_rng(0))
    assert first.difference.verdict == "insufficient"
    assert first.sentence.startswith("cnn against prior at h250_b0: not enough data to say (2")


@pytest.mark.parametrize("seed", range(3))
def test_difference_of_a_predictor_with_itself_is_nil(seed: int) -> None:
    data = _spread_out(1000)
    one = _predictor("cnn", data, 0.3, seed)
    (found, *_) = compare(
        data, np.ones((1000, 3), np.bool_), one, [replace(one, name="again")], np.random.default_rng(0)
    )
    assert (found.difference.estimate, found.difference.low, found.difference.high) == (0.0, 0.0, 0.0)
