"""How far the members of an ensemble, which differ by their seed, lie apart: mean and spread by cell and regime."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modeling.evaluation import Prediction, evaluate, evaluate_regimes
from modeling.forecast import Cell, Floats, ForecastShape
from modeling.training_rows import TrainingSet

OVERALL: Final = "overall"
FIGURES: Final = ("macro_f1", "mcc", "nll", "nll_skill")


def member_probabilities(shape: ForecastShape, forecasts: Floats) -> tuple[Floats, ...]:
    """What each member gave the classes, (rows, cells, 3), of forecasts of shape (rows, members, shape.size)."""
    return tuple(shape.probabilities(forecasts[:, k]) for k in range(forecasts.shape[1]))


def member_table(
    test: TrainingSet, scored: NDArray[np.bool_], prior: Prediction, members: Sequence[Prediction]
) -> pl.DataFrame:
    """A line a cell and regime, and one over all: members, then ``<figure>_mean`` and ``<figure>_spread`` over them.

    The spread is the standard deviation of a sample, null of a single member; figures that a member lacks are left out.
    """
    overall = evaluate(test, scored, prior, members).with_columns(pl.lit(OVERALL).alias("regime"))
    apart = evaluate_regimes(test, scored, prior, members)
    named = ["horizon_ms", "budget_bp", "regime", "model"]
    figures = [name for name in FIGURES if name in overall.columns and name in apart.columns]
    lines = pl.concat([table.select(*named, *figures) for table in (overall, apart)], how="vertical_relaxed")
    own = lines.filter(pl.col("model").is_in([member.name for member in members]))
    spread = [pl.col(name).std().alias(f"{name}_spread") for name in figures]
    means = [pl.col(name).mean().alias(f"{name}_mean") for name in figures]
    found = own.group_by("horizon_ms", "budget_bp", "regime", maintain_order=True)
    return found.agg(
        pl.len().alias("members"), *(column for pair in zip(means, spread, strict=True) for column in pair)
    )


def member_metrics(table: pl.DataFrame) -> dict[str, float]:
    """``members/<figure>_mean|spread/<cell>/<regime>`` for every figure that is a number."""
    return {
        f"members/{name}/{Cell(row['horizon_ms'], row['budget_bp']).name}/{row['regime'].replace(' ', '_')}": row[name]
        for row in table.iter_rows(named=True)
        for name in row
        if name.endswith(("_mean", "_spread")) and row[name] is not None and np.isfinite(row[name])
    }
