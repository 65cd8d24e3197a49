"""Training rows in parts that follow each other in time: more than memory holds, each part read when it is its turn."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from modeling.forecast import ForecastShape
from modeling.training_rows import TrainingSet, behind_each_other


class TrainingSource(Protocol):
    """Training rows in parts that follow each other in time, each read when it is its turn: more than memory holds."""

    @property
    def shape(self) -> ForecastShape:
        """The cells and horizons."""

    def __len__(self) -> int:
        """How many parts."""

    def part(self, place: int) -> TrainingSet:
        """The rows of one part, behind earlier ones that fill a model's memory and whose labels are hidden."""


@dataclass(frozen=True)
class InMemory:
    """A training set as a source of one part."""

    data: TrainingSet

    @property
    def shape(self) -> ForecastShape:
        """The cells and horizons."""
        return self.data.shape

    def __len__(self) -> int:
        return 1

    def part(self, place: int) -> TrainingSet:
        """The whole of it."""
        return self.data


@dataclass(frozen=True)
class LazyParts:
    """Spans of time that are read anew whenever they are asked for; none is kept."""

    shape: ForecastShape
    spans: tuple[tuple[int, int], ...]  # half-open [start, end), ns UTC, in order
    read: Callable[[int, int], TrainingSet]  # the rows of a span with their context

    def __len__(self) -> int:
        return len(self.spans)

    def part(self, place: int) -> TrainingSet:
        """The rows of one span."""
        return self.read(*self.spans[place])


def kept(parts: LazyParts) -> TrainingSource:
    """A source of a single part keeps it; one of several reads each when it is its turn."""
    return InMemory(parts.part(0)) if len(parts) == 1 else parts


def equal_spans(start: int, end: int, longest: int) -> tuple[tuple[int, int], ...]:
    """[start, end) cut into spans of ``longest``, the last one shorter; all in ns.

    >>> equal_spans(0, 10, 4)
    ((0, 4), (4, 8), (8, 10))
    """
    return tuple((at, min(at + longest, end)) for at in range(start, end, longest))


def newest_rows(source: TrainingSource, rows: int) -> TrainingSet:
    """The newest parts of a source that together hold at least ``rows`` rows, or all of them, with their context."""
    parts: list[TrainingSet] = []
    for place in reversed(range(len(source))):
        parts.insert(0, source.part(place))
        if sum(map(len, parts)) >= rows:
            break
    if len(parts) == 1:
        return parts[0]
    own = (own_rows(part, int(before.row_ts[-1])) for before, part in pairwise(parts))
    return behind_each_other([parts[0], *own])


def own_rows(part: TrainingSet, last: int | None) -> TrainingSet:
    """A part without the context that repeats rows of the one before, which ended at ``last``, ns; None: all of it.

    A part that repeats none begins behind missing rows: its first row is not valid.
    """
    if last is None:
        return part
    own = part.rows(part.row_ts > last)
    own.valid[0] &= len(own) < len(part)
    return own
