"""Uniqueness of labels against a count of the labels alive, nanosecond by nanosecond."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from labeling.uniqueness import average_uniqueness, effective_size, mean_weights, uniqueness_by_horizon

lives = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), min_size=1, max_size=20)


def counted(te, tx):
    alive = np.array([np.count_nonzero((te <= at) & (at < tx)) for at in range(80)])
    return [np.mean(1 / alive[start:end]) for start, end in zip(te, tx, strict=True)]


@given(lives)
def test_it_is_the_mean_of_one_over_the_labels_alive(spans):
    te = np.array([start for start, _ in spans])
    tx = te + np.array([length for _, length in spans])
    found = average_uniqueness(te, tx)
    assert found == pytest.approx(counted(te, tx), rel=1e-12)
    assert ((found > 0) & (found <= 1 + 1e-12)).all()
    assert effective_size(te, tx) <= te.size + 1e-9


def test_dense_rows_are_worth_one_label_a_horizon():
    te = np.arange(0, 100_000, 20)
    assert effective_size(te, te + 1_000) == pytest.approx(100_000 / 1_000, rel=0.06)


def weights_of(te: NDArray[np.int64], tx: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of rows whose horizons are averaged over these rows alone."""
    found = uniqueness_by_horizon(te, tx, known)
    return mean_weights(found, known, found.sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def test_weights_average_one_over_the_labels_and_favour_the_lonely():
    te = np.array([0, 1, 2, 50, 60])
    tx = np.column_stack([te + 10, te + 100])
    known = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [0, 0]], np.bool_)
    weights = weights_of(te, tx, known)
    assert weights[4] == 0
    assert weights[3] > weights[:3].max()
    assert weights_of(te, tx[:, :1], known[:, :1])[:4].mean() == pytest.approx(1.0)


def test_no_labels_have_no_weight():
    assert average_uniqueness(np.zeros(0, np.int64), np.zeros(0, np.int64)).size == 0
    assert weights_of(np.array([0, 1]), np.array([[5], [6]]), np.zeros((2, 1), np.bool_)).tolist() == [0, 0]
