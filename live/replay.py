"""The journal played back through the same reader, sessions and venues: how a restart resumes, what parity compares.

Frames go in with their stamps, rows close when and as the journal says they did. Whatever is recomputed on the way
(decisions, orders, reports) is compared with what was written down. Decisions of a model that is gone are taken as they
were written; the reports that they bring are compared all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from live.desk import Desk
from market.errors import JournalError
from market.orders import REPORT, Reports
from market.reader import FrameReader
from market.units import NS_PER_MS
from storage.journal import CONNECTION, DECISION, FRAME, KILL, MODEL, REPORTS, Record
from trading.decisions import Decision
from trading.ports import Strategy
from trading.records import DECISION as DECISION_RECORD
from trading.records import INTENT, REASON_NAMES, SKIPPED, STOOD_DOWN
from trading.session import adopt_row, at, close_row, send, skip_row
from trading.strategy import is_missing

Strategies = Callable[[str], Strategy]  # bundle sha -> its strategy, or what stands in where the bundle is gone


class Pair(NamedTuple):
    """One row of one desk: what the journal holds, and what came out again."""

    desk: int
    row_ts: int
    written: Decision
    written_reports: Reports
    again: Decision
    again_reports: Reports


def decision_of(payload: bytes) -> Decision:
    """The decision and intents of a journal record. Raises JournalError if it holds anything else."""
    size = DECISION_RECORD.itemsize
    if len(payload) < size or (len(payload) - size) % INTENT.itemsize:
        raise JournalError(f"a decision of {len(payload)} bytes was written by another version")
    return Decision(np.frombuffer(payload, DECISION_RECORD, 1), np.frombuffer(payload, INTENT, offset=size))


def reports_of(payload: bytes) -> Reports:
    """The reports of a journal record. Raises JournalError if it holds anything else."""
    if len(payload) % REPORT.itemsize:
        raise JournalError(f"reports of {len(payload)} bytes were written by another version")
    return np.frombuffer(payload, REPORT)


class Grid:
    """Which row each desk has to decide next: every desk decides every row, and none begins one before all have ended
    the one before."""

    def __init__(self, first_rows: list[int], row_ns: int) -> None:
        self._due = first_rows
        self._row_ns = row_ns

    def take(self, place: int, row_ts: int) -> None:
        """Note the decision of a desk. Raises JournalError, naming the row that is missing, if it is not its turn."""
        due = min(self._due)
        if row_ts != self._due[place] or row_ts != due:
            raise JournalError(
                f"the journal holds row {row_ts} of desk {place} where row {due} of desk {self._due.index(due)} is due"
            )
        self._due[place] += self._row_ns


class Playback:
    """Plays records into a reader and desks that stand as the runner's stood when it started."""

    def __init__(self, reader: FrameReader, desks: list[Desk], strategies: Strategies, newest: int = 0) -> None:
        self.reader = reader
        self.desks = desks
        self._strategies = strategies
        self._reports: dict[int, NDArray[np.void]] = {}
        self.newest = newest  # stamp of all that was played, ns UTC
        self._grid: Grid | None = None  # from the first decision on

    def decisions(self, records: Iterable[Record]) -> Iterator[Pair]:
        """Recompute every decision from raw frames, with the journal's ``infer_ts`` as the only clock.

        Raises JournalError where a desk's decision is missing; only the newest row may lack desks.
        """
        return self._play(records, self._decide_again)

    def fills(self, records: Iterable[Record]) -> Iterator[Pair]:
        """Send the journal's orders, as written, to a fresh venue that follows the journal's frames.

        Raises JournalError where a desk's decision is missing; only the newest row may lack desks.
        """
        return self._play(records, self._send_again)

    def _play(self, records: Iterable[Record], turn: Callable[[Desk, int, Decision], Pair]) -> Iterator[Pair]:
        for record in records:
            self.newest = max(self.newest, record.ts)
            if record.kind == FRAME:
                self._read(record)
            elif record.kind == CONNECTION and record.payload == b"\x00":
                self._push(self.reader.lose(record.ts))
            elif record.kind == MODEL:
                self._swap(self._desk(record), record.payload.decode())
            elif record.kind == KILL:
                self._desk(record).session.kill()
            elif record.kind == REPORTS:
                self._reports[record.place] = reports_of(record.payload)
            elif record.kind == DECISION:
                desk, written = self._desk(record), decision_of(record.payload)
                self._take_turn(desk, record.ts, written)
                yield turn(desk, record.ts, written)

    def _swap(self, desk: Desk, sha: str) -> None:
        if sha:
            desk.deploy(self._strategies(sha), sha)
        else:
            desk.stand_aside()

    def _take_turn(self, desk: Desk, row_ts: int, written: Decision) -> None:
        if self._grid is None:
            row_ns = desk.session.features.parameters.row_interval_ms * NS_PER_MS
            self._grid = Grid([desk.session.next_row_ts for desk in self.desks], row_ns)
        self._grid.take(desk.place, row_ts)
        self.newest = max(self.newest, int(written.record["infer_ts"][0]))
        if int(written.record["row_ts"][0]) != row_ts:
            raise JournalError(f"row {row_ts} of desk {desk.place} holds the decision of another row")

    def _read(self, record: Record) -> None:
        self._push(self.reader.read(record.payload, record.ts, record.place))

    def _push(self, events: NDArray[np.void]) -> None:
        for desk in self.desks:
            desk.session.queue.push(events)

    def _desk(self, record: Record) -> Desk:
        if record.place >= len(self.desks):
            raise JournalError(f"the journal speaks of desk {record.place}; there are {len(self.desks)}")
        return self.desks[record.place]

    def _written_reports(self, desk: Desk) -> Reports:
        return self._reports.pop(desk.place, np.zeros(0, REPORT))

    def _decide_again(self, desk: Desk, row_ts: int, written: Decision) -> Pair:
        decided_ts, written_reports = int(written.record["infer_ts"][0]), self._written_reports(desk)
        desk.recall(written_reports)
        if is_missing(desk.session.strategy):
            turn = adopt_row(desk.session, desk.gateway, row_ts, written)
            return Pair(desk.place, row_ts, written, written_reports, *turn)
        desk.session.standing_down = int(written.record["reason"][0]) == STOOD_DOWN
        close = skip_row if int(written.record["reason"][0]) == SKIPPED else close_row
        turn = close(desk.session, desk.gateway, row_ts, at(decided_ts), lambda _: None)
        desk.session.standing_down = False
        return Pair(desk.place, row_ts, written, written_reports, *turn)

    def _send_again(self, desk: Desk, row_ts: int, written: Decision) -> Pair:
        written_reports = self._written_reports(desk)
        desk.recall(written_reports)
        desk.gateway.on_events(desk.session.queue.take(row_ts))
        reports = desk.gateway.reports(row_ts)
        send(desk.gateway, written.intents)
        return Pair(desk.place, row_ts, written, written_reports, written, reports)

    def recall_undecided(self) -> None:
        """Let each desk's next row see reports that were written down and not decided on any more."""
        for desk in self.desks:
            desk.recall(self._written_reports(desk))


def resume(playback: Playback, records: Iterable[Record]) -> int:
    """Bring the desks to where the journal ends; returns how many decisions it holds.

    Raises JournalError, naming the first row that comes out differently: then code, settings or machine have
    changed, and yesterday's state is not ours to trade on.
    """
    count = 0
    for pair in playback.decisions(records):
        count += 1
        same = (
            pair.written.record.tobytes() == pair.again.record.tobytes()
            and pair.written.intents.tobytes() == pair.again.intents.tobytes()
            and pair.written_reports.tobytes() == pair.again_reports.tobytes()
        )
        if not same:
            words = [REASON_NAMES[int(side.record["reason"][0])] for side in (pair.written, pair.again)]
            raise JournalError(
                f"row {pair.row_ts} of desk {pair.desk} was decided «{words[0]}» and comes out «{words[1]}»: "
                "the journal was written by other code, settings or another machine; move it away to start anew"
            )
    playback.recall_undecided()
    return count
