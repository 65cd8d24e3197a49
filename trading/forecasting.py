"""A model shown one row after another: its memory, its forecast of the traded cell, and how sure it is of that."""

import json
from collections import deque
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import VALID
from features.stream import Arrays, Row
from labeling.quotes import NO_QUOTE
from market.book import Book
from market.errors import ModelError
from modeling.certainty import SILENT, Instant, Outlook, Outlooks, Worth
from trading.limits import INVERSE, LOT_VALUE, TICK_SIZE
from trading.parameters import REMEMBERED_ROWS
from trading.ports import Strategy


class Forecasting:
    """One strategy at a time; the rows of late are kept, so that another one can be warmed with them."""

    def __init__(self, strategy: Strategy, row_ns: int) -> None:
        self.memory: Any = None
        self.recent: deque[tuple[NDArray[np.float32], bool]] = deque(maxlen=REMEMBERED_ROWS)
        self._row_ns = row_ns
        self.begin(strategy)
        self._rehearsal = strategy.forecaster, self.memory  # and a memory that nothing is decided by

    def begin(self, strategy: Strategy) -> None:
        """Forecast with a model that remembers nothing."""
        self.strategy = strategy
        self.memory = strategy.forecaster.new_state()
        self.outlooks = Outlooks(strategy.certainty, self._row_ns, _worth(strategy.limits))
        self.outlook = SILENT  # of the newest row

    def warm(self, strategy: Strategy) -> None:
        """Forecast with a model that has seen the rows of late."""
        self.begin(strategy)
        for values, valid in list(self.recent)[-strategy.forecaster.receptive_rows :]:
            strategy.forecaster.step(self.memory, values, valid)

    def step(self, row: Row, over_ts: int, book: Book) -> tuple[NDArray[np.float64], bool]:
        """What the model says of the traded cell, and whether it may be used; the outlook goes on with it.

        over_ts : the venue's time up to which all is heard by the row, ns UTC
        """
        valid = row.status == VALID
        self.recent.append((row.values, valid))
        forecast = self.strategy.forecaster.step(self.memory, row.values, valid)
        traded, ready = forecast[self.strategy.columns].astype(np.float64), bool(forecast[-1] == 1.0)
        newest = self.outlooks.quote(book) if valid else NO_QUOTE
        self.outlook, traded = self.outlooks.after(Instant(row.row_ts, over_ts), newest, ready, traded)
        return traded, ready

    def rehearse(self) -> None:
        """Forecast the newest row once more on a memory of its own, so that code and weights are at hand for the next.

        Nothing that decides is touched.
        """
        forecaster, memory = self._rehearsal
        if forecaster is not self.strategy.forecaster or memory is self.memory:
            forecaster = self.strategy.forecaster
            self._rehearsal = forecaster, (memory := forecaster.new_state())
        if self.recent:
            forecaster.step(memory, *self.recent[-1])

    def prepare(self) -> None:
        """Begin the forecast of the next row with all that does not depend on it, where the model knows how to."""
        if prepare := getattr(self.strategy.forecaster, "prepare", None):
            prepare(self.memory)

    def newest_rows(self, count: int) -> list[tuple[NDArray[np.float32], bool]]:
        """The newest rows as models see them, oldest first, each with whether it is valid."""
        skipped = max(0, len(self.recent) - count)
        return list(islice(self.recent, skipped, None))

    def of_members(self) -> NDArray[np.float64]:
        """What each network of the model forecast for the traded cell on the newest row, as ``Strategy.columns`` says.

        Shape (members, columns); none where the model is no network.
        """
        told = getattr(self.strategy.forecaster, "member_forecasts", None)
        columns = self.strategy.columns
        return told(self.memory)[:, columns].astype(np.float64) if told else np.zeros((0, columns.size))

    def dump(self) -> dict[str, NDArray[Any]]:
        """All but the model's memory, as arrays."""
        return {
            "outlook": np.array(self.outlook, np.float64),
            "outlooks": np.frombuffer(json.dumps(self.outlooks.as_dict()).encode(), np.uint8),
            "recent": np.array([values for values, _ in self.recent], np.float32),
            "valid": np.array([valid for _, valid in self.recent], np.bool_),
        }

    def dump_memory(self) -> dict[str, NDArray[Any]]:
        """What the model remembers, as arrays."""
        return {f"{place:03}": array for place, array in enumerate(_arrays_of(self.memory))}

    def load_rows(self, found: Arrays) -> None:
        """Take the rows of late out of a ``dump``, and nothing else."""
        rows = zip(found["recent"], found["valid"].tolist(), strict=True)
        self.recent = deque(rows, maxlen=REMEMBERED_ROWS)

    def load(self, found: Arrays, memory: Arrays) -> None:
        """Go on from both dumps of the same model. Raises ModelError if the memory is of another one."""
        _fill(_arrays_of(self.memory), memory)
        *moments, classes = found["outlook"].tolist()
        self.outlook = Outlook._make((*moments, int(classes)))
        if told := json.loads(found["outlooks"].tobytes()):
            self.outlooks.restore(told)


def _worth(limits: NDArray[np.float64]) -> Worth:
    inverse = bool(limits[INVERSE])
    return Worth(float(limits[LOT_VALUE] * (1.0 if inverse else limits[TICK_SIZE])), inverse)


def _arrays_of(memory: Any) -> tuple[NDArray[Any], ...]:
    """The arrays that a forecaster's memory consists of."""
    return memory if isinstance(memory, tuple) else (memory,)


def _fill(memory: tuple[NDArray[Any], ...], saved: Arrays) -> None:
    found = [saved[name] for name in sorted(saved)]
    if [(array.shape, array.dtype) for array in found] != [(array.shape, array.dtype) for array in memory]:
        raise ModelError("the saved memory of a model is another model's")
    for array, kept in zip(memory, found, strict=True):
        array[...] = kept
