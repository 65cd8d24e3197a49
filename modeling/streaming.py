"""Forecasters: the compiled runtimes that the runner, the backtester and the search all forecast with.

A forecaster is built from a snapshot and holds no history; the history is the state, which ``step`` changes in place.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError
from modeling import kernels
from modeling.architecture import Architecture, architecture_from
from modeling.calibration import Calibration, calibrated
from modeling.forecast import CLASSES, Floats, ForecastShape
from modeling.snapshot import CNN, MEDIAN_BAND, ModelSnapshot

State = tuple[NDArray[Any], ...]
Weights = Mapping[str, NDArray[Any]]


class Forecaster(Protocol):
    """Rows in, forecasts out. A forecast is laid out as ``shape`` says; its last number is 1 where it may be used."""

    shape: ForecastShape
    features: int  # numbers in a row
    receptive_rows: int  # consecutive valid rows before the first usable forecast

    def new_state(self) -> State:
        """A state that has seen nothing."""

    def step(self, state: State, values: Floats, valid: bool) -> Floats:
        """The forecast at the newest row: a view into ``state`` that the next step overwrites."""

    def run(self, values: Floats, valid: NDArray[np.bool_], state: State | None = None) -> Floats:
        """Forecasts of a table of rows, shape (rows, shape.size), by the same compiled step; fresh state if none."""


class NetworkForecaster:
    """A dilated causal network with one ring of past rows a layer: only the newest row is computed."""

    def __init__(self, network: Architecture, weights: Weights, calibration: Calibration) -> None:
        self.shape, self.features = network.forecast, network.features
        self.receptive_rows = network.receptive_rows
        packed, layout, self._ring_size = _lay_out(network, weights)
        self._scratch = len(network.columns) + 2, int(max(layout[1:, kernels.INPUTS].max(), 3 * self.shape.size))
        columns = np.array([column for branch in network.columns for column in branch], np.int64)
        self._model = packed, layout, columns, _calibration_table(calibration, self.shape)

    def new_state(self) -> State:
        """Rings, scratch, forecast and the count of consecutive valid rows."""
        rings, scratch = np.zeros(self._ring_size, np.float32), np.zeros(self._scratch, np.float32)
        return rings, scratch, np.zeros(self.shape.size, np.float32), np.zeros(1, np.int64)

    def step(self, state: State, values: Floats, valid: bool) -> Floats:
        """The forecast at the newest row: a view into ``state`` that the next step overwrites."""
        kernels.network_step(self._model, state, values, valid)
        return state[2]

    def run(self, values: Floats, valid: NDArray[np.bool_], state: State | None = None) -> Floats:
        """Forecasts of a table of rows, shape (rows, shape.size), by the same compiled step; fresh state if none."""
        values, valid, forecasts = _table(self, values, valid)
        kernels.network_run(self._model, state or self.new_state(), values, valid, forecasts)
        return forecasts


class MedianBandForecaster:
    """A linear median for each horizon, read by how far it lies outside a band; needs the newest row alone."""

    receptive_rows = 1

    def __init__(self, shape: ForecastShape, weights: Weights, calibration: Calibration) -> None:
        self.shape = shape
        cells, horizons = len(shape.cells), len(shape.horizons_ms)
        self.features = weights["linear"].shape[-1] - 1 if "linear" in weights else 0
        if self.features < 1:
            raise ModelError("a median band without linear weights, or with a constant alone")
        linear = _taken(weights, "linear", (horizons, self.features + 1)).astype(np.float64)
        bands = _taken(weights, "bands", (cells,)).astype(np.float64)
        tables = _taken(weights, "tables", (cells, CLASSES, CLASSES))
        tables = calibrated(calibration, tables.transpose(1, 0, 2)).transpose(1, 0, 2).copy()
        returns = _taken(weights, "returns_bp", (horizons, CLASSES)).astype(np.float64)
        self._model = linear, bands, tables, returns, np.array(shape.horizon_of_cell, np.int64)

    def new_state(self) -> State:
        """The forecast alone."""
        return (np.zeros(self.shape.size, np.float32),)

    def step(self, state: State, values: Floats, valid: bool) -> Floats:
        """The forecast at the newest row: a view into ``state`` that the next step overwrites."""
        kernels.band_step(self._model, state, values, valid)
        return state[0]

    def run(self, values: Floats, valid: NDArray[np.bool_], state: State | None = None) -> Floats:
        """Forecasts of a table of rows, shape (rows, shape.size), by the same compiled step; fresh state if none."""
        values, valid, forecasts = _table(self, values, valid)
        kernels.band_run(self._model, state or self.new_state(), values, valid, forecasts)
        return forecasts


def forecaster_from(model: ModelSnapshot) -> Forecaster:
    """The runtime of a fitted model.

    Raises ModelError if its kind is unknown or its arrays do not fit its spec.
    """
    if model.kind == CNN:
        return NetworkForecaster(architecture_from(dict(model.spec)), model.weights, model.calibration)
    if model.kind == MEDIAN_BAND:
        return MedianBandForecaster(ForecastShape.from_dict(dict(model.spec)), model.weights, model.calibration)
    raise ModelError(f"kind={model.kind!r} of a model is not one of {[CNN, MEDIAN_BAND]}")


def _taken(weights: Weights, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name not in weights:
        raise ModelError(f"no weights {name!r} in this model; it has {sorted(weights)}")
    if weights[name].shape != shape:
        raise ModelError(f"weights {name!r} have shape {weights[name].shape}, expected {shape}")
    return weights[name]


def _table(model: Forecaster, values: Floats, valid: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_], Floats]:
    if values.ndim != 2 or values.shape[1] != model.features or valid.shape != values.shape[:1]:
        raise ModelError(f"rows of shape {values.shape} and {valid.shape}, the model reads (rows, {model.features})")
    table = np.require(values, np.float32, ["C", "W"])
    return table, np.require(valid, np.bool_, ["C", "W"]), np.zeros((len(values), model.shape.size), np.float32)


def _calibration_table(calibration: Calibration, shape: ForecastShape) -> NDArray[np.float64]:
    if len(calibration.scale) != len(shape.cells):
        raise ModelError(f"calibration of {len(calibration.scale)} cells for a model of {len(shape.cells)}")
    return np.stack((calibration.scale, calibration.bias)).astype(np.float64)


def layers(network: Architecture) -> Iterator[tuple[str, int, int, bool]]:
    """Each layer's name, inputs, outputs and whether it is normalised, in the order of the packed weights."""
    width = network.width
    for branch, columns in enumerate(network.columns):
        yield f"branch{branch}.project", len(columns), width, False
        for block in range(len(network.dilations[branch])):
            yield f"branch{branch}.block{block}", network.kernel_size * width, width, True
    yield "fuse", len(network.columns) * width, width, True
    yield "classes", width, CLASSES * len(network.forecast.cells), False
    yield "returns", width, CLASSES * len(network.forecast.horizons_ms), False


def _lay_out(network: Architecture, weights: Weights) -> tuple[Floats, NDArray[np.int64], int]:
    """All weights in one array, the table that says where each layer's lie, and the size of the rings."""
    pieces: list[Floats] = []
    rows: list[tuple[int, int]] = []
    at = 0
    for name, inputs, outputs, normalised in layers(network):
        wanted = {"weight": (inputs, outputs), "bias": (outputs,)}
        if normalised:
            wanted |= {"gain": (outputs,), "shift": (outputs,)}
        arrays = [_taken(weights, f"{name}.{part}", shape) for part, shape in wanted.items()]
        rows.append((at, inputs))
        pieces.extend(array.astype(np.float32).ravel() for array in arrays)
        at += sum(array.size for array in arrays)
    layout = np.zeros((len(rows) + 1, kernels.LAYOUT_COLUMNS), np.int64)
    layout[1:, [kernels.WEIGHTS, kernels.INPUTS]] = rows
    _describe(network, layout[0])
    return np.concatenate(pieces), layout, _place_rings(network, layout)


def _describe(network: Architecture, row: NDArray[np.int64]) -> None:
    row[kernels.WIDTH], row[kernels.KERNEL] = network.width, network.kernel_size
    row[kernels.BRANCHES], row[kernels.DEPTH] = len(network.columns), len(network.dilations[0])
    row[kernels.CELLS], row[kernels.RECEPTIVE] = len(network.forecast.cells), network.receptive_rows


def _place_rings(network: Architecture, layout: NDArray[np.int64]) -> int:
    """Fill the columns and rings of the branches' layers; returns the floats that all rings take."""
    columns_at, ring_at, layer = 0, 0, 1
    for columns, dilations in zip(network.columns, network.dilations, strict=True):
        layout[layer, kernels.DILATION] = columns_at
        columns_at += len(columns)
        for offset, dilation in enumerate(dilations, 1):
            ring_rows = (network.kernel_size - 1) * dilation + 1
            layout[layer + offset, kernels.DILATION :][:3] = dilation, ring_at, ring_rows
            ring_at += ring_rows * network.width
        layer += 1 + len(dilations)
    return ring_at
