"""All that is said of a slice's model on Test: scores beside the baselines, regimes, confidence, sets and a verdict."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from assets.conformal_tables import conformal_table, interval_table
from assets.judged import MODEL, Judged, judged, judged_beside
from assets.member_scores import OVERALL, member_table
from assets.partitions import Part
from assets.train_parts import traded_cell
from backtest.comparison import Comparison, compare
from config.settings import Settings
from modeling.evaluation import evaluate, evaluate_coverage, evaluate_regimes, evaluate_risks
from modeling.forecast import Cell
from storage.lake import Lake

if TYPE_CHECKING:
    from modeling.search import Trial

HEADLINE: Final = (
    "macro_f1",
    "mcc",
    "nll_skill",
    "ece",
    "hit_rate",
    "gross_edge_bp",
    "breakeven_fee_bp",
    "p_t",
    "aurc",
)


class Evaluation(NamedTuple):
    """All that is said of one model."""

    scores: pl.DataFrame  # see modeling.evaluation.evaluate
    regimes: pl.DataFrame
    coverage: pl.DataFrame  # see modeling.evaluation.evaluate_coverage
    risks: pl.DataFrame  # see modeling.evaluation.evaluate_risks
    conformal: pl.DataFrame  # see assets.conformal_tables
    intervals: pl.DataFrame  # see assets.conformal_tables
    comparisons: list[Comparison]
    members: pl.DataFrame = pl.DataFrame()  # see assets.member_scores.member_table
    trials: "tuple[Trial, ...]" = ()  # of the searches for the settings of learners


def scores_beside_rules(settings: Settings, lake: Lake, part: Part) -> pl.DataFrame:
    """One row a cell and predictor, without the learners, which cost as much to fit as the model; see ``evaluate``."""
    return _scores(judged_beside(settings, lake, part, lambda *_: ()))


def evaluation_on_test(settings: Settings, lake: Lake, part: Part) -> Evaluation:
    """Scores, regimes, confidence, conformal sets and comparisons of a slice's model."""
    found = judged(settings, lake, part)
    model, generator = found.said[-1], np.random.default_rng(settings.models.training.seed)
    return Evaluation(
        _scores(found),
        evaluate_regimes(found.test, found.scored, found.said[0], found.said[1:]),
        evaluate_coverage(found.test, found.scored, found.said[0], found.said[1:]),
        evaluate_risks(found.test, found.scored, found.said),
        conformal_table(settings.models.conformal, settings.features.row_interval_ms, found),
        interval_table(settings.models.conformal, settings.features.row_interval_ms, found),
        compare(found.test, found.scored, model, found.said[:-1], generator),
        member_table(found.test, found.scored, found.said[0], found.members),
        found.trials,
    )


def _scores(found: Judged) -> pl.DataFrame:
    return evaluate(found.test, found.scored, found.said[0], found.said[1:])


def verdict_of(comparisons: Sequence[Comparison], traded: Cell) -> list[str]:
    """What the model can claim, in plain words: over all cells, then against each baseline in the traded one."""
    cells = list(dict.fromkeys(one.cell for one in comparisons))
    won = [cell for cell in cells if all(o.difference.verdict == "above zero" for o in comparisons if o.cell == cell)]
    named = ", ".join(cell.name for cell in won) or "none"
    summary = f"The model beats every baseline in {len(won)} of {len(cells)} cells: {named}."
    return [summary, *(one.sentence for one in comparisons if one.cell == traded)]


def headline(settings: Settings, found: Evaluation) -> dict[str, float]:
    """The few numbers to compare two models by, at the traded cell; ``headline/<figure>``."""
    cell = traded_cell(settings)
    at = (pl.col("horizon_ms") == cell.horizon_ms) & (pl.col("budget_bp") == cell.budget_bp)
    scores = found.scores.filter(at)
    (model,) = scores.filter(pl.col("model") == MODEL).to_dicts()
    (sets,) = found.conformal.filter(at, pl.col("regime") == OVERALL).to_dicts()
    best = max(scores.filter(pl.col("model") != MODEL)["macro_f1"].to_list())
    figures = {key: model[key] for key in HEADLINE}
    figures |= {"macro_f1_over_best_baseline": model["macro_f1"] - best}
    figures |= {"conformal_coverage": sets["coverage"], "conformal_set_size": sets["set_size"]}
    return {f"headline/{key}": float(value) for key, value in figures.items() if value is not None}
