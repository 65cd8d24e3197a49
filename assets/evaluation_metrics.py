"""What MLflow's comparison of two models stands on: every number of an evaluation and of its backtests by name."""

from typing import Any, Final

import numpy as np
import polars as pl

from assets.judged import MODEL
from assets.member_scores import member_metrics
from assets.scores import HEADLINE, Evaluation
from modeling.forecast import Cell

SCORES: Final = (*HEADLINE, "nll")
OF_BASELINES: Final = ("macro_f1", "nll_skill")  # by regime
RISK_STEP: Final = 5  # percent of the rows between two points of a curve
STUDIES: Final = {
    "budgets": ("fee_bp",),
    "surface": ("fee_bp", "latency", "size"),
    "queue_band": ("queue_model",),
    "execution": ("baseline",),
}


def metrics_on_test(found: Evaluation) -> dict[str, float]:
    """Every number of an evaluation's tables; the curves are apart, see ``risk_metrics``."""
    scores = score_metrics(found.scores) | regime_metrics(found.regimes) | coverage_metrics(found.coverage)
    sure = conformal_metrics(found.conformal) | interval_metrics(found.intervals)
    return scores | sure | member_metrics(found.members)


def score_metrics(scores: pl.DataFrame) -> dict[str, float]:
    """``test/<score>/<cell>/<predictor>`` for every score that is a number."""
    return {
        f"test/{score}/{_cell(row)}/{row['model']}": float(row[score])
        for row in scores.iter_rows(named=True)
        for score in SCORES
        if row[score] is not None and np.isfinite(row[score])
    }


def regime_metrics(regimes: pl.DataFrame) -> dict[str, float]:
    """``test/<score>/<cell>/<predictor>/<regime>``: every score of the model, macro-F1 and skill of the baselines."""
    return {
        f"test/{score}/{_cell(row)}/{row['model']}/{row['regime'].replace(' ', '_')}": float(row[score])
        for row in regimes.iter_rows(named=True)
        for score in (SCORES if row["model"] == MODEL else OF_BASELINES)
        if row[score] is not None and np.isfinite(row[score])
    }


def coverage_metrics(coverage: pl.DataFrame) -> dict[str, float]:
    """``test/<score>/<cell>/model/surest_<percent>``: every score of the model among its most confident rows."""
    return {
        f"test/{score}/{_cell(row)}/{MODEL}/surest_{100 * row['share']:g}": float(row[score])
        for row in coverage.filter(pl.col("model") == MODEL, pl.col("share") < 1).iter_rows(named=True)
        for score in ("error", *SCORES)
        if row.get(score) is not None and np.isfinite(row[score])
    }


def risk_metrics(risks: pl.DataFrame) -> dict[str, list[float]]:
    """``risk_coverage/<cell>`` for MLflow: the model's error among the surest 5, 10 ... 100 % of the rows."""
    drawn = risks.filter(pl.col("model") == MODEL, pl.col("percent") % RISK_STEP == 0)
    groups = drawn.group_by("horizon_ms", "budget_bp", maintain_order=True).agg("error")
    return {f"risk_coverage/{_cell(row)}": row["error"] for row in groups.iter_rows(named=True)}


def conformal_metrics(conformal: pl.DataFrame) -> dict[str, float]:
    """``test/conformal_<figure>/<cell>/<regime>`` for coverage and set size, of adaptive and of fixed sets."""
    return {
        f"test/conformal_{figure}/{_cell(row)}/{row['regime'].replace(' ', '_')}": float(row[figure])
        for row in conformal.iter_rows(named=True)
        for figure in ("coverage", "set_size", "fixed_coverage", "fixed_set_size")
    }


def interval_metrics(intervals: pl.DataFrame) -> dict[str, float]:
    """``test/interval_<figure>/h<horizon>/<regime>`` for coverage and median width, where it ends."""
    return {
        f"test/interval_{figure}/h{row['horizon_ms']}/{row['regime'].replace(' ', '_')}": float(row[figure])
        for row in intervals.iter_rows(named=True)
        for figure in ("coverage", "width_bp")
        if row[figure] is not None
    }


def _cell(row: dict[str, Any]) -> str:
    return Cell(row["horizon_ms"], row["budget_bp"]).name


def figure_metrics(figures: dict[str, dict[str, Any]]) -> dict[str, float]:
    """``backtest/<figure>/<run>`` for every figure that is a number; of a table, ``<table>/<its terms>/<figure>``."""
    named: dict[str, Any] = {}
    for name, run in figures.items():
        for key, value in (_flat(run) | _of_markouts(run["markouts"])).items():
            named[f"backtest/{key}/{name.replace(' ', '_')}"] = value
    return {key: float(value) for key, value in named.items() if isinstance(value, int | float)}


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    """The run's own numbers, what survived, and each row of its tables under the terms that it is of."""
    plain = {key: value for key, value in run.items() if not isinstance(value, list | dict)}
    for group in ("implementability", "served"):
        plain |= {f"{group}/{key}": value for key, value in run[group].items()}
    for table, terms in STUDIES.items():
        for row in run.get(table, ()):
            place = "_".join(f"{row[term]:g}" if isinstance(row[term], float) else str(row[term]) for term in terms)
            plain |= {f"{table}/{place}/{key}": value for key, value in row.items() if key not in terms}
    return plain


def _of_markouts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"markout_bp/{row['kind']}_{row['horizon_ms']}": row["markout_bp"] for row in rows}
