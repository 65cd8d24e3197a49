"""How often what came lay in a model's adaptive sets and intervals on Test: tables by cell, horizon and regime."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.judged import Judged
from assets.member_scores import OVERALL
from features.regimes import REGIME_NAMES
from labeling.targets import NO_CLASS
from modeling.parameters import ConformalParameters
from modeling.sampling import learnable
from modeling.uncertainty import (
    AdaptiveConformal,
    class_scores,
    conformal_sets,
    coverage_of,
    interval_scores,
    return_intervals,
    true_scores,
)


def conformal_table(parameters: ConformalParameters, row_interval_ms: int, found: Judged) -> pl.DataFrame:
    """How the model's adaptive conformal sets did on Test: a line a cell and regime, and one over all.

    Columns horizon_ms, budget_bp, regime, coverage, set_size, rows, fixed_coverage, fixed_set_size. Each begins with
    the third part of Val and learns from labels of Test as they become known, as a session's do: by the label of every
    row, each at a share of the rate. The fixed ones learn nothing.
    """
    lines = []
    for place, cell in enumerate(found.test.shape.cells):
        sets, fixed, classes = _sets(parameters.of_rows(cell.horizon_ms, row_interval_ms), found, place)
        for regime, inside in _scopes(found.test.regimes, classes != NO_CLASS):
            figures = coverage_of(sets[inside], classes[inside])._asdict()
            still = coverage_of(fixed[inside], classes[inside])
            figures |= {"fixed_coverage": still.coverage, "fixed_set_size": still.set_size}
            lines.append({"horizon_ms": cell.horizon_ms, "budget_bp": cell.budget_bp, "regime": regime, **figures})
    return pl.DataFrame(lines)


def interval_table(parameters: ConformalParameters, row_interval_ms: int, found: Judged) -> pl.DataFrame:
    """How the model's adaptive intervals of gross returns did on Test: a line a horizon and regime, and one over all.

    Columns horizon_ms, regime, coverage, width_bp (median; null where endless), rows. Otherwise as ``conformal_table``.
    """
    lines = []
    for place, horizon in enumerate(found.test.shape.horizons_ms):
        low, high, gross = _intervals(parameters.of_rows(horizon, row_interval_ms), found, place)
        for regime, inside in _scopes(found.test.regimes, np.isfinite(gross)):
            held, width = (low <= gross) & (gross <= high), float(np.median((high - low)[inside]))
            figures = {"coverage": float(held[inside].mean()), "width_bp": width if np.isfinite(width) else None}
            lines.append({"horizon_ms": horizon, "regime": regime, **figures, "rows": int(inside.sum())})
    return pl.DataFrame(lines, infer_schema_length=None)


def _intervals(parameters: ConformalParameters, found: Judged, place: int) -> tuple[NDArray[np.float64], ...]:
    """Lowest and highest return of one horizon on Test, and what came, NaN where nobody is scored."""
    anchor = found.test.shape.anchors[place]
    known = learnable(found.conformal, found.memory_rows)[:, anchor]
    (mean, deviation), (later_mean, later_deviation) = found.expected
    earlier = interval_scores(found.conformal.gross_bp[known, place], mean[known, place], deviation[known, place])
    gross = np.where(found.scored[:, anchor], found.test.gross_bp[:, place], np.nan).astype(np.float64)
    state, known_ts = AdaptiveConformal.started(parameters, earlier), found.test.known_ts[:, place]
    expected = later_mean[:, place], later_deviation[:, place]
    return (*return_intervals(state, found.test.over_ts, expected, gross, known_ts).T, gross)


def _sets(
    parameters: ConformalParameters, found: Judged, place: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int8]]:
    """Sets of one cell on Test, those of the threshold that they begin with, and what came.

    That is NO_CLASS where nobody is scored.
    """
    horizon = found.test.shape.horizon_of_cell[place]
    known = learnable(found.conformal, found.memory_rows)[:, place]
    earlier = true_scores(class_scores(found.before.probabilities[known, place]), found.conformal.classes[known, place])
    classes = np.where(found.scored[:, place], found.test.classes[:, place], np.int8(NO_CLASS)).astype(np.int8)
    state = AdaptiveConformal.started(parameters, earlier)
    said, known_ts = found.said[-1].probabilities[:, place], found.test.known_ts[:, horizon]
    fixed = class_scores(said) <= state.threshold()
    return conformal_sets(state, found.test.over_ts, said, classes, known_ts), fixed, classes


def _scopes(regimes: NDArray[np.int8], known: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
    apart = [(name, (regimes == code) & known) for code, name in REGIME_NAMES.items()]
    return [(name, inside) for name, inside in ((OVERALL, known), *apart) if inside.any()]
