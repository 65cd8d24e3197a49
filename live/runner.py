"""The runner: one process, one loop. Frames are stamped and journalled, rows close on the grid, desks decide and send.

Stamps decide what a row holds, the timer only when we look: a row closes at the first look after its instant, so that
whatever arrives later also bears a later stamp.
"""

import asyncio
import gc
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from live.challenger import ShadowFigures
from live.clock import Clock
from live.connectors.line import Stamps
from live.desk import Desk, Model
from live.feed import Feed
from live.figures import DeskFigures, LineFigures
from live.plan import ROLES, LivePlan, Role, desks_of, header_of, plan_from, reader_of, strategy_of
from live.replay import Playback, resume
from live.swaps import Swaps
from market.errors import JournalError
from market.events import Events
from monitoring.metrics import Meters
from storage.journal import CONNECTION, MODEL, Record, read_headers, read_journal
from storage.journal_writer import JournalWriter
from trading.session import Strategy

SEGMENT_BYTES: Final = 64 * 1024 * 1024
CATCH_UP_ROWS: Final = 50  # closed in one go; then frames and pages get their turn
STAND_DOWN_S: Final = 1.0  # how long cancels may take to be acknowledged at a shutdown
COLLECT_S: Final = 60.0  # between two garbage collections, each right after a row
_UP: Final = b"\x01"
_DOWN: Final = b"\x00"


class Folders(NamedTuple):
    """Where a symbol's journal and the bundles that it names lie."""

    journal: Path
    bundles: Path


class Runner:
    """Desks on one feed. Opening it takes the journal over, and resumes from it if it holds anything.

    Raises JournalError if another runner writes the journal, if it was written under another plan, is damaged, or does
    not come out again as written.
    """

    def __init__(self, plan: LivePlan, folders: Folders, clock: Clock, meters: Meters) -> None:
        self.plan = plan
        self.folders = folders
        self.clock = clock
        self.stamps = Stamps(clock)  # frames and rows go by these, so that none is stamped inside a closed row
        self.meters = meters
        self.reader = reader_of(plan)
        self.desks: list[Desk] = desks_of(plan)
        self._line = LineFigures(meters)
        self._shadow = ShadowFigures(meters)
        self._figures = [DeskFigures(meters, desk) for desk in self.desks]
        self.connected = False
        self.swaps = Swaps(self.desks, self._note_model)
        self._stopping = asyncio.Event()
        self._started = time.monotonic()
        self.journal = JournalWriter(folders.journal, header_of(plan), SEGMENT_BYTES)
        self.resumed = self._resume()  # decisions

    @property
    def next_row_ts(self) -> int:
        """When the open row closes, ns UTC; 0 before the first event.

        A kill can fall between the decisions of two desks on one row: the desk that lags closes its row first.
        """
        return min(desk.session.next_row_ts for desk in self.desks)

    def on_frame(self, frame: bytes, ingest_ts: int, connection: int = 0) -> None:
        """Take a frame in: written down first, then read."""
        self.journal.frame(ingest_ts, connection, frame)
        malformed = self.reader.malformed
        events = self.reader.read(frame, ingest_ts, connection)
        self._push(events)
        self._line.frame(events, self.reader.malformed > malformed)

    def on_connection(self, up: bool, ts: int) -> None:
        """Note that the line is up, or lost: then the book is closed until a snapshot comes."""
        self.journal.append(Record(CONNECTION, 0, ts, _UP if up else _DOWN))
        self.connected = up
        self._line.connection(up)
        if not up:
            self._push(self.reader.lose(ts))

    def needs_snapshot(self) -> bool:
        """Whether the book waits for a snapshot."""
        return self.reader.decoder.waiting

    def close_due(self) -> int:
        """Close the rows whose instant has passed, oldest first and ``CATCH_UP_ROWS`` at most; returns how many."""
        now, count = self.stamps.now(), 0
        self.journal.flush()
        while count < CATCH_UP_ROWS and 0 < (row_ts := self.next_row_ts) < now:
            self._close(row_ts)
            count += 1
        self.journal.flush()
        return count

    def _close(self, row_ts: int) -> None:
        self.swaps.at_row(row_ts)
        for desk in self.desks:
            if desk.session.next_row_ts != row_ts:
                continue
            started = time.perf_counter_ns()
            turn = desk.turn(row_ts, self.stamps.now, self.journal)
            self._shadow.row(desk, turn.decision.record[0])
            self._figures[desk.place].row(turn, (time.perf_counter_ns() - started) / 1e6)

    async def deploy(self, strategy: Strategy, bundle_sha: str, patience_s: float, role: Role = "champion") -> str:
        """Swap a model once its desk is flat; returns the sha that then decides.

        Raises ModelError as ``Swaps.swap``.
        """
        return await self.swaps.swap(ROLES[role], Model(strategy, bundle_sha), patience_s)

    async def run(self, feed: Feed, speed: float, until_end: bool) -> None:
        """Trade until ``stop``, or until the feed has ended where ``until_end`` says so; then cancel, flush, close.

        speed : how fast the clock runs against ours, 1 for wall time
        """
        listening = asyncio.create_task(feed.run(self.on_frame, self.on_connection, self.stamps))
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            await self._turn_rows(feed, speed, until_end, listening)
            await self._stand_down(speed)
        finally:
            gc.enable()
            self.swaps.stop()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self.journal.close()

    def stop(self) -> None:
        """Ask ``run`` to come to its end; a model that waits to be swapped in is refused."""
        self._stopping.set()
        self.swaps.stop()

    def status(self) -> dict[str, Any]:
        """Where things stand, JSON-able."""
        return {
            "symbol": self.plan.instrument.name,
            "connected": self.connected,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "row_ts": self.next_row_ts,
            "resumed_decisions": self.resumed,
            "config_sha": self.plan.config_sha,
            "catalogue_sha": self.plan.catalogue_sha,
            "desks": [self._desk_status(desk) for desk in self.desks],
        }

    def _desk_status(self, desk: Desk) -> dict[str, Any]:
        session, previous = desk.session, desk.previous
        return {
            "name": desk.name,
            "bundle_sha": desk.bundle_sha,
            "previous_sha": previous.bundle_sha if previous else "",
            "position": session.position,
            "flat": session.flat,
        }

    def _push(self, events: Events) -> None:
        for desk in self.desks:
            desk.session.queue.push(events)

    def _resume(self) -> int:
        try:
            plans = [(segment, plan_from(header)) for segment, header in read_headers(self.folders.journal)]
            for segment, plan in plans:
                if plan != self.plan:
                    raise JournalError(f"{segment} was written under another plan; move it away to start anew")
            if not plans:
                return 0
            playback = Playback(self.reader, self.desks, lambda sha: strategy_of(self.plan, self.folders.bundles / sha))
            decisions = resume(playback, read_journal(self.folders.journal))
            self.stamps = Stamps(self.clock, playback.newest)
            self.on_connection(False, self.stamps.now())
            return decisions
        except BaseException:
            self.journal.close()
            raise

    def _note_model(self, desk: Desk, row_ts: int) -> None:
        self.journal.append(Record(MODEL, desk.place, row_ts, desk.bundle_sha.encode()))

    async def _turn_rows(self, feed: Feed, speed: float, until_end: bool, listening: "asyncio.Task[None]") -> None:
        collected = time.monotonic()
        while not self._stopping.is_set():
            behind = self.close_due() == CATCH_UP_ROWS
            if listening.done():
                listening.result()
            if until_end and feed.ended and not behind:
                return
            if time.monotonic() - collected > COLLECT_S:
                gc.collect()
                collected = time.monotonic()
            await self._wait_for_row(speed)

    async def _wait_for_row(self, speed: float) -> None:
        row_ns = self.plan.features.row_interval_ms * 1_000_000
        ahead = (self.next_row_ts or self.stamps.now() + row_ns) - self.stamps.now()
        await asyncio.sleep(min(max(ahead, 0), row_ns) / 1e9 / speed)

    async def _stand_down(self, speed: float) -> None:
        self.stop()
        for desk in self.desks:
            desk.session.standing_down = True
        deadline = time.monotonic() + STAND_DOWN_S
        while time.monotonic() < deadline and not all(desk.session.idle for desk in self.desks):
            await self._wait_for_row(speed)
            self.close_due()
