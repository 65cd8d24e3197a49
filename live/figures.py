"""What the runner tells its meters: of every frame, and of every row of a desk."""

import numpy as np

from live.desk import Desk
from market.events import GAP, Events
from market.orders import FILL
from monitoring.metrics import Meters
from trading.records import LATE_DECISION, PLACE, REASON_NAMES, SKIPPED
from trading.session import Turn


class LineFigures:
    """Delay and breaks of the feed."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._frames = 0
        self._gaps = 0
        self.disconnects = 0  # lost lines, and the restart

    def frame(self, events: Events, malformed: bool) -> None:
        """One frame, and the events that came of it."""
        self._frames += 1
        if malformed:
            self._meters.count("malformed_frames")
        if events.size:
            self._meters.observe("ingest_lag_ms", events["delay_ns"][-1] / 1e6)
            if (events["kind"] == GAP).any():
                self.gap()

    def gap(self) -> None:
        """A break of the venue's sequence, or a lost line."""
        self._gaps += 1
        self._meters.set("ws_gap_ratio", self.gap_ratio)

    @property
    def gap_ratio(self) -> float:
        """Breaks per frame since the start, 0 to 1."""
        return min(1.0, self._gaps / max(1, self._frames))

    def connection(self, up: bool) -> None:
        """The line is up, or lost."""
        self._meters.set("connected", float(up))
        if not up:
            self._meters.count("disconnects")
            self.disconnects += 1
            self.gap()


class DeskFigures:
    """Decisions, orders and profit of one desk since the start of the process."""

    def __init__(self, meters: Meters, desk: Desk) -> None:
        self._meters = meters
        self._desk = desk.name
        self._placed_lots = 0
        self._filled_lots = 0
        self._peak = -np.inf
        self._deepest = 0.0

    def row(self, turn: Turn, took_ms: float) -> None:
        """One row, and our own time for it."""
        meters, desk, record = self._meters, self._desk, turn.decision.record[0]
        lag_ms = int(record["infer_ts"] - record["row_ts"]) / 1e6
        reason = int(record["reason"])
        meters.observe("infer_ms", took_ms, desk=desk)
        meters.observe("batch_to_decision_ms", lag_ms, desk=desk)
        meters.count("decisions", 1, desk=desk, reason=REASON_NAMES[reason])
        meters.set("position_lots", float(record["position"]), desk=desk)
        if reason in (LATE_DECISION, SKIPPED):
            meters.count("skipped_decisions", 1, desk=desk)
        self._profit(float(record["equity"]))
        if turn.decision.intents.size or turn.reports.size:
            self._orders(turn)

    def _profit(self, equity: float) -> None:
        self._peak = max(self._peak, equity)
        self._deepest = max(self._deepest, self._peak - equity)
        self._meters.set("pnl", equity, desk=self._desk)
        self._meters.set("max_dd", self._deepest, desk=self._desk)

    def _orders(self, turn: Turn) -> None:
        intents, fills = turn.decision.intents, turn.reports[turn.reports["kind"] == FILL]
        self._meters.count("orders", intents.size, desk=self._desk)
        self._meters.count("fills", fills.size, desk=self._desk)
        self._placed_lots += int(intents["qty"][intents["verb"] == PLACE].sum())
        self._filled_lots += int(fills["qty"].sum())
        ratio = self._filled_lots / self._placed_lots if self._placed_lots else 0.0
        self._meters.set("trade_fill_ratio", min(1.0, ratio), desk=self._desk)
