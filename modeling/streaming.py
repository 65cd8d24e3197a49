"""Forecasters: the compiled runtimes that the runner, the backtester and the search all forecast with.

A forecaster is built from a snapshot and holds no history; the history is the state, which ``step`` changes in place.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError
from modeling import kernels
from modeling.architecture import Architecture, architecture_from
from modeling.calibration import Calibration, calibrated
from modeling.forecast import CLASSES, Floats, ForecastShape
from modeling.kernels import SCRATCH
from modeling.layout import LAYOUT_COLUMNS, LINEAR
from modeling.snapshot import ENSEMBLE, MEDIAN_BAND, NETWORKS, SHARES, ModelSnapshot, member_of, shares_of

State = tuple[NDArray[Any], ...]
Weights = Mapping[str, NDArray[Any]]
Member = tuple[Architecture, Weights]
_COPIES: Final[WeakValueDictionary[bytes, Floats]] = WeakValueDictionary()  # of weights in use, by their sha256


class Forecaster(Protocol):
    """Rows in, forecasts out. A forecast is laid out as ``shape`` says; its last number is 1 where it may be used."""

    shape: ForecastShape
    features: int  # numbers in a row
    receptive_rows: int  # consecutive valid rows before the first usable forecast

    def new_state(self) -> State:
        """A state that has seen nothing."""

    def prepare(self, state: State) -> None:
        """Begin the next step with all that does not depend on its row: the same bytes come out, only sooner."""

    def step(self, state: State, values: Floats, valid: bool) -> Floats:
        """The forecast at the newest row: a view into ``state`` that the next step overwrites."""

    def run(self, values: Floats, valid: NDArray[np.bool_], state: State | None = None) -> Floats:
        """Forecasts of a table of rows, shape (rows, shape.size), by the same compiled step; fresh state if none."""


class NetworkForecaster:
    """One or several networks that read the same row in one call; each remembers what it needs of earlier rows.

    The forecast is the mixture of the members, calibrated: probabilities by their shares, for each class the mean
    return weighted by them, and how far the members are apart. Only the newest row is ever computed.

    shares : shape (cells, members), each row sums to 1
    """

    def __init__(self, members: Sequence[Member], calibration: Calibration, shares: NDArray[np.float64]) -> None:
        first = members[0][0]
        if any((network.forecast, network.features) != (first.forecast, first.features) for network, _ in members):
            raise ModelError("the members of an ensemble must read the same rows and answer for the same cells")
        self.shape, self.features, self.members = first.forecast, first.features, len(members)
        self.receptive_rows = max(network.receptive_rows for network, _ in members)
        weights, layout, columns, self._memory = _lay_out(members)
        self._scratch = _scratch_shape([network for network, _ in members])
        shares = _taken({SHARES: shares}, SHARES, (len(self.shape.cells), self.members)).astype(np.float64)
        self._model = _only_copy(weights), layout, columns, _calibration_table(calibration, self.shape), shares

    def new_state(self) -> State:
        """Memory, scratch, forecast, the count of consecutive valid rows, and the members' forecasts.

        Behind the count stands whether the next step is prepared.
        """
        memory, scratch = np.zeros(self._memory, np.float32), np.zeros(self._scratch, np.float32)
        members = np.zeros((self.members, self.shape.size), np.float32)
        return memory, scratch, np.zeros(self.shape.size, np.float32), np.zeros(2, np.int64), members

    def step(self, state: State, values: Floats, valid: bool) -> Floats:
        """The forecast at the newest row: a view into ``state`` that the next step overwrites."""
        kernels.network_step(self._model, state, values, valid)
        return state[2]

    def prepare(self, state: State) -> None:
        """Begin the next step with all that does not depend on its row: the same bytes come out, only sooner."""
        kernels.prepare_step(self._model, state)

    def member_forecasts(self, state: State) -> Floats:
        """What each member forecast at the newest row, shape (members, shape.size), calibrated alike: a view."""
        return state[4]

    def run(self, values: Floats, valid: NDArray[np.bool_], state: State | None = None) -> Floats:
        """Forecasts of a table of rows, shape (rows, shape.size), by the same compiled step; fresh state if none."""
        values, valid, forecasts = _table(self, values, valid)
        kernels.network_run(self._model, state or self.new_state(), values, valid, forecasts)
        return forecasts

    def run_members(self, values: Floats, valid: NDArray[np.bool_], state: State | None = None) -> Floats:
        """Each member's forecasts of a table of rows, shape (rows, members, shape.size); fresh state if none."""
        values, valid, _ = _table(self, values, valid)
        forecasts = np.zeros((len(values), self.members, self.shape.size), np.float32)
        kernels.members_run(self._model, state or self.new_state(), values, valid, forecasts)
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

    def prepare(self, state: State) -> None:
        """All of the next step depends on its row."""

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
    if model.kind == MEDIAN_BAND:
        return MedianBandForecaster(ForecastShape.from_dict(dict(model.spec)), model.weights, model.calibration)
    return NetworkForecaster(members_of(model), model.calibration, shares_of(model))


def members_of(model: ModelSnapshot) -> list[Member]:
    """The networks of a model with their weights: those of an ensemble, or the one that it is.

    Raises ModelError if it is of no network, or a network's description does not hold.
    """
    if model.kind in NETWORKS:
        return [(architecture_from(model.kind, model.spec), model.weights)]
    if model.kind != ENSEMBLE:
        raise ModelError(f"kind={model.kind!r} of a model is not one of {sorted((*NETWORKS, ENSEMBLE, MEDIAN_BAND))}")
    members = [member_of(model, number) for number in range(len(model.spec["members"]))]
    if not members:
        raise ModelError("an ensemble without members")
    return [(architecture_from(member.kind, member.spec), member.weights) for member in members]


def _only_copy(weights: Floats) -> Floats:
    """These weights, or those of another forecaster of this process that are the same; nobody changes them.

    One model that serves many symbols stays in the processor's cache from row to row; many copies of it do not.
    """
    return _COPIES.setdefault(hashlib.sha256(weights.data).digest(), weights)


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


def _lay_out(members: Sequence[Member]) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], int]:
    """All weights in one array, the layout, the columns that branches read, and the floats of memory.

    Behind the columns stand the horizon of each cell and the anchor of each horizon.
    """
    pieces: list[Floats] = []
    table: list[tuple[int, ...]] = []
    columns: list[int] = []
    heads = [_head(members)]
    placed = memory = 0
    for network, weights in members:
        heads.append(
            (1 + len(members) + len(table), network.width, len(network.columns), network.depth, int(network.direct))
        )
        for layer in network.layers():
            arrays = [_taken(weights, f"{layer.name}.{part}", shape) for part, shape in layer.arrays.items()]
            shift = len(columns) if layer.kind == LINEAR else 0  # a projection's columns follow other members'
            table.append((placed, layer.inputs, layer.kind, memory, *(shift + place for place in layer.settings)))
            pieces.extend(array.astype(np.float32).ravel() for array in arrays)
            placed, memory = placed + sum(array.size for array in arrays), memory + layer.memory
        columns += [column for branch in network.columns for column in branch]
    columns += (*members[0][0].forecast.horizon_of_cell, *members[0][0].forecast.anchors)
    rows = [(*row, *(0,) * (LAYOUT_COLUMNS - len(row))) for row in (*heads, *table)]
    return np.concatenate(pieces), np.array(rows, np.int64), np.array(columns, np.int64), memory


def _head(members: Sequence[Member]) -> tuple[int, ...]:
    forecast = members[0][0].forecast
    receptive_rows = max(network.receptive_rows for network, _ in members)
    return len(members), len(forecast.cells), len(forecast.horizons_ms), receptive_rows


def _scratch_shape(networks: Sequence[Architecture]) -> tuple[int, int]:
    """A row for each branch behind the blocks' own, as long as the longest vector of any layer."""
    layers = [layer for network in networks for layer in network.layers()]
    longest = max(extent for layer in layers for shape in layer.arrays.values() for extent in (*shape, layer.inputs))
    return SCRATCH + max(len(network.columns) for network in networks), longest
