"""Runs sessions against simulated venues over tapes, and keeps everything that was decided, sent and filled."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.ledger import Ledger, lot_value_at
from market.errors import BacktestError
from market.events import Events
from market.instrument import Instrument
from market.orders import FILL, REASON_NAMES, REPORT, STATUS_NAMES, TIF_NAMES, Orders, Reports
from trading.decisions import Decision
from trading.ports import Gateway
from trading.records import DECISION, INTENT, PLACE
from trading.session import Session, at, close_row

END_OF_WINDOW: Final = "end of window"
END_OF_TAPE: Final = "end of tape"

NO_TALLIES: Final[Mapping[str, int]] = {}

InferLeg = int | Callable[[int], int]  # ns from the end of a row to its decision; or that, of the row's time


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
    tallies: Mapping[str, int] = NO_TALLIES  # what the venue met, backtest.orders.TALLIES
    funding: NDArray[np.float64] = np.zeros(0)  # paid less received by each decision, settlement currency; empty: none

    def shares(self) -> dict[str, float | None]:
        """Of orders and of cancels that the venue met, the shares that came to nothing, by what happened; None of none.

        >>> none = np.zeros(0)
        >>> Result(none, none, none, "", {"cancels": 8, "cancels_late": 2}).shares()
        {'cancels_late': 0.25}
        """
        parts = {name: count for name, count in self.tallies.items() if "_" in name}
        met = {name: self.tallies[name.split("_")[0]] for name in parts}
        return {name: count / met[name] if met[name] else None for name, count in parts.items()}


class CountingGateway(Gateway, Protocol):
    """A gateway that counts what it met; ``backtest.venue.SimulatedVenue`` is one."""

    @property
    def tallies(self) -> dict[str, int]:
        """Counts by name."""


class Market(NamedTuple):
    """One symbol of a run: its tape, who trades it, and where."""

    tape: Events
    session: Session
    gateway: CountingGateway
    infer: InferLeg | None = None  # its own; None: the run's


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


class Course:
    """One market's way through a run."""

    def __init__(self, market: Market, window: Window) -> None:
        """Raises BacktestError if the tape is empty or ends before the window starts."""
        tape = market.tape
        if not tape.size or int(tape["ingest_ts"][-1]) < window.start:
            raise BacktestError(f"the tape of {tape.size} events ends before the window starts, at {window.start}")
        self.market = market
        self._gateway = RecordedReports(market.gateway)
        self._window, self._last_ts = window, int(tape["ingest_ts"].max())
        self._made: list[Decision] = []
        self._funding: list[float] = []
        market.session.queue.push(tape)
        warm(market.session, self._gateway, window.start)

    @property
    def next_row_ts(self) -> int:
        """When its open row closes, ns UTC."""
        return self.market.session.next_row_ts

    @property
    def runs(self) -> bool:
        """Whether a row is left to decide."""
        return self.next_row_ts < self._window.end and self.next_row_ts <= self._last_ts

    def decide(self, infer: InferLeg) -> None:
        """Close the open row and decide on it."""
        row_ts = self.next_row_ts
        leg = infer if self.market.infer is None else self.market.infer
        leg_ns = leg if isinstance(leg, int) else leg(row_ts)
        self._made.append(close_row(self.market.session, self._gateway, row_ts, at(row_ts + leg_ns)).decision)
        self._funding.append(self.market.session.books.funding)

    def result(self) -> Result:
        """What it left behind."""
        reason = END_OF_WINDOW if self.next_row_ts >= self._window.end else END_OF_TAPE
        made = collect(self._made, self._gateway.seen, reason, self.market.gateway.tallies)
        return made._replace(funding=np.array(self._funding, np.float64))


def run_markets(markets: Sequence[Market], window: Window, infer: InferLeg) -> list[Result]:
    """Decide on every row of ``window`` in many symbols at once, row by row in the order of time; a result each.

    A tape starts where its session's features stand; what lies before the window warms book, features and forecast. A
    position that is open at the end stays open and is marked at mid. Of rows at one instant the earlier market's is
    first.
    Raises BacktestError if a tape is empty or ends before the window starts.
    """
    courses = [Course(market, window) for market in markets]
    while running := [course for course in courses if course.runs]:
        min(running, key=lambda course: course.next_row_ts).decide(infer)
    return [course.result() for course in courses]


def run_backtest(
    tape: Events, session: Session, venue: CountingGateway, window: Window, infer_latency_ns: InferLeg
) -> Result:
    """The same for one symbol."""
    return run_markets([Market(tape, session, venue)], window, infer_latency_ns)[0]


def collect(
    made: list[Decision], seen: list[Reports], end_reason: str, tallies: Mapping[str, int] = NO_TALLIES
) -> Result:
    """One result out of many decisions and reports."""
    return Result(
        _joined([decision.record for decision in made], DECISION),
        _joined([decision.intents for decision in made], INTENT),
        _joined(seen, REPORT),
        end_reason,
        tallies,
    )


def _joined(pieces: list[NDArray[np.void]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """The records one after the other; np.concatenate compares all their fields, which took half of a backtest."""
    return np.frombuffer(bytearray(b"".join(piece.tobytes() for piece in pieces)), dtype)


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


def orders_frame(
    orders: Orders, intents: NDArray[np.void], fills: pl.DataFrame, instrument: Instrument
) -> pl.DataFrame:
    """One row an order, in the order sent: who decided it, what it asked for, when it met the venue, what became of it.

    fills : see ``fills_frame``; ``filled`` counts those that we saw
    """
    placed = intents[intents["verb"] == PLACE]
    decided = pl.DataFrame({"order_id": placed["order_id"], "decision_id": placed["decision_id"]})
    filled = fills.group_by("order_id").agg(filled=pl.col("qty").sum())
    frame = pl.DataFrame(
        {
            "order_id": orders["order_id"],
            "sent_ts": orders["sent_ts"],
            "arrival_ts": orders["arrival_ts"],
            "accepted_ts": orders["accepted_ts"],
            "cancel_ts": orders["cancel_ts"],
            "side": orders["side"].astype(np.int64),
            "tif": _named(orders["tif"], TIF_NAMES),
            "price": orders["price"] * instrument.tick_size,
            "qty": orders["qty"],
            "status": _named(orders["status"], STATUS_NAMES),
            "reason": _named(orders["reason"], REASON_NAMES),
        }
    )
    joined = frame.join(decided, on="order_id", how="left", maintain_order="left")
    return joined.join(filled, on="order_id", how="left", maintain_order="left").with_columns(
        pl.col("filled").fill_null(0)
    )


def _named(codes: NDArray[np.uint16], names: tuple[str, ...]) -> pl.Series:
    return pl.Series([names[code] for code in codes], dtype=pl.String)
