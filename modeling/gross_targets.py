"""The plain question of the requirement: down, flat or up by the gross return, on one or several symbols at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.batch import Rows
from labeling.parameters import LabelParameters
from labeling.targets import NO_CLASS
from market.errors import ModelError, NotEnoughData
from market.instrument import Contract
from modeling.forecast import Cell
from modeling.training_rows import TrainingSet, behind_each_other, training_set

Doubles = NDArray[np.float64]
BALANCED: Final = 1 / 3  # share of Train that a margin is to leave flat


def gross_set(
    rows: Rows,
    labels: pl.DataFrame,
    parameters: LabelParameters,
    contract: Contract,
    regimes: NDArray[np.int8],
    over_ts: NDArray[np.int64] | None = None,
    *,
    row_ns: int,
) -> TrainingSet:
    """Rows beside their gross returns from t to t + h, classes still unknown, one cell a horizon and no fee.

    over_ts, row_ns : see modeling.training_rows.training_set
    """
    gross = replace(parameters, anchor="gross")
    cells = [Cell(horizon, 0.0) for horizon in gross.horizons_ms]
    data = training_set(rows, labels, gross, cells, contract, row_ns=row_ns, regimes=regimes, over_ts=over_ts)
    known_ts = data.row_ts[:, None] + np.array(gross.horizons_ms, np.int64) * 1_000_000
    return replace(data, classes=np.full_like(data.classes, NO_CLASS), known_ts=known_ts)


def margins_bp(train: TrainingSet) -> Doubles:
    """For each horizon the size of return that a third of Train's rows do not exceed, bp; 0 where they stand still.

    Raises NotEnoughData if no row of a horizon is known.
    """
    sizes = np.abs(np.where(train.valid[:, None], train.gross_bp, np.nan).astype(np.float64))
    if not np.isfinite(sizes).any(axis=0).all():
        raise NotEnoughData(f"none of {len(train)} rows tells the gross return of every horizon")
    return np.asarray(np.nanquantile(sizes, BALANCED, axis=0))


def classified(data: TrainingSet, margins: Doubles) -> TrainingSet:
    """The same rows, up or down where the gross return lies beyond the margin, flat otherwise."""
    gross = data.gross_bp[:, list(data.shape.horizon_of_cell)].astype(np.float64)
    limits = margins[list(data.shape.horizon_of_cell)]
    sides = (gross > limits).astype(np.int8) - (gross < -limits).astype(np.int8)
    return replace(data, classes=np.where(np.isfinite(gross), sides, NO_CLASS).astype(np.int8))


def pooled(sets: Sequence[TrainingSet]) -> TrainingSet:
    """Symbols one behind the other; each begins with an invalid row, so that no memory runs from one into the next.

    Raises ModelError if there is none, or they answer for different cells.
    """
    if not sets or any(one.shape != sets[0].shape for one in sets):
        raise ModelError(f"{len(sets)} training sets to pool; they must be some, and of the same cells")
    seams = np.cumsum([0, *(len(one) for one in sets[:-1])])
    joined = behind_each_other(sets)
    joined.valid[seams] = False
    return joined
