"""Rows one at a time for a live feed, and the state that survives a restart."""

from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from features.batch import divide, open_row_ts, require_plan
from features.intake import absorb
from features.layout import ALONE, NEXT_ROW, LeaderRows, State
from features.parameters import FeatureParameters
from features.step import advance, new_state
from market.book import SLOTS, Book
from market.errors import DataError
from market.events import Events, empty_events
from market.packing import packed
from market.spill import SPILL, require_room
from market.units import NS_PER_MS

Arrays = dict[str, NDArray[Any]]
_WHOLE: Final = ("head", "clock", "ring", "plan", "history", "scales")  # dumped as they are
_NO_EVENTS: Final = empty_events(0)


class Row(NamedTuple):
    """One feature row; F features."""

    row_ts: int  # ns UTC
    status: int  # features.catalogue.STATUS_NAMES
    best_bid: int  # ticks, 0: none, or the book is closed
    best_ask: int  # ticks, likewise
    raw: NDArray[np.float32]  # (F,), in the feature's unit
    values: NDArray[np.float32]  # (F,), normalised: what models see


class RowStream(Protocol):
    """Where a desk's rows come from."""

    parameters: FeatureParameters

    @property
    def next_row_ts(self) -> int:
        """When the open row closes, ns; 0 before the first event."""

    @property
    def book(self) -> Book:
        """Our own book, as we have received it."""

    def push(self, events: Events) -> None:
        """Take events of the open row in."""

    def close(self, row_ts: int) -> Row:
        """The open row, which closes at ``row_ts``."""


@runtime_checkable
class KeptStream(RowStream, Protocol):
    """One whose state outlives the process."""

    def dump(self) -> Arrays:
        """The whole state as arrays."""

    def restore(self, arrays: Arrays) -> None:
        """Go on from a ``dump``."""


def as_kept(stream: RowStream) -> KeptStream:
    """The stream, whose state can be kept. Raises DataError if it cannot."""
    if not isinstance(stream, KeptStream):
        raise DataError(f"the state of a {type(stream).__name__} cannot be kept")
    return stream


class FeatureStream:
    """The compiled step behind two verbs: ``push`` the events of the open row, ``close`` it."""

    def __init__(self, parameters: FeatureParameters, state: State | None = None) -> None:
        self.parameters = parameters
        self.state = new_state(parameters) if state is None else state
        require_plan(self.state, parameters)
        self.row: Row | None = None  # that was closed
        self.pushed = 0  # events, into the open row
        self._leader = ALONE  # rows that no row of ours has seen yet

    @property
    def next_row_ts(self) -> int:
        """When the open row closes, ns; 0 before the first event."""
        return int(self.state[3][NEXT_ROW])

    @property
    def book(self) -> Book:
        """Our own book, as we have received it; a view of the state."""
        return self.state[:3]

    def push(self, events: Events) -> None:
        """Take events in, all of them stamped no later than the open row.

        Raises DataError, and takes none, if one is later; or if the book runs out of room.
        """
        if not events.size:
            return
        row_ts, newest = open_row_ts(events, self.state, self.parameters), int(events["ingest_ts"].max())
        if newest > row_ts:
            raise DataError(f"an event of {newest} lies beyond the open row, {row_ts}; close that first")
        self.pushed += events.size
        absorb(self.state, packed(events), 0, row_ts)
        require_room(self.state[2])

    def follow(self, rows: LeaderRows) -> None:
        """Take rows of the leader in, later than all before them; each is seen by our first row at or after it."""
        stamps, mid2, imbalance = self._leader
        self._leader = (
            np.concatenate((stamps, rows[0])),
            np.concatenate((mid2, rows[1])),
            np.concatenate((imbalance, rows[2])),
        )

    def close(self, row_ts: int) -> Row:
        """The open row, which closes at ``row_ts``.

        Raises DataError if another row is open, or none because no event has come yet.
        """
        if row_ts != self.next_row_ts or not row_ts:
            raise DataError(f"row_ts={row_ts} is not the open row, {self.next_row_ts or 'which the first event opens'}")
        shape, seen = (1, self.state[7].shape[0]), self._leader
        at, status, touch = np.empty(1, np.int64), np.empty(1, np.uint8), np.empty((1, 2), np.int64)
        raw, values = np.empty(shape, np.float32), np.empty(shape, np.float32)
        if seen is not ALONE:
            seen, self._leader = divide(seen, row_ts)
        advance(self.state, _NO_EVENTS, row_ts, seen, (at, status, touch, raw, values))
        best_bid, best_ask = touch[0].tolist()
        self.pushed = 0
        self.row = Row(row_ts, int(status[0]), best_bid, best_ask, raw[0], values[0])
        return self.row

    def dump(self) -> Arrays:
        """The whole state as arrays, so that ``restore`` goes on to the same rows, byte for byte."""
        return dump_state(self.state)

    def restore(self, arrays: Arrays) -> None:
        """Go on from a ``dump``. Raises DataError if it lacks an array or was made under other parameters."""
        state = load_state(arrays)
        require_plan(state, self.parameters)
        self.state, self.row, self.pushed = state, None, 0


class SharedStream:
    """A stream that several desks of a symbol see: who comes first in a row has it computed, the others see the same.

    Every desk has one of its own, and pushes what it takes: what another has pushed already is passed over.
    """

    def __init__(self, stream: FeatureStream) -> None:
        self.parameters = stream.parameters
        self._stream = stream
        self._pushed = 0  # events, into our open row
        self._next = 0  # ns; 0 before the first row

    @property
    def next_row_ts(self) -> int:
        """When our open row closes, ns; 0 before the first event."""
        if self._next:
            return self._next
        first = self._stream.row
        return first.row_ts if first else self._stream.next_row_ts

    @property
    def book(self) -> Book:
        """Our own book, as we have received it; a view of the stream's."""
        return self._stream.book

    def push(self, events: Events) -> None:
        """Take events in, all of them stamped no later than the open row. Raises DataError as the stream does."""
        if self._is_closed:
            return
        known = self._stream.pushed - self._pushed
        if known < events.size:
            self._stream.push(events[known:] if known else events)
        self._pushed += events.size

    def close(self, row_ts: int) -> Row:
        """Our open row, which closes at ``row_ts``.

        Raises DataError if another row is open, or none because no event has come yet.
        """
        row = self._stream.row
        if row is None or row.row_ts != row_ts:
            row = self._stream.close(row_ts)
        self._pushed, self._next = 0, row_ts + self.parameters.row_interval_ms * NS_PER_MS
        return row

    def dump(self) -> Arrays:
        """The whole state as arrays, so that ``restore`` goes on to the same rows, byte for byte."""
        return self._stream.dump() | {"next_row": np.array(self._next)}

    def restore(self, arrays: Arrays) -> None:
        """Go on from a ``dump``, as every desk does. Raises DataError as the stream does."""
        self._stream.restore(arrays)
        self._pushed, self._next = 0, int(arrays["next_row"])

    @property
    def _is_closed(self) -> bool:
        """Whether another desk has had our open row closed."""
        row = self._stream.row
        return row is not None and row.row_ts == self.next_row_ts


def dump_state(state: State) -> Arrays:
    """The state as compact arrays: of the book only the occupied places."""
    ladder, spill = state[0], state[1]
    sides, slots = np.nonzero(ladder)
    rows, places = np.nonzero(spill[:, :, 0])
    levels = np.stack((sides, slots, ladder[sides, slots]), axis=1)
    far = np.column_stack((rows, places, spill[rows, places]))
    arrays: Arrays = {"levels": levels.astype(np.int64), "far_levels": far.astype(np.int64)}
    return arrays | {name: np.array(array) for name, array in zip(_WHOLE, state[2:], strict=True)}


def load_state(arrays: Arrays) -> State:
    """The state that ``dump_state`` was given, byte for byte.

    Raises DataError if an array is missing.
    """
    missing = sorted({"levels", "far_levels", *_WHOLE} - set(arrays))
    if missing:
        raise DataError(f"the feature state lacks {', '.join(missing)}")
    ladder, spill = np.zeros((2, SLOTS), np.int64), np.zeros((2, SPILL, 2), np.int64)
    levels, far = arrays["levels"], arrays["far_levels"]
    ladder[levels[:, 0], levels[:, 1]] = levels[:, 2]
    spill[far[:, 0], far[:, 1]] = far[:, 2:]
    head, clock, ring, plan, history, scales = (np.array(arrays[name]) for name in _WHOLE)
    return ladder, spill, head, clock, ring, plan, history, scales
