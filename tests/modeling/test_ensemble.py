"""Ensembles: weights by hand and against a solver, and never from a slice that is not over."""

from dataclasses import replace

import numpy as np
import pytest

from labeling.targets import NO_CLASS
from market.errors import LeakageError, ModelError, NotEnoughData
from modeling.ensemble import SliceForecasts, fit_stacking, mixture_weights, stacked


def _slice(start: int, rows: int = 800, seed: int = 0) -> SliceForecasts:
    """Three members of one cell: a good one, one of noise, and one that is right where the first is not."""
    rng = np.random.default_rng(seed)
    odds = rng.dirichlet((1.0, 1.0, 1.0), rows)
    classes = ((rng.random((rows, 1)) > odds.cumsum(1)).sum(1) - 1).astype(np.int8)
    hidden = np.arange(rows) % 2 == 0
    flat = np.full_like(odds, 1 / 3)
    said = np.stack((np.where(hidden[:, None], odds, flat), flat, np.where(hidden[:, None], flat, odds)))
    row_ts = start + np.arange(rows) * 20
    return SliceForecasts(f"k{start}", said[:, :, None], np.minimum(classes, 1)[:, None], row_ts, row_ts[:, None] + 250)


def _nll(probabilities: np.ndarray, piece: SliceForecasts) -> float:
    truth = piece.classes[:, 0].astype(np.int64) + 1
    return float(-np.log(probabilities[np.arange(len(truth)), 0, truth]).mean())


def test_stacking_leaves_noise_out_and_beats_the_average_on_a_later_slice() -> None:
    stacking, later = fit_stacking([_slice(0), _slice(20_000, seed=1)]), _slice(60_000, seed=2)
    assert stacking.weights.sum(1) == pytest.approx(1.0)
    assert stacking.weights[0, 1] < 0.1
    assert _nll(stacked(stacking, later), later) < _nll(later.probabilities.mean(0), later)


def test_weights_agree_with_a_solver() -> None:
    from scipy.optimize import minimize

    given = np.random.default_rng(3).uniform(0.05, 1.0, (3, 200))
    found = minimize(
        lambda w: -np.log(w @ given).sum(),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        tol=1e-12,
    )
    assert np.abs(mixture_weights(given) - found.x).max() < 5e-3


def test_weights_from_a_slice_that_is_not_over_are_refused() -> None:
    stacking = fit_stacking([_slice(0)])
    assert stacking.known_ts == 799 * 20 + 250
    assert stacked(stacking, _slice(stacking.known_ts + 1)).shape == (800, 1, 3)
    for start in (stacking.known_ts, 0):
        with pytest.raises(LeakageError, match="stacking weights reach 16230"):
            stacked(stacking, _slice(start))


def test_missing_slices_labels_and_members_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="no earlier slice"):
        fit_stacking([])
    piece = _slice(0)
    with pytest.raises(NotEnoughData, match="no label of cell 0 in 1 earlier"):
        fit_stacking([replace(piece, classes=np.full_like(piece.classes, NO_CLASS))])
    later = _slice(100_000)
    with pytest.raises(ModelError, match="for 1 cells and 2 members"):
        stacked(fit_stacking([piece]), replace(later, probabilities=later.probabilities[:2]))
    with pytest.raises(ModelError, match="do not fit"):
        replace(piece, classes=piece.classes[1:])
