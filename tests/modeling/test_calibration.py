"""Calibration: brings bent probabilities back, and leaves good ones alone."""

import numpy as np
import pytest

from market.errors import ModelError, NotEnoughData
from modeling.calibration import Calibration, calibrated, fit_calibration, identity
from modeling.parameters import CalibrationParameters


def _draws(rows: int = 20_000):
    """True probabilities of one cell and classes drawn from them."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet((2.0, 4.0, 2.0), rows)
    classes = (rng.random((rows, 1)) > probabilities.cumsum(1)).sum(1) - 1
    return probabilities[:, None], classes.astype(np.int8)[:, None]


@pytest.mark.parametrize("method", ["vector", "temperature"])
def test_sharpened_probabilities_are_brought_back(method):
    truth, classes = _draws()
    sharp = truth**2 / (truth**2).sum(-1, keepdims=True)
    found = fit_calibration(CalibrationParameters(method, 0.0), sharp, classes)
    assert np.abs(found.scale - 0.5).max() < 0.05
    assert np.abs(calibrated(found, sharp) - truth).mean() < 0.02


def test_vector_scaling_brings_back_a_tilted_class():
    truth, classes = _draws()
    tilted = truth * [1.0, 3.0, 1.0]
    tilted /= tilted.sum(-1, keepdims=True)
    found = fit_calibration(CalibrationParameters("vector", 0.0), tilted, classes)
    assert np.abs(calibrated(found, tilted) - truth).mean() < 0.02


def test_ridge_leaves_probabilities_alone_where_labels_are_few():
    truth, classes = _draws(5)
    found = fit_calibration(CalibrationParameters("vector", 1.0), truth, classes)
    assert np.abs(found.scale - 1).max() < 0.3
    assert np.abs(found.bias).max() < 0.3


def test_missing_labels_do_not_count():
    truth, classes = _draws(2000)
    holes = np.concatenate((classes, np.full((500, 1), -128, np.int8)))
    padded = np.concatenate((truth, np.full((500, 1, 3), 1 / 3)))
    parameters = CalibrationParameters("vector", 0.01)
    whole, part = fit_calibration(parameters, truth, classes), fit_calibration(parameters, padded, holes)
    assert np.array_equal(whole.scale, part.scale)
    with pytest.raises(NotEnoughData, match="cell 0"):
        fit_calibration(parameters, truth, np.full_like(classes, -128))


def test_calibration_comes_back_from_json():
    stored = Calibration(np.array([[0.5, 1.0, 2.0]]), np.array([[0.1, 0.2, 0.3]]))
    again = Calibration.from_dict(stored.as_dict())
    assert np.array_equal(again.scale, stored.scale)
    assert np.array_equal(again.bias, stored.bias)


def test_calibration_that_is_not_finite_is_refused():
    with pytest.raises(ModelError, match="not finite"):
        Calibration(np.full((1, 3), np.nan), np.zeros((1, 3)))
    with pytest.raises(ModelError, match="shapes"):
        Calibration(identity(2).scale, identity(1).bias)
