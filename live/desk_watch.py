"""What one desk did since this process started, as far as it is shown; ``live.watch`` asks."""

import math
import time
from collections import deque
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from live.desk import Desk
from live.desk_views import fill_views, gate_views, order_views, signal_view
from live.plan import MODEL_DESK
from live.runner import Runner
from live.views import CurvePoint, DeskView, FillView, LatencyView, Percentiles, PositionView, SignalView
from trading import account as own
from trading.decisions import Turn
from trading.records import DECISION, REASON_NAMES

RECENT_TURNS: Final = 4_096  # more than a second's at any speed that a loop can turn
LATENCY_ROWS: Final = 3_000  # newest decisions that percentiles are taken of: a minute of 20 ms rows
CURVE_POINTS: Final = 7_200
FILLS: Final = 200
SHOWN_FILLS: Final = 15
SECOND_NS: Final = 1_000_000_000


class DeskWatch:
    """What one desk did since this process started, as far as it is shown."""

    def __init__(self, runner: Runner, desk: Desk) -> None:
        self._runner = runner
        self.desk = desk
        self.recent: deque[Turn] = deque(maxlen=RECENT_TURNS)  # until the next look
        self.newest: NDArray[np.void] | None = None  # DECISION, shape (1,)
        self.curve: deque[CurvePoint] = deque(maxlen=CURVE_POINTS)
        self.fills: deque[FillView] = deque(maxlen=FILLS)  # the newest first
        self._legs = np.zeros((3, 0), np.int64)  # feed, batch, total of the newest rows, ns
        self._latency: tuple[float, LatencyView] = (-math.inf, LatencyView(None, None, None))

    def look(self) -> None:
        """Take in what has come since the last look."""
        turns = tuple(self.recent)
        self.recent.clear()
        if not turns:
            return
        records = np.frombuffer(b"".join(turn.decision.record.tobytes() for turn in turns), DECISION)
        self.newest = records[-1:]
        feed, infer_ts = records["delay_ns"], records["infer_ts"]
        legs = np.stack((feed, infer_ts - records["row_ts"], infer_ts - records["ingest_ts"]))
        self._legs = np.concatenate((self._legs, legs), axis=1)[:, -LATENCY_ROWS:]
        self._extend_curve(records)
        self._extend_fills(turns)

    def latency(self) -> LatencyView:
        """Percentiles of the newest rows; a second old at most."""
        made, view = self._latency
        if time.monotonic() - made > 1.0:
            view = LatencyView(*map(_percentiles, self._legs))
            self._latency = time.monotonic(), view
        return view

    def position(self) -> PositionView:
        """What the desk holds now."""
        instrument, lots = self._runner.plan.instrument, self.desk.session.position
        target = int(self.newest["target"][0]) if self.newest is not None else 0
        equity = float(self.newest["equity"][0]) if self.newest is not None else math.nan
        return PositionView(
            desk=self.desk.name,
            lots=lots,
            quantity=lots * instrument.lot_size,
            target_lots=target,
            target=target * instrument.lot_size,
            equity=equity if math.isfinite(equity) else None,
            settlement=instrument.settlement,
        )

    def view(self) -> DeskView:
        """Everything that is shown of the desk."""
        runner, desk, newest = self._runner, self.desk, self.newest
        return DeskView(
            name=desk.name,
            policy=runner.plan.desks[desk.place] if desk.place < len(runner.plan.desks) else desk.name,
            gateway=runner.plan.gateway if desk.place == MODEL_DESK else "paper",
            bundle_sha=desk.bundle_sha,
            reason=REASON_NAMES[int(newest["reason"][0])] if newest is not None else "",
            halvings=int(newest["halvings"][0]) if newest is not None else 0,
            capped=bool(newest["capped"][0]) if newest is not None else False,
            killed=self.killed,
            position=self.position(),
            signal=self.signal(),
            gates=gate_views(desk, newest, runner.stamps.now()) if newest is not None else (),
            latency=self.latency(),
            orders=order_views(desk, runner.plan.instrument),
            fills=tuple(islice(self.fills, SHOWN_FILLS)),
        )

    def signal(self) -> SignalView | None:
        """The newest forecast, None before the first decision."""
        if self.newest is None:
            return None
        return signal_view(self.desk.name, self.newest, self._runner.plan.trading.horizon_ms)

    @property
    def killed(self) -> bool:
        """Whether its kill switch is latched."""
        return bool(self.desk.session.account[1][own.KILLED])

    def _extend_curve(self, records: NDArray[np.void]) -> None:
        seconds = records["row_ts"] // SECOND_NS
        newest = self.curve[-1].ts // SECOND_NS if self.curve else -1
        for place in np.flatnonzero(np.diff(seconds, prepend=newest)):
            equity = float(records["equity"][place])
            if math.isfinite(equity):
                self.curve.append(CurvePoint(int(records["row_ts"][place]), equity))

    def _extend_fills(self, turns: tuple[Turn, ...]) -> None:
        for turn in turns:
            if turn.reports.size:
                self.fills.extendleft(fill_views(self.desk.name, turn.reports, self._runner.plan.instrument))


def _percentiles(legs_ns: NDArray[np.int64]) -> Percentiles | None:
    if not legs_ns.size:
        return None
    middle, high, highest = (float(value) / 1e6 for value in np.percentile(legs_ns, (50, 95, 99)))
    return Percentiles(middle, high, highest, legs_ns.size)
