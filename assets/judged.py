"""What a slice's model and all that stand beside it say of Test, over the same rows, each by its own decision rule."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assets.bundles import NETWORK, slice_model
from assets.carried import going_on, said_by_rule
from assets.fitting import longest_memory_rows
from assets.member_scores import member_probabilities
from assets.partitions import Part
from assets.slice_data import SliceData, slice_data
from config.settings import Settings
from features.catalogue import feature_names
from modeling.baselines import Baseline, fit_baselines
from modeling.decision import fit_decision
from modeling.evaluation import Prediction, Predictor, likeliest
from modeling.forecast import Floats, ForecastShape
from modeling.learners import Learner, fit_learners
from modeling.sampling import learnable
from modeling.streaming import NetworkForecaster, forecaster_from
from modeling.told import Asked, forecasts_of, member_forecasts_of, told_of
from modeling.training_parts import TrainingSource, newest_rows
from modeling.training_rows import TrainingSet
from modeling.uncertainty import return_moments
from storage.lake import Lake

if TYPE_CHECKING:
    from modeling.search import Trial

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean and deviation, bp, both (N, H)
Answers = Mapping[str, NDArray[Any]]  # of a window, by who gave them

MODEL: Final = "model"
_MEMBERS: Final = "members"  # of the model, all in one answer


class Judged(NamedTuple):
    """What everybody said of Test, and what the model said of the third part of Val before it."""

    conformal: TrainingSet
    test: TrainingSet
    scored: NDArray[np.bool_]  # (N, C) rows of Test that all are scored on
    said: tuple[Prediction, ...]  # the class prior first, the model last
    before: Prediction  # of the model, on ``conformal``; its probabilities go on learning from there, as those of Test
    expected: tuple[Moments, Moments]  # returns that the model expects, on ``conformal`` and on ``test``
    memory_rows: int  # of the model
    members: tuple[Prediction, ...] = ()  # of the model, each by itself, on ``test``
    trials: "tuple[Trial, ...]" = ()  # of the searches for the settings of learners


def judged(settings: Settings, lake: Lake, part: Part) -> Judged:
    """The slice's model and all baselines, fitted on Train, on the same rows and features, asked about Test."""
    return judged_beside(settings, lake, part, fit_learners)


def judged_beside(settings: Settings, lake: Lake, part: Part, fit: Callable[..., Sequence[Learner]]) -> Judged:
    """``judged`` with other learners than the configured ones, or with none."""
    data, models = slice_data(settings, lake, part, longest_memory_rows(settings)), settings.models
    model = forecaster_from(slice_model(settings, lake, part, NETWORK))
    assert isinstance(model, NetworkForecaster)
    rules, _ = fit_baselines(data.taught, feature_names(settings.features_of(part.symbol)), models.baselines)
    val = newest_rows(data.search, models.learners.most_rows)
    learners = fit(data.taught, val, models.learners, models.search, model.receptive_rows)
    trials = tuple(trial for one in learners for trial in one.trials)
    return judged_on(settings, data, model, rules, learners)._replace(trials=trials)


def judged_on(
    settings: Settings,
    data: SliceData,
    model: NetworkForecaster,
    rules: Sequence[Baseline],
    learners: Sequence[Predictor],
) -> Judged:
    """What a model and all that stand beside it say, of windows that are read part by part."""
    shape, rows = model.shape, model.receptive_rows
    val, on_val = _answers(data.calibration, _everybody(model, learners))
    third, on_third = _answers(data.conformal, _everybody(model, learners))
    by_row = {rule.name: rule.predict for rule in rules if rule.by_row}
    test, on_test = _answers(data.test, _everybody(model, learners) | by_row)
    names, heard = [learner.name for learner in learners], (on_val, on_third, on_test)
    plain = [_by_rule(rule, on_test[rule.name] if rule.by_row else rule.predict(test)) for rule in rules]
    served = partial(served_on_test, settings, (val, third, test), rows)
    chosen = [served(name, *(said[name] for said in heard)) for name in names]
    chosen.append(served(MODEL, *(shape.probabilities(said[MODEL]) for said in heard)))
    apart = (member_probabilities(shape, said[_MEMBERS]) for said in heard)
    members = tuple(served(f"member{k}", *said).after for k, said in enumerate(zip(*apart, strict=True)))
    earlier, own = chosen[-1]
    expected = moments_of(shape, earlier, on_third[MODEL]), moments_of(shape, own, on_test[MODEL])
    said = (*plain, *(one.after for one in chosen))
    return Judged(third, test, learnable(test, rows), said, earlier, expected, rows, members)


def _answers(window: TrainingSource, asked: Mapping[str, Asked]) -> tuple[TrainingSet, Answers]:
    """A window without its features, and what everybody says of it."""
    rows, said = told_of(window, *asked.values())
    return rows, dict(zip(asked, said, strict=True))


def _everybody(model: NetworkForecaster, learners: Sequence[Predictor]) -> dict[str, Asked]:
    """The model, its members, the learners, before their first row."""
    own = {MODEL: forecasts_of(model), _MEMBERS: member_forecasts_of(model)}
    return own | {learner.name: learner.predict_proba for learner in learners}


def _by_rule(rule: Baseline, answers: NDArray[np.int8]) -> Prediction:
    return Prediction(rule.name, answers, rule.frequencies(answers))


class Served(NamedTuple):
    """What somebody says of the third part of Val and of Test."""

    before: Prediction
    after: Prediction


def served_on_test(
    settings: Settings,
    windows: tuple[TrainingSet, TrainingSet, TrainingSet],
    memory_rows: int,
    name: str,
    *said: NDArray[np.floating],
) -> Served:
    """What somebody says by the decision rule that their probabilities on the second part of Val chose.

    windows, said : the second and third part of Val and Test, and the probabilities given of each, (N, C, 3)
    """
    val, *behind = windows
    rule = fit_decision(said[0], val.classes, learnable(val, memory_rows))
    before, after = going_on(settings, behind, memory_rows, *said[1:])
    return Served(likeliest(name, before), said_by_rule(settings, rule, behind, memory_rows, name, before, after))


def moments_of(shape: ForecastShape, said: Prediction, forecasts: Floats) -> Moments:
    """Mean and deviation of the returns that forecasts expect, by what is said of each horizon's cheapest cell."""
    return return_moments(said.probabilities[:, list(shape.anchors)], shape.returns_bp(forecasts))
