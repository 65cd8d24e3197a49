"""Windows larger than memory, read part by part: what is said of a row is kept, its features are not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modeling.forecast import Floats
from modeling.streaming import Forecaster, NetworkForecaster
from modeling.training_parts import TrainingSource, own_rows
from modeling.training_rows import TrainingSet, behind_each_other

Asked = Callable[[TrainingSet], NDArray[Any]]  # what somebody says of each of the next rows, the first axis


class Told(NamedTuple):
    """A whole window without its features, and what was said of it."""

    rows: TrainingSet  # the context first; ``values`` of shape (N, 0)
    answers: tuple[NDArray[Any], ...]  # of each that was asked, in that order, of shape (N, ...)


def told_of(source: TrainingSource, *asked: Asked) -> Told:
    """What all that are asked say of a window, in one pass over its parts; memory holds the features of one."""
    rows, answers, last = list[TrainingSet](), list[tuple[NDArray[Any], ...]](), None
    for place in range(len(source)):
        part, said = _ask(own_rows(source.part(place), last), asked)
        last = int(part.row_ts[-1])
        rows.append(part)
        answers.append(said)
    return Told(behind_each_other(rows), tuple(map(np.concatenate, zip(*answers, strict=True))))


def _ask(part: TrainingSet, asked: tuple[Asked, ...]) -> tuple[TrainingSet, tuple[NDArray[Any], ...]]:
    """The rows of a part without their features, and the answers about them; nothing else of it lives on."""
    return replace(part, values=np.empty((len(part), 0), np.float32)), tuple(ask(part) for ask in asked)


def rows_between(source: TrainingSource, first: int, end: int) -> TrainingSet:
    """The rows of a window from one instant to another, both included, ns, with their features."""
    found, last = list[TrainingSet](), None
    for place in range(len(source)):
        part = own_rows(source.part(place), last)
        last = int(part.row_ts[-1])
        found.append(part.rows((part.row_ts >= first) & (part.row_ts <= end)))
        del part
    return behind_each_other([part for part in found if len(part)])


def forecasts_of(forecaster: Forecaster) -> Asked:
    """Forecasts of the rows that follow those asked about before, (N, size): the same bytes however they are cut."""
    state = forecaster.new_state()
    return lambda part: forecaster.run(part.values, part.valid, state)


def member_forecasts_of(forecaster: NetworkForecaster) -> Callable[[TrainingSet], Floats]:
    """Each member's forecasts, (N, members, size), likewise."""
    state = forecaster.new_state()
    return lambda part: forecaster.run_members(part.values, part.valid, state)
