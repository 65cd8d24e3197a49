"""Small models and rows for the tests that forecast, export or evaluate."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.regimes import RANGE
from modeling.architecture import Architecture, CnnArchitecture, GruArchitecture, TransformerArchitecture
from modeling.calibration import Calibration
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import TrainingParameters
from modeling.snapshot import ModelSnapshot
from modeling.training_rows import TrainingSet
from modeling.walk_forward import Slice, split_validation, walk_forward

CELLS = (Cell(250, 0.0), Cell(250, 2.0), Cell(1000, 0.0))
SHAPE = ForecastShape(CELLS)
COLUMNS = ((0, 1, 2), (0, 3), (1, 2, 3, 4))
START = 1_723_160_000_000_000_000
ROW_NS = 20_000_000


def small_network(width: int = 8, depth: int = 2, kernel_size: int = 3) -> Architecture:
    """Five features, three branches, a few dozen rows of receptive field."""
    dilations = tuple(tuple(base * 2**block for block in range(depth)) for base in (1, 2, 5))
    return CnnArchitecture(SHAPE, 5, COLUMNS, width, 0.1, dilations, kernel_size)


def small_networks(width: int = 8) -> dict[str, Architecture]:
    """One of each kind."""
    return {
        "cnn": small_network(width),
        "transformer": TransformerArchitecture(SHAPE, 5, COLUMNS, width, 0.1, 2, 2, 10, 2 * width),
        "gru": GruArchitecture(SHAPE, 5, COLUMNS, width, 0.1, 2, 20),
    }


def random_weights(network: Architecture, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Weights of a sensible scale for every layer."""
    weights = {}
    for name, shape in network.weight_shapes().items():
        if name.endswith("weight"):
            array = rng.normal(0, shape[0] ** -0.5, shape)
        else:
            array = rng.uniform(0.5, 1.5, shape) if name.endswith("gain") else rng.normal(0, 0.1, shape)
        weights[name] = array.astype(np.float32)
    return weights


def random_calibration(rng: np.random.Generator, cells: int = len(CELLS)) -> Calibration:
    """A calibration that is not the identity."""
    return Calibration(rng.uniform(0.7, 1.3, (cells, 3)), rng.normal(0, 0.2, (cells, 3)))


def random_model(seed: int = 0, network: Architecture | None = None) -> ModelSnapshot:
    """An untrained network, calibrated at random."""
    rng = np.random.default_rng(seed)
    network = network or small_network()
    weights = random_weights(network, rng)
    return ModelSnapshot(network.kind, network.as_dict(), weights, random_calibration(rng, len(network.forecast.cells)))


def random_rows(count: int, features: int = 5, seed: int = 1) -> NDArray[np.float32]:
    """Normalised-looking feature rows."""
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def labelled_rows(count: int = 1200, seed: int = 0) -> TrainingSet:
    """Rows whose first feature leads the return of all horizons; all three classes in every cell."""
    rng = np.random.default_rng(seed)
    values = random_rows(count, seed=seed)
    scale_bp = np.array([1.0, 2.0])
    gross = (values[:, [0]] + 0.5 * rng.normal(size=(count, 2))) * scale_bp
    column = [SHAPE.horizon_of_cell[cell] for cell in range(len(CELLS))]
    margins = 0.5 + np.array([cell.budget_bp for cell in CELLS]) / 4
    classes = (gross[:, column] > margins).astype(np.int8) - (gross[:, column] < -margins).astype(np.int8)
    row_ts = START + np.arange(count) * ROW_NS
    return TrainingSet(
        shape=SHAPE,
        row_ts=row_ts,
        values=values,
        valid=np.ones(count, np.bool_),
        classes=classes.astype(np.int8),
        gross_bp=gross.astype(np.float32),
        cost_bp=np.full((count, 2), 0.1, np.float32),
        known_ts=row_ts[:, None] + np.array(SHAPE.horizons_ms) * 1_000_000,
        over_ts=row_ts,
        weights=np.ones(count, np.float32),
        regimes=np.full(count, RANGE, np.int8),
    )


def split_slices(*lengths: int) -> list[Slice]:
    """What ``walk_forward`` yields, Val split with a purge of 1 ns."""
    pieces = walk_forward(*lengths)
    return [replace(piece, parts=split_validation(piece.val, 0.5, 0.5, 1)) for piece in pieces]


def quick_training(**changes: float | str) -> TrainingParameters:
    """A fit of a few seconds."""
    settings = TrainingParameters(
        learning_rate=3e-4,
        weight_decay=1e-5,
        label_smoothing=0.02,
        focal_gamma=1.5,
        huber_delta_sigma=0.5,
        return_weight=1.0,
        cost_weight=0.1,
        gradient_clip=1.0,
        averaging=0.0,
        epochs=6,
        patience=5,
        chunk_rows=64,
        batch_chunks=1,
        part_rows=1_000_000,
        mixup_alpha=0.0,
        cutout_share=0.0,
        cutout_least_rows=10,
        cutout_most_rows=30,
        mirror_share=0.0,
        high_volatility_share=0.4,
        seed=3,
        accelerator="cpu",
        devices=1,
        strategy="auto",
        precision="fp32",
    )
    return replace(settings, **changes)
