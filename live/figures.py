"""What the runner tells its meters: of every frame, of every row of a desk, and of what stands when they are read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from live.desk import Desk
from live.fallback import Fallback
from live.gateways.exchange import ExchangeGateway
from live.gathering import Gathering
from live.plan import ROLES
from market.events import GAP, SNAPSHOT, Events
from market.orders import CANCEL_REJECTED, FILL, MODIFY_REJECTED, ORDER_REJECTED, Reports
from market.orders import REASON_NAMES as REFUSALS
from monitoring.metrics import Meters, Tally
from trading import account as own
from trading.decisions import Turn
from trading.limits import MAX_DRAWDOWN_USD
from trading.ports import Gateway
from trading.queue import joined
from trading.records import (
    DECISION,
    DEGENERATE,
    DRAWDOWN,
    KILLED,
    LATE_DECISION,
    LOSS_STREAK,
    PLACE,
    REASON_NAMES,
    SKIPPED,
)

NEWEST_ROWS: Final = 3_000  # a minute, which infer_p95_ms speaks of
_REFUSED: Final = (ORDER_REJECTED, CANCEL_REJECTED, MODIFY_REJECTED)
_BOUND: Final = {"capped_decisions": "capped", "halved_decisions": "halvings"}  # counter, field of a decision
_CLASSES: Final = ("down", "none", "up")
_SHOWN: Final = (  # gauge, field of the newest decision
    ("position_lots", "position"),
    ("target_lots", "target"),
    ("expected_return_bp", "mu_bp"),
    ("expected_cost_bp", "cost_bp"),
    ("pnl", "equity"),
)


class LineFigures:
    """Delay and breaks of the feed."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._waiting = Gathering(self._take_in)  # events of frames that are in none of the figures yet
        meters.before_reading(self._refresh)  # before the tally, which tells what it gives it
        self._lag_ms = Tally(meters, "ingest_lag_ms")
        self._frames = 0
        self._told = 0
        self._gaps = 0
        self.disconnects = 0  # lost lines, and the restart

    def frame(self, events: Events, malformed: bool) -> None:
        """One frame, and the events that came of it."""
        self._frames += 1
        if malformed:
            self._meters.count("malformed_frames")
        if events.size:
            self._waiting.note(events)

    def _take_in(self, frames: list[Events]) -> None:
        sizes = np.array([events.size for events in frames])
        events, ends = joined(frames), np.cumsum(sizes)
        self._lag_ms.observe_all(events["delay_ns"][ends - 1] / 1e6)
        resyncs = int(np.count_nonzero(events["kind"][ends - sizes] == SNAPSHOT))
        self._meters.count("resyncs", resyncs)
        for _ in range(np.count_nonzero(np.logical_or.reduceat(events["kind"] == GAP, ends - sizes))):
            self.gap()

    def gap(self) -> None:
        """A break of the venue's sequence, or a lost line."""
        self._gaps += 1
        self._meters.count("gaps")

    @property
    def gap_ratio(self) -> float:
        """Breaks per frame since the start, 0 to 1."""
        self._waiting.flush()
        return min(1.0, self._gaps / max(1, self._frames))

    def connection(self, up: bool) -> None:
        """The line is up, or lost."""
        self._meters.set("connected", float(up))
        if not up:
            self._meters.count("disconnects")
            self.disconnects += 1
            self.gap()

    def _refresh(self) -> None:
        self._waiting.flush()
        self._meters.count("frames", self._frames - self._told)
        self._told = self._frames
        self._meters.set("ws_gap_ratio", self.gap_ratio)


class DeskFigures:
    """Decisions, orders and profit of one desk since the start of the process."""

    def __init__(self, meters: Meters, desk: Desk) -> None:
        self._meters = meters
        self._desk = desk
        self._name = desk.name
        self._newest: NDArray[np.void] | None = None  # DECISION, shape (1,)
        self._waiting = Gathering(self._take_in)  # decisions that are in none of the figures below yet
        meters.before_reading(self._refresh)  # before the tallies, which tell what it gives them
        self._rows = 0
        self._reasons = np.zeros(len(REASON_NAMES), np.int64)  # decisions that nobody has told the meters, by reason
        self._bound = dict.fromkeys(_BOUND, 0)  # likewise those that a limit bound
        self._infer_ms = Tally(meters, "infer_ms", desk=desk.name)
        self._lag_ms = Tally(meters, "batch_to_decision_ms", desk=desk.name)
        self._took_ms = np.zeros(NEWEST_ROWS)  # a ring
        self._placed_lots = 0
        self._filled_lots = 0
        self._peak = -np.inf
        self._deepest = 0.0

    def row(self, turn: Turn, took_ms: float) -> None:
        """One row, and our own time for it: noted here, and taken in with many others."""
        self._newest = turn.decision.record
        self._waiting.note((turn.decision.record.tobytes(), took_ms))
        if turn.decision.intents.size or turn.reports.size:
            self._orders(turn)

    def _take_in(self, decisions: list[tuple[bytes, float]]) -> None:
        waited, waited_ms = zip(*decisions, strict=True)
        records, took_ms = np.frombuffer(b"".join(waited), DECISION), np.array(waited_ms)
        self._took_ms[(self._rows + np.arange(records.size)) % NEWEST_ROWS] = took_ms
        self._rows += records.size
        peaks = np.fmax.accumulate(np.append(self._peak, records["equity"]))
        self._peak = float(peaks[-1])
        self._deepest = float(np.fmax.reduce(peaks[1:] - records["equity"], initial=self._deepest))
        self._infer_ms.observe_all(took_ms)
        self._lag_ms.observe_all((records["infer_ts"] - records["row_ts"]) / 1e6)
        self._reasons += np.bincount(records["reason"], minlength=self._reasons.size)
        for name, field in _BOUND.items():
            self._bound[name] += int(np.count_nonzero(records[field]))

    def _orders(self, turn: Turn) -> None:
        intents, fills = turn.decision.intents, turn.reports[turn.reports["kind"] == FILL]
        self._meters.count("orders", intents.size, desk=self._name)
        self._meters.count("fills", fills.size, desk=self._name)
        self._placed_lots += int(intents["qty"][intents["verb"] == PLACE].sum())
        self._filled_lots += int(fills["qty"].sum())
        self._rejects(turn.reports)

    def _rejects(self, reports: Reports) -> None:
        for reason in reports["reason"][np.isin(reports["kind"], _REFUSED)]:
            self._meters.count("rejects", 1, desk=self._name, reason=REFUSALS[int(reason)])

    def _refresh(self) -> None:
        """Set and count what nobody needs between two readings."""
        if self._newest is None:
            return
        self._waiting.flush()
        record = self._newest[0]
        self._count_decisions()
        for name, field in _SHOWN:
            self._meters.set(name, float(record[field]), desk=self._name)
        for word in _CLASSES:
            self._meters.set("probability", float(record[f"p_{word}"]), desk=self._name, **{"class": word})
        self._meters.set("max_dd", self._deepest, desk=self._name)
        self._meters.set("infer_p95_ms", self._p95_ms(), desk=self._name)
        ratio = self._filled_lots / self._placed_lots if self._placed_lots else 0.0
        self._meters.set("trade_fill_ratio", min(1.0, ratio), desk=self._name)
        self._latches(int(record["row_ts"]))
        self._drawdown()

    def _count_decisions(self) -> None:
        for reason, count in enumerate(self._reasons.tolist()):
            if count:
                self._meters.count("decisions", count, desk=self._name, reason=REASON_NAMES[reason])
        late = int(self._reasons[LATE_DECISION] + self._reasons[SKIPPED])
        for name, count in {"skipped_decisions": late, **self._bound}.items():
            self._meters.count(name, count, desk=self._name)
        self._reasons[:] = 0
        self._bound = dict.fromkeys(_BOUND, 0)

    def _p95_ms(self) -> float:
        newest = self._took_ms[: self._rows]
        place = int(0.95 * (newest.size - 1))
        return float(np.partition(newest, place)[place])

    def _latches(self, row_ts: int) -> None:
        integers = self._desk.session.account[1]
        latched = {
            KILLED: integers[own.KILLED] != 0,
            DRAWDOWN: integers[own.DRAWN_DOWN] != 0,
            DEGENERATE: integers[own.DEGENERATE] != 0,
            LOSS_STREAK: row_ts < integers[own.PAUSED_UNTIL],
        }
        for gate, closed in latched.items():
            self._meters.set("gate_latched", float(closed), desk=self._name, gate=REASON_NAMES[gate])

    def _drawdown(self) -> None:
        session = self._desk.session
        _, integers, floats = session.account
        if integers[own.LAST_MID2]:  # headroom is known from the first valid row on
            used = 1.0 - floats[own.HEADROOM_USD] / session.strategy.limits[MAX_DRAWDOWN_USD]
            self._meters.set("drawdown_used", float(used), desk=self._name)


class GatewayFigures:
    """The way of a desk's orders, where it leads to an exchange."""

    def __init__(self, meters: Meters, gateway: Gateway) -> None:
        self._meters = meters
        if isinstance(gateway, ExchangeGateway):
            meters.before_reading(lambda: self._refresh(gateway))

            EventFigures(meters, "order_events", lambda: gateway.counts)
            EventFigures(meters, "account_stream_events", lambda: gateway.stream_counts)
            EventFigures(meters, "venue_clock_readings", lambda: gateway.clock.counts if gateway.clock else {})

    def _refresh(self, gateway: ExchangeGateway) -> None:
        self._meters.set("order_line_up", float(gateway.up))
        self._meters.set("unsettled_orders", gateway.unsettled)
        if gateway.clock is not None:
            self._meters.set("venue_clock_offset_ms", gateway.clock.offset_ms)


class EventFigures:
    """What is counted by kind elsewhere, told under one name."""

    def __init__(self, meters: Meters, name: str, counts: Callable[[], Mapping[str, int]]) -> None:
        self._meters = meters
        self._name = name
        self._counts = counts
        self._told = dict[str, int]()
        meters.before_reading(self._refresh)

    def _refresh(self) -> None:
        for kind, count in self._counts().items():
            self._meters.count(self._name, count - self._told.get(kind, 0), kind=kind)
            self._told[kind] = count


class FeedFigures(EventFigures):
    """What befell the lines of a symbol, as its feed counts it."""

    def __init__(self, meters: Meters, counts: Mapping[str, int]) -> None:
        super().__init__(meters, "line_events", lambda: counts)


class ModelFigures:
    """Which bundles decide, and which would come back or stand in."""

    def __init__(self, meters: Meters, desks: Sequence[Desk], fallback: Fallback) -> None:
        self._meters = meters
        self._fallback = fallback
        self._desks = {role: desks[place] for role, place in ROLES.items() if place < len(desks)}
        meters.before_reading(self._refresh)

    def _refresh(self) -> None:
        self._meters.forget("model_info")
        shas = {"fallback": self._fallback.bundle_sha}
        for role, desk in self._desks.items():
            shas |= {role: desk.bundle_sha, f"{role} before": desk.previous.bundle_sha if desk.previous else ""}
        for name, sha in shas.items():
            if sha:
                self._meters.set("model_info", 1, role=name, sha=sha[:12])
