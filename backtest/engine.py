"""Runs a session against a simulated venue over a tape, and keeps everything that was decided, sent and filled."""

from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.ledger import Ledger, lot_value_at
from backtest.venue import SimulatedVenue
from market.errors import BacktestError
from market.events import Events
from market.instrument import Instrument
from market.orders import FILL, REPORT, Reports
from trading.records import DECISION, INTENT
from trading.session import Decision, Gateway, Session, at, close_row

END_OF_WINDOW: Final = "end of window"
END_OF_TAPE: Final = "end of tape"


class Window(NamedTuple):
    """When a backtest decides, ns UTC: at rows in [start, end)."""

    start: int
    end: int


class Result(NamedTuple):
    """What a run left behind."""

    decisions: NDArray[np.void]  # DECISION, one a row
    intents: NDArray[np.void]  # INTENT, orders and cancels in the order they left
    reports: Reports  # as they became visible
    end_reason: str


class RecordedReports:
    """A gateway that keeps a copy of every report it passes on."""

    def __init__(self, gateway: Gateway) -> None:
        self.seen: list[Reports] = []
        self.on_events = gateway.on_events
        self.place = gateway.place
        self.cancel = gateway.cancel
        self._reports = gateway.reports

    def reports(self, until: int) -> Reports:
        """Reports visible by ``until`` (ns UTC), noted down."""
        reports = self._reports(until)
        if reports.size:
            self.seen.append(reports)
        return reports


def warm(session: Session, gateway: Gateway, until: int) -> None:
    """Show session and venue the market up to ``until`` (ns UTC, exclusive) without deciding."""
    while 0 < (row_ts := session.next_row_ts) < until:
        gateway.on_events(session.take_due(row_ts))
        session.observe(row_ts)


def run_backtest(
    tape: Events, session: Session, venue: SimulatedVenue, window: Window, infer_latency_ns: int
) -> Result:
    """Decide on every row of ``window``, each ``infer_latency_ns`` after it closed.

    The tape starts where the session's features stand; what lies before the window warms book, features
    and forecast. A position that is open at the end stays open and is marked at mid.
    Raises BacktestError if the tape is empty or ends before the window starts.
    """
    if not tape.size or int(tape["ingest_ts"][-1]) < window.start:
        raise BacktestError(f"the tape of {tape.size} events ends before the window starts, at {window.start}")
    session.queue.push(tape)
    last_ts = int(tape["ingest_ts"].max())
    gateway = RecordedReports(venue)
    warm(session, gateway, window.start)
    made: list[Decision] = []
    while (row_ts := session.next_row_ts) < window.end and row_ts <= last_ts:
        made.append(close_row(session, gateway, row_ts, at(row_ts + infer_latency_ns)).decision)
    reason = END_OF_WINDOW if session.next_row_ts >= window.end else END_OF_TAPE
    return collect(made, gateway.seen, reason)


def collect(made: list[Decision], seen: list[Reports], end_reason: str) -> Result:
    """One result out of many decisions and reports."""
    return Result(
        np.concatenate([decision.record for decision in made]) if made else np.zeros(0, DECISION),
        np.concatenate([decision.intents for decision in made]) if made else np.zeros(0, INTENT),
        np.concatenate(seen) if seen else np.zeros(0, REPORT),
        end_reason,
    )


def fills_frame(reports: Reports, instrument: Instrument, maker_fee: float, taker_fee: float) -> pl.DataFrame:
    """One row a fill: when, side, price, lots, maker; notional, fee and cash flow in settlement currency; position.

    ``cash`` is what the ledger books before the fee; over a flat-to-flat stretch it sums to the profit.
    """
    fills = reports[reports["kind"] == FILL]
    side, qty = fills["side"].astype(np.int64), fills["qty"]
    each = np.array([lot_value_at(int(price), instrument.inverse) for price in fills["price"]], np.float64)
    value = each * qty * Ledger(instrument).unit
    maker = fills["maker"] == 1
    return pl.DataFrame(
        {
            "visible_ts": fills["visible_ts"],
            "venue_ts": fills["venue_ts"],
            "order_id": fills["order_id"],
            "side": side,
            "price": fills["price"] * instrument.tick_size,
            "qty": qty,
            "maker": maker,
            "notional": np.abs(value),
            "fee": np.abs(value) * np.where(maker, maker_fee, taker_fee),
            "cash": -side * value,
            "position": np.cumsum(side * qty),
        }
    )
