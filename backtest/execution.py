"""What working a parent order by the forecast saves: shortfall in bp, beside TWAP, always-take and always-post.

All ways are settings of one policy (``trading/executing.py``), run by the same engine over the same parent orders, so
that only the decision differs. Savings are paired, parent order by parent order, with a block-bootstrap interval.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.engine import InferLeg, Result, Window, fills_frame, run_backtest
from backtest.ledger import Ledger, lot_value_at
from backtest.resampling import Interval, block_length, interval_of, mean
from backtest.venue import SimulatedVenue
from market.errors import BacktestError
from market.events import BUY, SELL, Events
from market.instrument import Instrument
from market.orders import FILL
from trading.parameters import NEVER_BP, ExecuteParameters
from trading.parent import ParentOrder
from trading.records import PLACE
from trading.session import Session

TWAP: Final = "TWAP"
ALWAYS_TAKE: Final = "always-take"
ALWAYS_POST: Final = "always-post"
EXECUTE: Final = "execute"
SLICES: Final = 20  # of the TWAP schedule
_LATE_NS: Final = 1_000_000_000  # how far before an instant the last row may be

Desk = tuple[Events, Session, SimulatedVenue]  # tape, and a session and a venue that have seen nothing of it


_COLUMNS: Final = {
    "start_ts": pl.Int64,
    "side": pl.Int64,
    "lots": pl.Int64,
    "done": pl.Int64,
    "taken": pl.Float64,
    "arrival": pl.Float64,
    "shortfall_bp": pl.Float64,
}


class Saving(NamedTuple):
    """What ``execute`` saved against a baseline, mean bp of a parent order; ``interval.verdict`` judges it."""

    baseline: str
    interval: Interval


class Comparison(NamedTuple):
    """Every way's shortfalls, one row a parent order (see ``shortfalls``), and what ``execute`` saved."""

    shortfalls: dict[str, pl.DataFrame]
    savings: list[Saving]


def ways(own: ExecuteParameters) -> dict[str, ExecuteParameters]:
    """Our settings, and those that turn the policy into each baseline; participation and sweep are the same for all."""
    deaf = replace(own, take_bp=NEVER_BP, wait_bp=NEVER_BP)
    return {
        EXECUTE: own,
        TWAP: replace(deaf, wait_bp=-NEVER_BP, behind_share=1.0 / SLICES, ahead_share=0.0),
        ALWAYS_TAKE: replace(deaf, take_bp=-NEVER_BP, wait_bp=-NEVER_BP, ahead_share=1.0),
        ALWAYS_POST: replace(deaf, behind_share=1.0, ahead_share=1.0),
    }


def staggered(
    window: Window, lots: int, span_ns: int, pause_ns: int, generator: np.random.Generator
) -> list[ParentOrder]:
    """Parent orders one after another, a buy and a sell in each pair in random order: the position stays near flat."""
    starts = range(window.start, window.end - span_ns + 1, span_ns + pause_ns)
    first = np.where(generator.random((len(starts) + 1) // 2) < 0.5, BUY, SELL)
    sides = np.column_stack([first, -first]).ravel()
    return [ParentOrder(int(side), lots, at, at + span_ns) for side, at in zip(sides, starts, strict=False)]


def compare(
    desk: Callable[[ExecuteParameters], Desk],
    own: ExecuteParameters,
    parents: Sequence[ParentOrder],
    window: Window,
    infer: InferLeg,
    generator: np.random.Generator,
) -> Comparison:
    """Each way over the same parent orders, and what ``own`` saved against each baseline.

    ``desk`` opens a fresh session and venue for some settings; the tape must be the same each time.
    Raises BacktestError if a parent order starts outside the decided rows.
    """
    found = {}
    for name, settings in ways(own).items():
        tape, session, venue = desk(settings)
        session.work(parents)
        result = run_backtest(tape, session, venue, window, infer)
        found[name] = shortfalls(result, parents, venue.instrument, venue.parameters.fees)
    return Comparison(found, savings(found, generator))


def savings(found: dict[str, pl.DataFrame], generator: np.random.Generator) -> list[Saving]:
    """Mean bp that ``execute`` saved against each other way, parent order by parent order, with its interval."""
    made = []
    for name in (name for name in found if name != EXECUTE):
        saved = (found[name]["shortfall_bp"] - found[EXECUTE]["shortfall_bp"]).to_numpy()
        block = block_length(saved, 0, 0)  # parents do not overlap
        made.append(Saving(name, interval_of(mean, saved, block, generator)))
    return made


def savings_frame(made: Sequence[Saving]) -> pl.DataFrame:
    """Savings as a table: baseline, parents, saved_bp, low_bp, high_bp, verdict."""
    rows = [
        (saving.baseline, found.observations, found.estimate, found.low, found.high, found.verdict)
        for saving in made
        for found in (saving.interval,)
    ]
    schema = {
        "baseline": pl.String,
        "parents": pl.Int64,
        "saved_bp": pl.Float64,
        "low_bp": pl.Float64,
        "high_bp": pl.Float64,
        "verdict": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def shortfalls(
    result: Result, parents: Sequence[ParentOrder], instrument: Instrument, fees: tuple[float, float]
) -> pl.DataFrame:
    """Implementation shortfall of each parent order: what it paid beyond the mid that it arrived at, fees included.

    Columns: start_ts, side, lots, done (lots filled), taken (share of them), arrival (ticks), shortfall_bp of the
    arrival value. Lots left over are valued at the touch that they would have met after the parent's end, with the
    taker's fee. For inverse contracts the shortfall is in coin. Raises BacktestError if a parent has no decided row.
    """
    fills = _fills_of(result, parents, instrument, fees)
    rows = [
        _shortfall(result.decisions, parent, fills.get(place), instrument, fees[1])
        for place, parent in enumerate(parents)
    ]
    return pl.DataFrame(rows, orient="row", schema=_COLUMNS)


def _fills_of(
    result: Result, parents: Sequence[ParentOrder], instrument: Instrument, fees: tuple[float, float]
) -> dict[int, pl.DataFrame]:
    """Fills by place of the parent order whose window their order was sent in."""
    placed = result.intents[result.intents["verb"] == PLACE]
    starts = np.array([parent.start_ts for parent in parents], np.int64)
    parent = np.searchsorted(starts, placed["sent_ts"], side="right") - 1
    owners = pl.DataFrame({"order_id": placed["order_id"], "parent": parent})
    reports = result.reports[result.reports["kind"] == FILL]
    fills = fills_frame(reports, instrument, *fees).join(owners, on="order_id", how="left", maintain_order="left")
    return {int(place): rows for (place,), rows in fills.group_by("parent") if isinstance(place, int)}


def _shortfall(
    decisions: NDArray[np.void],
    parent: ParentOrder,
    fills: pl.DataFrame | None,
    instrument: Instrument,
    taker_fee: float,
) -> tuple[int, int, int, int, float, float, float]:
    bid, ask = _touch_at(decisions, parent.start_ts)
    arrival, unit = 0.5 * (bid + ask), Ledger(instrument).unit
    each = lot_value_at(arrival, instrument.inverse) * unit
    paid, done, taken = 0.0, 0, 0.0
    if fills is not None:
        done = int(fills["qty"].sum())
        taken = float(fills.filter(~pl.col("maker"))["qty"].sum()) / done
        paid = float((fills["fee"] - fills["cash"]).sum())
    left = parent.lots - done
    if left:
        bid, ask = _touch_at(decisions, parent.end_ts)
        value = lot_value_at(float(ask if parent.side == BUY else bid), instrument.inverse) * unit
        paid += left * (parent.side * value + taker_fee * abs(value))
    shortfall_bp = 1e4 * (paid - parent.side * parent.lots * each) / (parent.lots * abs(each))
    return parent.start_ts, parent.side, parent.lots, done, taken, arrival, shortfall_bp


def _touch_at(decisions: NDArray[np.void], at: int) -> tuple[int, int]:
    """Touch in ticks of the first decided row at or past an instant that shows one, or else of the last before it."""
    quoted = (decisions["best_bid"] > 0) & (decisions["best_ask"] > 0)
    rows = decisions[quoted]
    if not rows.size or rows["row_ts"][-1] < at - _LATE_NS:
        raise BacktestError(f"no decided row shows a touch at {at}")
    place = min(int(np.searchsorted(rows["row_ts"], at)), rows.size - 1)
    return int(rows["best_bid"][place]), int(rows["best_ask"][place])
