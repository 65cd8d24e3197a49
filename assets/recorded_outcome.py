"""All slices of recordings together: kinds stacked by what earlier slices taught, scores, comparisons and coverage."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.recorded_contest import MEAN, STACKED, Contest, Heard, decided, joined
from backtest.comparison import Comparison, compare
from config.settings import Settings
from labeling.targets import NO_CLASS
from market.errors import NotEnoughData
from modeling.ensemble import SliceForecasts, StackingWeights, fit_stacking, stacked
from modeling.evaluation import evaluate, evaluate_regimes
from modeling.forecast import CLASSES
from modeling.gross_targets import pooled

PRIOR: Final = "class_prior"
VAL: Final = ("calibration", "conformal")  # parts that something is said of before Test
RIVALS: Final = (PRIOR, "persistence", "imbalance", "median_band", "logistic", "lightgbm")


class Outcome(NamedTuple):
    """What is told of all slices."""

    contests: list[Contest]
    scores: pl.DataFrame  # over all slices, see modeling.evaluation.evaluate
    slices: pl.DataFrame  # the same slice by slice, its key in the first column
    regimes: pl.DataFrame  # likewise, over all slices
    conformal: pl.DataFrame  # of each kind's ensemble, by horizon and regime, over all symbols and slices
    comparisons: list[Comparison]  # of each kind's ensemble with every rule and learner


def outcome_of(settings: Settings, contests: Sequence[Contest], memory_rows: int) -> Outcome:
    """Scores and comparisons over the Test rows of all slices.

    Raises NotEnoughData if no kind was fitted on every slice.
    """
    whole = [stacked_too(settings, contests[:place], one, memory_rows) for place, one in enumerate(contests)]
    test, scored = pooled([one.test for one in whole]), np.concatenate([one.scored for one in whole])
    names = [name for name in whole[0].said if all(name in one.said for one in whole)]
    said = {name: joined([one.said[name] for one in whole]) for name in names}
    models = [name for name in (*whole[0].heard, MEAN) if name in said]
    if not models:
        raise NotEnoughData("no network was fitted on every slice in the time given")
    others, rivals = [said[name] for name in names if name != PRIOR], [said[name] for name in RIVALS]
    generator = np.random.default_rng(settings.models.training.seed)
    return Outcome(
        whole,
        evaluate(test, scored, said[PRIOR], others),
        pl.concat([_scores(one) for one in whole], how="vertical_relaxed"),
        evaluate_regimes(test, scored, said[PRIOR], others),
        coverage_over(whole),
        [found for name in models for found in compare(test, scored, said[name], rivals, generator)],
    )


def _scores(one: Contest) -> pl.DataFrame:
    others = [prediction for name, prediction in one.said.items() if name != PRIOR]
    table = evaluate(one.test, one.scored, one.said[PRIOR], others)
    return table.select(pl.lit(one.slice.piece.key).alias("slice"), *table.columns)


def coverage_over(contests: Sequence[Contest]) -> pl.DataFrame:
    """Coverage and set size by model, horizon and regime, every row of every symbol and slice counting the same."""
    rows = pl.concat([one.conformal for one in contests])
    figures = ("coverage", "set_size", "fixed_coverage", "fixed_set_size")
    means = [(pl.col(name) * pl.col("rows")).sum() / pl.col("rows").sum() for name in figures]
    return rows.group_by("model", "horizon_ms", "regime", maintain_order=True).agg(*means, pl.col("rows").sum())


def stacked_too(settings: Settings, earlier: Sequence[Contest], one: Contest, memory_rows: int) -> Contest:
    """The slice with its kinds stacked by weights from earlier slices; as it is without any, or with a single kind."""
    ready = [before for before in earlier if before.heard.keys() == one.heard.keys()]
    if len(one.heard) < 2 or not ready:
        return one
    weights = fit_stacking([known_forecasts(before) for before in ready])
    rows, later = scored_forecasts(one)
    test = np.full((*one.test.classes.shape, CLASSES), 1 / CLASSES)
    test[rows] = stacked(weights, later)
    val = (_mixture(weights, [getattr(heard, name) for heard in one.heard.values()]) for name in VAL)
    return one._replace(said=one.said | decided(settings, one.slice, memory_rows, STACKED, Heard(*val, test)))


def _mixture(weights: StackingWeights, members: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("cm,mnck->nck", weights.weights, np.stack(members)))


def known_forecasts(one: Contest) -> SliceForecasts:
    """What the kinds said of those rows of Test whose labels its last row knows: what stacking learns from."""
    heard_ts = min(int(symbol.test.over_ts[-1]) for symbol in one.slice.symbols)
    known = one.test.known_ts.max(axis=1) <= heard_ts
    return _forecasts(one, np.flatnonzero(one.scored.any(axis=1) & known))


def scored_forecasts(one: Contest) -> tuple[np.ndarray, SliceForecasts]:
    """The scored rows of Test, and what the kinds said of them."""
    rows = np.flatnonzero(one.scored.any(axis=1))
    return rows, _forecasts(one, rows)


def _forecasts(one: Contest, rows: np.ndarray) -> SliceForecasts:
    members = np.stack([heard.test[rows] for heard in one.heard.values()]).astype(np.float64)
    classes = np.where(one.scored, one.test.classes, np.int8(NO_CLASS)).astype(np.int8)
    known_ts = one.test.known_ts[:, list(one.test.shape.horizon_of_cell)]
    return SliceForecasts(one.slice.piece.key, members, classes[rows], one.test.row_ts[rows], known_ts[rows])
