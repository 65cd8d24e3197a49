"""A slice's model on Test beside all baselines, over the same rows: scores, regimes, confidence, sets and a verdict."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.bundles import NETWORK, slice_model
from assets.fitting import longest_memory_rows
from assets.member_scores import OVERALL, member_predictions, member_table
from assets.partitions import Part
from assets.slice_data import SliceData, slice_data
from assets.train_parts import traded_cell
from backtest.comparison import Comparison, compare
from config.settings import Settings
from features.catalogue import feature_names
from features.regimes import REGIME_NAMES
from labeling.targets import NO_CLASS
from modeling.baselines import Baseline, fit_baselines
from modeling.decision import fit_decision
from modeling.evaluation import (
    Prediction,
    Predictor,
    evaluate,
    evaluate_coverage,
    evaluate_regimes,
    evaluate_risks,
    model_prediction,
)
from modeling.forecast import Cell, Floats, ForecastShape
from modeling.learners import Learner, fit_learners
from modeling.parameters import ConformalParameters
from modeling.sampling import TrainingSet, learnable, newest_rows
from modeling.streaming import NetworkForecaster, forecaster_from
from modeling.told import Asked, forecasts_of, member_forecasts_of, told_of
from modeling.uncertainty import (
    AdaptiveConformal,
    class_scores,
    conformal_sets,
    coverage_of,
    interval_scores,
    return_intervals,
    return_moments,
    true_scores,
)
from storage.lake import Lake

if TYPE_CHECKING:
    from modeling.search import Trial

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean and deviation, bp, both (N, H)

MODEL = "model"
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


class Judged(NamedTuple):
    """What everybody said of Test, and what the model said of the third part of Val before it."""

    conformal: TrainingSet
    test: TrainingSet
    scored: NDArray[np.bool_]  # (N, C) rows of Test that all are scored on
    said: tuple[Prediction, ...]  # the class prior first, the model last
    before: Prediction  # of the model, on ``conformal``
    expected: tuple[Moments, Moments]  # returns that the model expects, on ``conformal`` and on ``test``
    memory_rows: int  # of the model
    members: tuple[Prediction, ...] = ()  # of the model, each by itself, on ``test``
    trials: "tuple[Trial, ...]" = ()  # of the searches for the settings of learners


class Evaluation(NamedTuple):
    """All that is said of one model."""

    scores: pl.DataFrame  # see modeling.evaluation.evaluate
    regimes: pl.DataFrame
    coverage: pl.DataFrame  # see modeling.evaluation.evaluate_coverage
    risks: pl.DataFrame  # see modeling.evaluation.evaluate_risks
    conformal: pl.DataFrame  # see conformal_table
    intervals: pl.DataFrame  # see interval_table
    comparisons: list[Comparison]
    members: pl.DataFrame = pl.DataFrame()  # see assets.member_scores.member_table
    trials: "tuple[Trial, ...]" = ()  # of the searches for the settings of learners


def scores_beside_rules(settings: Settings, lake: Lake, part: Part) -> pl.DataFrame:
    """One row a cell and predictor, without the learners, which cost as much to fit as the model; see ``evaluate``."""
    return _scores(_judged(settings, lake, part, lambda *_: ()))


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


def judged(settings: Settings, lake: Lake, part: Part) -> Judged:
    """The slice's model and all baselines, fitted on Train, on the same rows and features, asked about Test."""
    return _judged(settings, lake, part, fit_learners)


def _judged(settings: Settings, lake: Lake, part: Part, fit: Callable[..., Sequence[Learner]]) -> Judged:
    data, models = slice_data(settings, lake, part, longest_memory_rows(settings)), settings.models
    model = forecaster_from(slice_model(settings, lake, part, NETWORK))
    assert isinstance(model, NetworkForecaster)
    rules, _ = fit_baselines(data.taught, feature_names(settings.features_of(part.symbol)), models.baselines)
    val = newest_rows(data.search, models.learners.most_rows)
    learners = fit(data.taught, val, models.learners, models.search, model.receptive_rows)
    trials = tuple(trial for one in learners for trial in one.trials)
    return judged_on(data, model, rules, learners)._replace(trials=trials)


def judged_on(
    data: SliceData, model: NetworkForecaster, rules: Sequence[Baseline], learners: Sequence[Predictor]
) -> Judged:
    """What a model and all that stand beside it say, of windows that are read part by part."""
    shape, rows = model.shape, model.receptive_rows
    third, (before,) = told_of(data.conformal, forecasts_of(model))
    val, on_val = told_of(data.calibration, *_everybody(model, learners))
    by_row = [rule for rule in rules if rule.by_row]
    test, on_test = told_of(data.test, *_everybody(model, learners), *(rule.predict for rule in by_row))
    usable, shared = learnable(val, rows), len(on_val)
    *others, own = (chosen_on_val(val, usable, *pair) for pair in _pairs(shape, learners, on_val, on_test))
    apart = (member_predictions(shape, said[1]) for said in (on_val, on_test))
    members = tuple(chosen_on_val(val, usable, *pair) for pair in zip(*apart, strict=True))
    answers = {rule.name: said for rule, said in zip(by_row, on_test[shared:], strict=True)}
    plain = (_by_rule(rule, answers[rule.name] if rule.by_row else rule.predict(test)) for rule in rules)
    expected = moments_of(shape, before), moments_of(shape, on_test[0])
    earlier, said = model_prediction(MODEL, shape, before), (*plain, *others, own)
    return Judged(third, test, learnable(test, rows), said, earlier, expected, rows, members)


def _everybody(model: NetworkForecaster, learners: Sequence[Predictor]) -> tuple[Asked, ...]:
    """The model, its members, the learners."""
    return forecasts_of(model), member_forecasts_of(model), *(learner.predict_proba for learner in learners)


def _pairs(
    shape: ForecastShape, learners: Sequence[Predictor], *windows: tuple[NDArray[Any], ...]
) -> Iterator[tuple[Prediction, ...]]:
    """What each learner, then the model, said of either window."""
    for place, learner in enumerate(learners, 2):
        yield tuple(likeliest(learner.name, said[place]) for said in windows)
    yield tuple(model_prediction(MODEL, shape, said[0]) for said in windows)


def likeliest(name: str, probabilities: NDArray[np.floating]) -> Prediction:
    """Who gives these probabilities says the likeliest class of every row."""
    return Prediction(name, (probabilities.argmax(-1) - 1).astype(np.int8), probabilities)


def _by_rule(rule: Baseline, answers: NDArray[np.int8]) -> Prediction:
    return Prediction(rule.name, answers, rule.frequencies(answers))


def chosen_on_val(
    calibration: TrainingSet, usable: NDArray[np.bool_], before: Prediction, after: Prediction
) -> Prediction:
    """What somebody says of Test by the decision rule that their probabilities on the second part of Val chose."""
    return fit_decision(before.probabilities, calibration.classes, usable).said(after.name, after.probabilities)


def moments_of(shape: ForecastShape, forecasts: Floats) -> Moments:
    """Mean and deviation of the returns that forecasts expect, by the classes of each horizon's cheapest cell."""
    return return_moments(shape.probabilities(forecasts)[:, list(shape.anchors)], shape.returns_bp(forecasts))


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
