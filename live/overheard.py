"""A journal's desks as arrays, taken down while the journal is played back: what the parity ladder runs again."""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.compiled import Known, Rows
from backtest.told import Change, Told
from features.stream import Row
from live.desk import Desk
from live.plan import LivePlan
from live.replay import Pair, Playback, Strategies
from market.errors import JournalError
from market.events import EVENT
from market.orders import FILL, REPORT
from market.reader import FrameReader
from storage.journal import KILL, Record
from trading.intents import TRADED
from trading.ports import Forecaster, Strategy
from trading.records import (
    BAD_INPUT,
    DECISION,
    DEGENERATE,
    DRAWDOWN,
    INTENT,
    KILL_UNVERIFIED,
    KILLED,
    NOT_READY,
    ROW_INVALID,
    SKIPPED,
    STOOD_DOWN,
)

_NOTHING: Final = np.zeros(0, np.float32)
_ROW: Final = np.dtype([("row_ts", "<i8"), ("status", "u1"), ("best_bid", "<i8"), ("best_ask", "<i8")])
_ROW_BYTES: Final = Struct("<qBqq")  # the same, a row at a time
# reasons of rows in which a desk's model had no say, however long that lasts
UNASKED: Final = frozenset(
    {ROW_INVALID, NOT_READY, BAD_INPUT, DRAWDOWN, KILLED, KILL_UNVERIFIED, STOOD_DOWN, SKIPPED, DEGENERATE}
)


class _Records:
    """Records of one kind, end to end: a day has millions of them, and an object each would not fit into memory."""

    def __init__(self, dtype: Any) -> None:
        self._dtype, self._bytes = np.dtype(dtype), bytearray()

    def extend(self, records: NDArray[Any]) -> None:
        """Append some; raises BufferError once the array has been asked for."""
        self.put(records.astype(self._dtype, copy=False).tobytes())

    def put(self, record: bytes) -> None:
        """Append one as it lies in memory; raises BufferError once the array has been asked for."""
        self._bytes += record

    @property
    def array(self) -> NDArray[Any]:
        """All of them, no copy."""
        return np.frombuffer(self._bytes, self._dtype)


class _Overheard:
    """A forecaster whose newest forecast is kept."""

    def __init__(self, forecaster: Forecaster) -> None:
        self.receptive_rows = forecaster.receptive_rows
        self.new_state = forecaster.new_state
        self.newest: NDArray[np.float32] = np.zeros(TRADED + 1, np.float32)
        self._step = forecaster.step

    def step(self, state: Any, values: NDArray[np.float32], valid: bool) -> NDArray[np.float32]:
        """Forecast after one more row."""
        self.newest = self._step(state, values, valid)
        return self.newest


class _Notes:
    """One desk, row by row."""

    def __init__(self, desk: Desk) -> None:
        self.killed = False  # before the next row
        self.rows, self.forecasts = _Records(_ROW), _Records(np.float32)
        self.decisions, self.intents = _Records(DECISION), _Records(INTENT)
        self.reports, self.report_rows = _Records(REPORT), _Records(np.int64)
        self.fills = 0
        self.changes: list[Change] = []
        self.opening = self._newest = desk.session.strategy
        self._desk = desk

    def take(self, pair: Pair) -> None:
        """Take down the row that the desk has just closed."""
        session = self._desk.session
        if session.strategy is not self._newest:
            self._newest = session.strategy
            self.changes.append(Change(pair.row_ts, _known(self._newest), self._newest is self._desk.idle))
        if self.killed:
            self.changes.append(Change(pair.row_ts, None, False))
            self.killed = False
        row = _closed(session.row)
        self.rows.put(_ROW_BYTES.pack(row.row_ts, row.status, row.best_bid, row.best_ask))
        forecast = session.strategy.forecaster.newest  # type: ignore[attr-defined]
        self.forecasts.extend(forecast[session.strategy.columns])
        self.forecasts.extend(forecast[-1:])
        self.decisions.extend(pair.written.record)
        self.intents.extend(pair.written.intents)
        if pair.written_reports.size:
            self.reports.extend(pair.written_reports)
            self.report_rows.extend(np.repeat(np.int64(pair.row_ts), pair.written_reports.size))
            self.fills += int((pair.written_reports["kind"] == FILL).sum())


class Decided(NamedTuple):
    """What a bundle has decided in a journal, at whichever desk."""

    rows: int  # in which it had a say: neither latched nor warming up, the row neither invalid nor skipped
    newest_ts: int  # the newest of them, ns UTC


class Overhearing(Playback):
    """A playback that takes down every desk; nothing that is played comes out differently for it."""

    def __init__(self, reader: FrameReader, desks: list[Desk], strategies: Strategies) -> None:
        for desk in desks:
            desk.idle = desk.session.forecasting.strategy = _overheard(desk.session.strategy)
        super().__init__(reader, desks, lambda sha: _overheard(strategies(sha)))
        self._tape = _Records(EVENT)
        self._notes = [_Notes(desk) for desk in desks]
        self.models: dict[str, Decided] = {}  # by bundle sha

    def pairs(self, records: Iterable[Record]) -> Iterator[Pair]:
        """Recompute every decision, see ``Playback.decisions``."""
        for pair in self.decisions(self._watched(records)):
            self._notes[pair.desk].take(pair)
            self._count(self.desks[pair.desk].bundle_sha, pair)
            yield pair

    def fills_of(self, place: int) -> int:
        """Fills that a desk was told of so far."""
        return self._notes[place].fills

    def told(self, place: int, plan: LivePlan) -> Told:
        """A desk, once it has been played to the end."""
        notes = self._notes[place]
        return Told(
            instrument=plan.instrument,
            features=plan.features,
            venue=plan.venue,
            tape=self._tape.array,
            rows=_rows_of(notes.rows.array),
            forecasts=notes.forecasts.array.reshape(-1, TRADED + 1),
            decisions=notes.decisions.array,
            intents=notes.intents.array,
            reports=notes.reports.array,
            report_rows=notes.report_rows.array,
            opening=_known(notes.opening),
            changes=tuple(notes.changes),
        )

    def _watched(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            if record.kind == KILL:
                self._notes[record.place].killed = True
            yield record

    def _count(self, sha: str, pair: Pair) -> None:
        if sha and int(pair.written.record["reason"][0]) not in UNASKED:
            known = self.models.get(sha)
            self.models[sha] = Decided(known.rows + 1 if known else 1, pair.row_ts)

    def _push(self, events: NDArray[np.void]) -> None:
        self._tape.extend(events)
        super()._push(events)


def _closed(row: Row | None) -> Row:
    """The row that a session has just closed. Raises JournalError if it has closed none."""
    if row is None:
        raise JournalError("a decision was made again on no row")
    return row


def _overheard(strategy: Strategy) -> Strategy:
    return strategy._replace(forecaster=_Overheard(strategy.forecaster))


def _known(strategy: Strategy) -> Strategy:
    """The same rules over forecasts that are told."""
    return strategy._replace(forecaster=Known(), columns=np.arange(TRADED, dtype=np.intp), certainty=None)


def _rows_of(rows: NDArray[np.void]) -> Rows:
    known = {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}
    return Rows(**known, values=np.zeros((rows.size, 0), np.float32), regime=np.zeros(rows.size, np.int8))
