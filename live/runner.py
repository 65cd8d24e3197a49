"""The runner of one symbol: frames are stamped and journalled, rows close on the grid, desks decide and send.

Stamps decide what a row holds, the timer only when we look: a row closes at the first look after its instant, so that
whatever arrives later also bears a later stamp. ``live.floor`` turns the rows of all runners of a process.
"""

import logging
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from live.challenger import ShadowFigures
from live.clock import Clock
from live.connectors.line import Stamps
from live.desk import Desk, Model
from live.fallback import Fallback
from live.figures import DeskFigures, GatewayFigures, LineFigures, ModelFigures
from live.keeping import Keeper
from live.latencies import Latencies
from live.machine_figures import JournalFigures
from live.plan import ROLES, LivePlan, Role, desks_of, header_of, plan_from, reader_of, stand_in, strategy_of
from live.resume import resumed, state_of, tail_of
from live.swaps import Swaps
from market.errors import JournalError, ModelError
from market.events import Events
from market.units import NS_PER_MS
from monitoring.metrics import Meters
from storage.journal import CONNECTION, KILL, MODEL, Record, read_headers
from storage.journal_writer import JournalWriter
from storage.snapshots import Arrays
from trading.decisions import Turn
from trading.ports import Strategy
from trading.strategy import is_missing

LOG: Final = logging.getLogger(__name__)
SEGMENT_BYTES: Final = 64 * 1024 * 1024
CATCH_UP_ROWS: Final = 50  # closed in one go; then frames and pages get their turn
FOREVER: Final = 2**63 - 1  # ns UTC
_UP: Final = b"\x01"
_DOWN: Final = b"\x00"


class Folders(NamedTuple):
    """Where a symbol's journal and the bundles that it names lie."""

    journal: Path
    bundles: Path


class Audience(Protocol):
    """Hears of every row once all is sent; must never block."""

    def row(self, plan: LivePlan, desk: Desk, turn: Turn) -> None:
        """One row of a desk."""


class Runner:
    """Desks on one feed. Opening it takes the journal over, and resumes from it if it holds anything.

    Raises JournalError if another runner writes the journal, if it was written under another plan, is damaged, or does
    not come out again as written.
    """

    def __init__(
        self, plan: LivePlan, folders: Folders, clock: Clock, meters: Meters, snapshot_s: float = float("inf")
    ) -> None:
        """``snapshot_s``: the state is kept at least that often, seconds of our own time, and with each segment."""
        self.plan, self.folders, self.clock = plan, folders, clock
        self.stamps = Stamps(clock)  # frames and rows go by these, so that none is stamped inside a closed row
        self.meters = meters
        self.reader = reader_of(plan)
        self.desks: list[Desk] = desks_of(plan)
        self.audience: list[Audience] = []
        self.latencies = [Latencies() for _ in self.desks]
        self.frames = 0  # received since the start
        self.gone: dict[str, ModelError] = {}  # by sha, bundles that the journal names and nobody can read any more
        self.replayed = 0  # decisions of the journal that this start made again
        self.line = LineFigures(meters)
        self._shadow = ShadowFigures(meters)
        self.connected = False
        self._row_ns = plan.features.row_interval_ms * NS_PER_MS
        self._lag_ns = round(plan.trading.routing.max_decision_lag_ms * NS_PER_MS)
        self._stopped = False
        self._started = time.monotonic()
        self.journal = JournalWriter(folders.journal, header_of(plan), SEGMENT_BYTES)
        self.journal.on_flush = JournalFigures(meters).flush
        self._keeper = Keeper(folders.journal, snapshot_s, meters)
        self.resumed = self._resume()  # decisions that the journal holds
        self.swaps = Swaps(self.desks, self._note_model)
        self.fallback = Fallback(self.desks[ROLES["champion"]], self._note_model)
        self._figures = self._shown()

    def _shown(self) -> list[DeskFigures]:
        """Figures of desks, models and the way to an exchange."""
        champion = self.desks[ROLES["champion"]]
        if champion.stood_aside:
            self.fallback.champion_refused("corrupt")
        self._way = GatewayFigures(self.meters, champion.gateway)
        self._models = ModelFigures(self.meters, self.desks, self.fallback)
        return [DeskFigures(self.meters, desk) for desk in self.desks]

    @property
    def next_row_ts(self) -> int:
        """When the open row closes, ns UTC; 0 before the first event.

        A kill can fall between the decisions of two desks on one row: the desk that lags closes its row first.
        """
        return min(desk.session.next_row_ts for desk in self.desks)

    def on_frame(self, frame: bytes, ingest_ts: int, connection: int = 0) -> None:
        """Take a frame in: written down first, then read."""
        self.journal.frame(ingest_ts, connection, frame)
        self.frames += 1
        malformed = self.reader.malformed
        events = self.reader.read(frame, ingest_ts, connection)
        self._push(events)
        self.line.frame(events, self.reader.malformed > malformed)

    def on_connection(self, up: bool, ts: int) -> None:
        """Note that all lines are up, or one is lost: then the book is closed until a snapshot comes."""
        self.journal.append(Record(CONNECTION, 0, ts, _UP if up else _DOWN))
        self.connected = up
        self.line.connection(up)
        if not up:
            self._push(self.reader.lose(ts))

    def needs_snapshot(self) -> bool:
        """Whether the book waits for a snapshot."""
        return self.reader.decoder.waiting

    def close_due(self, until: int = FOREVER, most: int = CATCH_UP_ROWS) -> int:
        """Close the rows whose instant has passed, up to ``until`` (ns UTC), oldest first and ``most`` at most.

        Returns how many it closed.
        """
        now, count = min(self.stamps.now(), until + 1), 0
        self.journal.flush()
        while count < most and 0 < (row_ts := self.next_row_ts) < now:
            self._close(row_ts)
            count += 1
        self.journal.flush()
        if count and self._keeper.due(self.journal.position.segment):
            self._keeper.keep(self.journal.position, self.state())
        return count

    def state(self) -> Arrays:
        """Everything that is known by the journal's position, as arrays; nothing may be queued for the journal."""
        tail = tail_of(self.folders.journal, self.journal.position)
        return state_of(self.reader, self.desks, self.plan, self.stamps.now(), tail)

    def fail_closed(self) -> None:
        """Take back every working order, though the journal takes no more."""
        self.stop()
        with ExitStack() as closing:  # one that fails keeps no other from it
            for desk in reversed(self.desks):
                closing.callback(desk.cancel_unrecorded, self.stamps.now())

    def look_ahead(self) -> None:
        """Write down and take in what has come of the open row, right before it closes."""
        self.journal.flush()
        for desk in self.desks:
            desk.look_ahead()

    def hear(self) -> None:
        """Learn what has become of our orders by now; nothing is decided."""
        for desk in self.desks:
            desk.session.on_reports(desk.gateway.reports(self.stamps.now()))

    def close(self) -> None:
        """Finish journal and snapshots."""
        try:
            self.journal.close()
        finally:
            self._keeper.close()

    def _close(self, row_ts: int) -> None:
        self.swaps.at_row(row_ts)
        self.fallback.at_row(row_ts)
        late = self._out_of_time(row_ts)
        for desk in self.desks:
            if desk.session.next_row_ts != row_ts:
                continue
            started = time.perf_counter_ns()
            close = desk.skip if late and not desk.resting else desk.turn  # which takes back what rests
            turn = close(row_ts, self.stamps.now, self.journal)
            self._shadow.row(desk, turn.decision.record)
            self._figures[desk.place].row(turn, (time.perf_counter_ns() - started) / 1e6)
            self.latencies[desk.place].note(turn.decision.record)
            for listener in self.audience:
                listener.row(self.plan, desk, turn)

    def _out_of_time(self, row_ts: int) -> bool:
        """Whether a row is too old to act on while a newer one is due as well: then only that one is decided."""
        late_ns = self.stamps.now() - row_ts
        return not self._stopped and late_ns > max(self._lag_ns, self._row_ns)

    async def deploy(self, strategy: Strategy, bundle_sha: str, patience_s: float, role: Role = "champion") -> str:
        """Swap a model once its desk is flat; returns the sha that then decides.

        Raises ModelError as ``Swaps.swap``.
        """
        return await self.swaps.swap(ROLES[role], Model(strategy, bundle_sha), patience_s)

    def latch(self) -> None:
        """Latch the kill switch of every desk: orders are cancelled until each has been answered."""
        for desk in self.desks:
            desk.session.kill()

    def kill(self) -> None:
        """Latch the kill switch of every desk, a restart included.

        Raises JournalError if that cannot be written down: they are latched all the same, a restart is not, and nothing
        is sent any more either.
        """
        self.latch()
        for desk in self.desks:
            self.journal.append(Record(KILL, desk.place, self.stamps.now(), b""))
        self.journal.flush()

    @property
    def uptime_s(self) -> float:
        """Since the process took the journal over."""
        return time.monotonic() - self._started

    def stop(self) -> None:
        """Take no model in any more, and only cancel from the next row on."""
        self._stopped = True
        self.swaps.stop()
        for desk in self.desks:
            desk.session.standing_down = True

    @property
    def idle(self) -> bool:
        """Whether no order of any desk works."""
        return all(desk.session.idle for desk in self.desks)

    def status(self) -> dict[str, Any]:
        """Where things stand, JSON-able."""
        return {
            "symbol": self.plan.instrument.name,
            "connected": self.connected,
            "uptime_s": round(self.uptime_s, 3),
            "row_ts": self.next_row_ts,
            "resumed_decisions": self.resumed,
            "replayed_decisions": self.replayed,
            "config_sha": self.plan.config_sha,
            "catalogue_sha": self.plan.catalogue_sha,
            "fallback_sha": self.fallback.bundle_sha,
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
            "latencies": self.latencies[desk.place].summary(),
            "kill": session.kill_state,
            "outlook": session.outlook.as_dict(),
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
            found = resumed(self.plan, self.folders.journal, self._strategy_or_stand_in, self._on_ignored)
            self.reader, self.desks, self.replayed = found.reader, found.desks, found.replayed
            self.stamps = Stamps(self.clock, found.newest)
            self.on_connection(False, self.stamps.now())
            self._stand_aside()
            return sum(desk.session.decided for desk in self.desks)
        except BaseException:
            self.journal.close()
            raise

    def _strategy_or_stand_in(self, sha: str) -> Strategy:
        try:
            return strategy_of(self.plan, self.folders.bundles / sha)
        except ModelError as error:
            if sha not in self.gone:
                LOG.warning(
                    "%s: what bundle %s decided is taken as it was written: %s",
                    self.plan.instrument.name,
                    sha[:12],
                    error,
                )
            self.gone[sha] = error
            return stand_in(self.plan)

    def _stand_aside(self) -> None:
        """Desks whose model is gone decide without one from here on; the journal says so."""
        for desk in self.desks:
            if not is_missing(desk.session.strategy):
                continue
            LOG.warning(
                "%s: desk %s stands aside; push a model, or let the fallback stand in",
                self.plan.instrument.name,
                desk.name,
            )
            desk.stand_aside()
            self._note_model(desk, self.stamps.now())

    def _on_ignored(self, reason: str) -> None:
        LOG.warning("%s; an older one or the whole journal is replayed", reason)
        self.meters.count("ignored_snapshots")

    def _note_model(self, desk: Desk, row_ts: int) -> None:
        self.journal.append(Record(MODEL, desk.place, row_ts, desk.bundle_sha.encode()))
