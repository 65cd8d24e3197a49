"""Small models and rows for the tests that forecast, export or evaluate."""

import numpy as np
from numpy.typing import NDArray

from modeling.architecture import Architecture
from modeling.calibration import Calibration
from modeling.forecast import Cell, ForecastShape
from modeling.snapshot import CNN, ModelSnapshot
from modeling.streaming import layers

CELLS = (Cell(250, 0.0), Cell(250, 2.0), Cell(1000, 0.0))
SHAPE = ForecastShape(CELLS)


def small_network(width: int = 8, depth: int = 2, kernel_size: int = 3) -> Architecture:
    """Five features, three branches, a few dozen rows of receptive field."""
    columns = ((0, 1, 2), (0, 3), (1, 2, 3, 4))
    dilations = tuple(tuple(base * 2**block for block in range(depth)) for base in (1, 2, 5))
    return Architecture(SHAPE, 5, columns, dilations, width, kernel_size, 0.1)


def random_weights(network: Architecture, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Weights of a sensible scale for every layer."""
    weights = {}
    for name, inputs, outputs, normalised in layers(network):
        weights[f"{name}.weight"] = rng.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
        if normalised:
            weights[f"{name}.gain"] = rng.uniform(0.5, 1.5, outputs).astype(np.float32)
            weights[f"{name}.shift"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    return weights


def random_calibration(rng: np.random.Generator, cells: int = len(CELLS)) -> Calibration:
    """A calibration that is not the identity."""
    return Calibration(rng.uniform(0.7, 1.3, (cells, 3)), rng.normal(0, 0.2, (cells, 3)))


def random_model(seed: int = 0, network: Architecture | None = None) -> ModelSnapshot:
    """An untrained network, calibrated at random."""
    rng = np.random.default_rng(seed)
    network = network or small_network()
    weights = random_weights(network, rng)
    return ModelSnapshot(CNN, network.as_dict(), weights, random_calibration(rng, len(network.forecast.cells)))


def random_rows(count: int, features: int = 5, seed: int = 1) -> NDArray[np.float32]:
    """Normalised-looking feature rows."""
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)
