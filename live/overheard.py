"""A journal's desks as arrays, taken down while the journal is played back: what the parity ladder runs again."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backtest.compiled import Known, Rows
from backtest.told import Change, Told
from features.stream import Row
from live.desk import Desk
from live.plan import LivePlan
from live.replay import Pair, Playback, Strategies
from market.errors import JournalError
from market.events import empty_events
from market.orders import FILL, REPORT
from market.reader import FrameReader
from storage.journal import KILL, Record
from trading.intents import TRADED
from trading.ports import Forecaster, Strategy
from trading.records import DECISION, INTENT

_NOTHING: Final = np.zeros(0, np.float32)


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
        self.pairs: list[Pair] = []
        self.rows: list[Row] = []
        self.forecasts: list[NDArray[np.float32]] = []
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
        self.rows.append(_closed(session.row)._replace(raw=_NOTHING, values=_NOTHING))
        forecast = session.strategy.forecaster.newest  # type: ignore[attr-defined]
        self.forecasts.append(np.append(forecast[session.strategy.columns], forecast[-1]))
        self.pairs.append(pair)


class Overhearing(Playback):
    """A playback that takes down every desk; nothing that is played comes out differently for it."""

    def __init__(self, reader: FrameReader, desks: list[Desk], strategies: Strategies) -> None:
        for desk in desks:
            desk.idle = desk.session.forecasting.strategy = _overheard(desk.session.strategy)
        super().__init__(reader, desks, lambda sha: _overheard(strategies(sha)))
        self._tape = [empty_events(0)]
        self._notes = [_Notes(desk) for desk in desks]

    def pairs(self, records: Iterable[Record]) -> Iterator[Pair]:
        """Recompute every decision, see ``Playback.decisions``."""
        for pair in self.decisions(self._watched(records)):
            self._notes[pair.desk].take(pair)
            yield pair

    def fills_of(self, place: int) -> int:
        """Fills that a desk was told of so far."""
        return sum(int((pair.written_reports["kind"] == FILL).sum()) for pair in self._notes[place].pairs)

    def told(self, place: int, plan: LivePlan) -> Told:
        """A desk, as far as it has been played."""
        notes = self._notes[place]
        written = [pair.written for pair in notes.pairs]
        heard = [(pair.row_ts, pair.written_reports) for pair in notes.pairs if pair.written_reports.size]
        return Told(
            instrument=plan.instrument,
            features=plan.features,
            venue=plan.venue,
            tape=np.concatenate(self._tape),
            rows=_rows_of(notes.rows),
            forecasts=np.array(notes.forecasts, np.float32).reshape(-1, TRADED + 1),
            decisions=np.concatenate([np.zeros(0, DECISION), *(made.record for made in written)]),
            intents=np.concatenate([np.zeros(0, INTENT), *(made.intents for made in written)]),
            reports=np.concatenate([np.zeros(0, REPORT), *(reports for _, reports in heard)]),
            report_rows=np.repeat([ts for ts, _ in heard], [reports.size for _, reports in heard]).astype(np.int64),
            opening=_known(notes.opening),
            changes=tuple(notes.changes),
        )

    def _watched(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            if record.kind == KILL:
                self._notes[record.place].killed = True
            yield record

    def _push(self, events: NDArray[np.void]) -> None:
        self._tape.append(events)
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


def _rows_of(rows: list[Row]) -> Rows:
    return Rows(
        row_ts=np.array([row.row_ts for row in rows], np.int64),
        status=np.array([row.status for row in rows], np.uint8),
        best_bid=np.array([row.best_bid for row in rows], np.int64),
        best_ask=np.array([row.best_ask for row in rows], np.int64),
        values=np.zeros((len(rows), 0), np.float32),
        regime=np.zeros(len(rows), np.int8),
    )
