"""Tick mode: one simulated symbol as events, batch by batch, and where it stood."""

import base64
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from market.errors import DataError
from market.events import EVENT, Events
from market.instrument import Instrument
from market.simulator.flow import open_venue, run
from market.simulator.layout import BEST, NOW, REACH, ROWS, SIGNAL_STEP_NS, SLOTS, new_state, settings_of
from market.simulator.parameters import SimulationParameters
from market.simulator.path import DAY_NS, market_path, signal_path
from market.sources.decoder import DecoderState

BATCH_EVENTS: Final = 65_536
_LONGEST_MESSAGE: Final = 2 * SLOTS + 64  # events that one turn of the clockwork may write beyond a full batch
_ARRAYS: Final = ("random", "integers", "floats", "ladder", "dirty", "changed")

Path = tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.int8], NDArray[np.float64]]


class SimulatedTape:
    """One symbol of one market from ``start_ts`` on (ns UTC, our clock): a snapshot, then whatever happens.

    Equal parameters, instrument and start give equal events, however they are cut into calls and batches.
    Events are in the order of receipt, flagged SYNTHETIC; delay and offset are left 0.
    """

    def __init__(self, parameters: SimulationParameters, instrument: Instrument, start_ts: int) -> None:
        self.parameters = parameters
        self._settings = settings_of(parameters, instrument)
        self._state = new_state(parameters, instrument, start_ts)
        self._opened = False

    @property
    def now_ts(self) -> int:
        """When the newest thing happened, ns UTC on our clock, latency left out."""
        return int(self._state[1][NOW])

    def batches(self, until: int, batch_events: int = BATCH_EVENTS) -> Iterator[Events]:
        """What happens before ``until`` (ns UTC, our clock), about ``batch_events`` at a time, in constant memory.

        The last messages arrive after ``until`` by their latency. Raises DataError if the price comes near 0.
        """
        rows = np.empty((batch_events + _LONGEST_MESSAGE, 8), np.int64)
        if not self._opened:
            self._opened = True
            open_venue(self._state, self._settings, rows)
            yield self._events(rows)
        for day in range(self.now_ts // DAY_NS, (until - 1) // DAY_NS + 1):
            while self._run_day(day, until, rows, batch_events):
                yield self._events(rows)

    def _run_day(self, day: int, until: int, rows: NDArray[np.int64], full: int) -> int:
        start = day * DAY_NS
        if self._state[1][BEST] <= REACH // 2:
            raise DataError(f"the simulated price has come down to {self._state[1][BEST]} ticks: use a finer tick")
        path = _path(self.parameters, day)
        return int(run(self._state, self._settings, path, start, min(until, start + DAY_NS), rows, full))

    def _events(self, rows: NDArray[np.int64]) -> Events:
        return rows[: self._state[1][ROWS]].copy().view(EVENT).reshape(-1)

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return cast(tuple[NDArray[Any], ...], self._state)

    def state(self) -> DecoderState:
        """Where the market stands, as JSON allows."""
        arrays = {name: _packed(array) for name, array in zip(_ARRAYS, self._arrays, strict=True)}
        return {"opened": int(self._opened), **arrays}

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken; parameters and instrument must be the same."""
        for name, array in zip(_ARRAYS, self._arrays, strict=True):
            array[...] = np.frombuffer(_unpacked(cast(str, state[name])), array.dtype).reshape(array.shape)
        self._opened = bool(state["opened"])


@lru_cache(maxsize=2)
def _path(parameters: SimulationParameters, day: int) -> Path:
    market = market_path(parameters, day)
    signal = signal_path(parameters, day, SIGNAL_STEP_NS)
    return market.multiplier.copy(), market.regime.copy(), market.direction.copy(), signal


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(array.tobytes(), 1)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
