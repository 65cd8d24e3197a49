"""Rows and labels side by side, cut by time; which rows a model may learn from, and the chunks it learns them in."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.batch import Rows
from features.catalogue import VALID
from labeling.parameters import LabelParameters
from labeling.targets import NO_CLASS, classes, regression_target
from labeling.uniqueness import uniqueness_weights
from market.errors import ModelError, NotEnoughData
from market.instrument import Contract
from modeling.forecast import CLASSES, Cell, Floats, ForecastShape

BP = 1e4
_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class TrainingSet:
    """N consecutive rows with the labels of C cells over H horizons; a missing label is NO_CLASS, or NaN."""

    shape: ForecastShape  # the cells and horizons, in the order of the columns below
    row_ts: NDArray[np.int64]  # (N,) ns UTC
    values: Floats  # (N, features)
    valid: NDArray[np.bool_]  # (N,) False also where rows are missing before this one
    classes: NDArray[np.int8]  # (N, C) -1 down, 0 no trade, +1 up
    gross_bp: Floats  # (N, H) of the anchor that trains
    cost_bp: Floats  # (N, H) spread and slippage of the round trip, without fees
    known_ts: NDArray[np.int64]  # (N, H) the last instant that a label reads, ns UTC
    weights: Floats  # (N,) what a row counts in training

    def __len__(self) -> int:
        return len(self.row_ts)

    def rows(self, chosen: slice | NDArray[np.generic]) -> "TrainingSet":
        """The chosen rows."""
        arrays = {item.name: getattr(self, item.name)[chosen] for item in fields(self) if item.name != "shape"}
        return TrainingSet(self.shape, **arrays)


def cells_of(grid: pl.DataFrame) -> tuple[Cell, ...]:
    """The tradeable cells of a grid of labels, by horizon and budget.

    Raises NotEnoughData if there is none.
    """
    rows = grid.filter(pl.col("tradeable")).sort("horizon_ms", "budget_bp")
    if rows.is_empty():
        raise NotEnoughData(f"none of the {grid.height} cells has enough rows worth a trade")
    return tuple(Cell(int(horizon), float(budget)) for horizon, budget in rows.select("horizon_ms", "budget_bp").rows())


def training_set(
    rows: Rows, labels: pl.DataFrame, parameters: LabelParameters, cells: Sequence[Cell], contract: Contract
) -> TrainingSet:
    """Rows beside their labels, every row counting the same.

    Raises ModelError if the two are not of the same instants, or no rows are there.
    """
    if not len(rows.row_ts) or not np.array_equal(rows.row_ts, labels["row_ts"].to_numpy()):
        raise ModelError(f"{len(rows.row_ts)} rows and {labels.height} labels must be of the same instants, and some")
    shape = ForecastShape(tuple(cells))
    te, horizons = labels["te"].to_numpy(), shape.horizons_ms
    return TrainingSet(
        shape=shape,
        row_ts=rows.row_ts,
        values=rows.values,
        valid=(rows.status == VALID) & _follows(rows.row_ts),
        classes=np.column_stack([classes(labels, *cell, parameters.margin_bp, contract) for cell in cells]),
        gross_bp=_in_bp([regression_target(labels, h, parameters.anchor) for h in horizons]),
        cost_bp=_in_bp([(labels[f"spread_{h}"] + labels[f"slippage_{h}"]).to_numpy() for h in horizons]),
        known_ts=np.column_stack([te + h * _NS_PER_MS for h in horizons]),
        weights=np.ones(len(rows.row_ts), np.float32),
    )


def _in_bp(columns: list[NDArray[np.float32]]) -> Floats:
    return (np.column_stack(columns) * BP).astype(np.float32)


def _follows(row_ts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row comes one interval, the smallest there is, after the one before."""
    steps = np.diff(row_ts)
    return np.concatenate(([True], steps == steps.min())) if steps.size else np.ones(len(row_ts), np.bool_)


def window(data: TrainingSet, start: int, end: int, context_rows: int = 0) -> TrainingSet:
    """The rows with ``start <= row_ts < end`` (ns), and some before them whose labels are hidden.

    The context fills a model's memory; it is features alone, which know nothing of later rows.
    Raises NotEnoughData if the window itself is empty.
    """
    first, last = np.searchsorted(data.row_ts, (start, end))
    if first >= last:
        raise NotEnoughData(f"none of {len(data)} rows lies between {start} and {end} ns")
    begin = max(0, first - context_rows)
    part = data.rows(slice(begin, last))
    hidden = np.arange(len(part)) < first - begin
    return TrainingSet(
        **{
            **vars(part),
            "classes": np.where(hidden[:, None], np.int8(NO_CLASS), part.classes),
            "gross_bp": np.where(hidden[:, None], np.float32(np.nan), part.gross_bp),
        }
    )


def weighted_by_uniqueness(data: TrainingSet) -> TrainingSet:
    """The same rows, each weighing what its labels say that the labels beside them do not; 1 on average.

    A row of which no label is known keeps its weight: it teaches nothing either way.
    """
    known = np.isfinite(data.gross_bp)
    spans = np.array(data.shape.horizons_ms, np.int64) * _NS_PER_MS
    weights = uniqueness_weights(data.known_ts[:, 0] - spans[0], data.known_ts, known)
    return replace(data, weights=np.where(known.any(axis=1), weights, data.weights).astype(np.float32))


def ready_rows(valid: NDArray[np.bool_], receptive_rows: int) -> NDArray[np.bool_]:
    """Where the last ``receptive_rows`` rows are all valid: where a forecaster's ready is 1.

    >>> ready_rows(np.array([True, True, False, True, True, True]), 2).tolist()
    [False, True, False, False, True, True]
    """
    places = np.arange(len(valid))
    newest_invalid = np.maximum.accumulate(np.where(valid, -1, places)) if len(valid) else places
    return places - newest_invalid >= receptive_rows


def learnable(data: TrainingSet, receptive_rows: int) -> NDArray[np.bool_]:
    """Which classes a model can be asked for and checked on, shape (N, C)."""
    return ready_rows(data.valid, receptive_rows)[:, None] & (data.classes != NO_CLASS)


def require_classes(data: TrainingSet, receptive_rows: int) -> None:
    """Raise NotEnoughData unless every cell has rows of all three classes to learn from."""
    usable = learnable(data, receptive_rows)
    if not usable.any():
        raise NotEnoughData(f"none of {len(data)} rows is labelled and follows {receptive_rows} valid rows")
    for place, cell in enumerate(data.shape.cells):
        counts = np.bincount(data.classes[usable[:, place], place].astype(np.int64) + 1, minlength=CLASSES)
        if not counts.all():
            down, no_trade, up = counts.tolist()
            raise NotEnoughData(f"cell {cell.name} lacks a class: {down} rows down, {no_trade} no trade, {up} up")
