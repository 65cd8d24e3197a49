"""Rows and labels side by side, cut by time and put behind each other: what every model learns from and is asked of."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import VALID
from features.regimes import UNKNOWN
from labeling.parameters import LabelParameters
from labeling.targets import NO_CLASS, classes, regression_target
from market.errors import ModelError, NotEnoughData
from market.instrument import Contract
from market.units import NS_PER_MS
from modeling.forecast import Cell, Floats, ForecastShape

BP: Final = 1e4
NOTHING_HEARD: Final = np.iinfo(np.int64).min  # over_ts of rows that nobody asks what they knew: no label ever is


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
    known_ts: NDArray[np.int64]  # (N, H) the last instant that a label reads, the venue's time, ns UTC
    over_ts: NDArray[np.int64]  # (N,) the venue's time up to which a row has heard all; a label up to it is known
    weights: Floats  # (N,) what a row counts in training
    regimes: NDArray[np.int8]  # (N,) a key of features.regimes.REGIME_NAMES

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


class FeatureRows(Protocol):
    """Rows of the catalogue, as the lake or a stream has them."""

    @property
    def row_ts(self) -> NDArray[np.int64]:
        """(N,) ns UTC."""

    @property
    def status(self) -> NDArray[np.uint8]:
        """(N,) of features.catalogue."""

    @property
    def values(self) -> Floats:
        """(N, features)."""


def training_set(
    rows: FeatureRows,
    labels: pl.DataFrame,
    parameters: LabelParameters,
    cells: Sequence[Cell],
    contract: Contract,
    *,
    row_ns: int,
    regimes: NDArray[np.int8] | None = None,
    over_ts: NDArray[np.int64] | None = None,
) -> TrainingSet:
    """Rows beside their labels, every row counting the same; without regimes none is known.

    row_ns : between two rows of which none is missing
    over_ts : (N,) see ``heard_until``; without it no label is ever known to a row, which is enough to train on

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
        valid=(rows.status == VALID) & follows(rows.row_ts, row_ns),
        classes=np.column_stack([classes(labels, *cell, parameters.margin_bp, contract) for cell in cells]),
        gross_bp=_in_bp([regression_target(labels, h, parameters.anchor) for h in horizons]),
        cost_bp=_in_bp([(labels[f"spread_{h}"] + labels[f"slippage_{h}"]).to_numpy() for h in horizons]),
        known_ts=np.column_stack([te + h * NS_PER_MS for h in horizons]),
        over_ts=np.full(len(rows.row_ts), NOTHING_HEARD) if over_ts is None else over_ts,
        weights=np.ones(len(rows.row_ts), np.float32),
        regimes=np.full(len(rows.row_ts), UNKNOWN, np.int8) if regimes is None else regimes,
    )


def heard_until(
    row_ts: NDArray[np.int64], ingest_ts: NDArray[np.int64], delay_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The venue's time up to which each row has heard all, (N,) ns: just before the newest stamp received by then.

    NOTHING_HEARD before the first message. A session reckons the same way (``trading/session.py``).

    ingest_ts, delay_ns : of messages in the order of arrival

    >>> heard_until(np.array([20, 40, 60]), np.array([25, 38, 41]), np.array([5, 3, 9])).tolist()[1:]
    [34, 34]
    """
    newest = np.maximum.accumulate(np.concatenate(([NOTHING_HEARD + 1], ingest_ts - delay_ns)))
    return newest[np.searchsorted(ingest_ts, row_ts, side="right")] - 1


def _in_bp(columns: list[NDArray[np.float32]]) -> Floats:
    return (np.column_stack(columns) * BP).astype(np.float32)


def follows(row_ts: NDArray[np.int64], row_ns: int) -> NDArray[np.bool_]:
    """Whether no row is missing before each; nothing is known of the first.

    >>> follows(np.array([20, 40, 80]), 20).tolist()
    [True, True, False]
    """
    return np.concatenate(([True], np.diff(row_ts) == row_ns))[: len(row_ts)]


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


def behind_each_other(sets: Sequence[TrainingSet]) -> TrainingSet:
    """Rows of the same cells as one set, in the order given; arrays of its own. At least one set."""
    arrays = {item.name: [getattr(one, item.name) for one in sets] for item in fields(TrainingSet)}
    joined = {name: np.concatenate(found) for name, found in arrays.items() if name != "shape"}
    return TrainingSet(sets[0].shape, **joined)
