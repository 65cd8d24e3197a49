"""Labels of decision rows: gross returns to regress on, round trips to classify by, at any fee.

A row decides at t, meets the venue at ``te`` = t + latencies, and leaves at te + h. Every value reads the venue's
book, and is NaN with a status where the market cannot say it. Columns, h in ms: row_ts, te (ns), lots,
and for each horizon gross_h (mid, t to t + h), exec_gross_h (mid, te to te + h), spread_h and slippage_h (costs of
both legs), long_ratio_h and short_ratio_h (exit over entry price of the round trip), status_h. Returns and costs are
simple, fractions of the entry notional; for inverse contracts in coin.
"""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from labeling.parameters import Anchor, Exit, LabelParameters
from labeling.replay import (
    BOOK_CLOSED,
    BUY_AT,
    DEPTH_SHORT,
    GAP_INSIDE,
    HALF_SPREAD,
    MID,
    NO_PRINT,
    OK,
    PAST_END,
    SELL_AT,
    Samples,
    Sizing,
    Tape,
    sample_book,
    venue_tape,
)
from market.book import Book, new_book
from market.costs import leg_fee
from market.errors import DataError
from market.events import TRADE, Events
from market.instrument import Contract, Instrument

Floats = NDArray[np.float64]

DOWN: Final = -1
NO_TRADE: Final = 0
UP: Final = 1
NO_CLASS: Final = -128

STATUS_NAMES: Final = {
    OK: "ok",
    DEPTH_SHORT: "depth short",
    PAST_END: "past the end of the tape",
    GAP_INSIDE: "gap inside",
    BOOK_CLOSED: "book closed",
    NO_PRINT: "no trade to exit at",
}


def label_rows(
    events: Events, row_ts: NDArray[np.int64], parameters: LabelParameters, instrument: Instrument, book: Book | None
) -> pl.DataFrame:
    """One row of labels for each of ``row_ts``; see the module for the columns.

    ``book`` is the venue's book before the first event (None: closed) and is left alone. The tape has to run past
    the last row by ``parameters.longest_ns`` and the longest delay, or the rows at its end are PAST_END.
    Raises DataError if ``row_ts`` does not rise.
    """
    rows = np.array(row_ts, dtype=np.int64)
    if np.any(np.diff(rows) <= 0):
        raise DataError("row_ts of labels must rise from row to row")
    tape = venue_tape(np.ascontiguousarray(events))
    horizons_ns = np.array(parameters.horizons_ms, dtype=np.int64) * 1_000_000
    opening = new_book() if book is None else (book[0].copy(), book[1].copy(), book[2].copy())
    samples = sample_book(tape, rows, parameters.latency_ns, horizons_ns, _sizing(parameters, instrument), opening)
    te = rows + parameters.latency_ns
    columns: dict[str, NDArray[np.generic]] = {"row_ts": rows, "te": te, "lots": samples.lots}
    for h, horizon_ms in enumerate(parameters.horizons_ms):
        vwap = traded_vwap(tape, te, te + horizons_ns[h], instrument.inverse) if parameters.exit == "vwap" else None
        values = _horizon_columns(samples, h, instrument.inverse, parameters.exit, vwap)
        columns |= {f"{name}_{horizon_ms}": column for name, column in values.items()}
    return pl.DataFrame(columns)


def _sizing(parameters: LabelParameters, instrument: Instrument) -> Sizing:
    lot_value = instrument.lot_value if instrument.inverse else instrument.lot_value * instrument.tick_size
    return Sizing(float(parameters.order_notional_usd), float(lot_value), instrument.inverse, parameters.exit == "walk")


def _horizon_columns(
    samples: Samples, h: int, inverse: bool, leg: Exit, vwap: Floats | None
) -> dict[str, NDArray[np.generic]]:
    enter, leave, status = samples.entry.T, samples.exits[h].T, samples.status[h]
    sell_at, buy_at = leave[SELL_AT], leave[BUY_AT]
    spread, slippage = _crossing(enter), _walking(enter)
    if leg == "walk":
        spread, slippage = spread + _crossing(leave), slippage + _walking(leave)
    else:
        sell_at = buy_at = leave[MID] if vwap is None else vwap
        status = np.where((status == OK) & np.isnan(sell_at), NO_PRINT, status).astype(np.uint8)
    values = {
        "gross": _simple_return(samples.decision, samples.anchors[h], inverse),
        "exec_gross": _simple_return(enter[MID], leave[MID], inverse),
        "spread": spread,
        "slippage": slippage,
        "long_ratio": sell_at / enter[BUY_AT],
        "short_ratio": buy_at / enter[SELL_AT],
    }
    readable = np.isin(status, (OK, DEPTH_SHORT, NO_PRINT))
    return {name: np.where(readable, value, np.nan) for name, value in values.items()} | {"status": status}


def _simple_return(enter: Floats, leave: Floats, inverse: bool) -> Floats:
    return 1.0 - enter / leave if inverse else leave / enter - 1.0


def _crossing(sample: Floats) -> Floats:
    """Half the spread, a fraction of the mid."""
    return sample[HALF_SPREAD] / sample[MID]


def _walking(sample: Floats) -> Floats:
    """What the order pays beyond the touch, the mean of both sides, a fraction of the mid."""
    return ((sample[BUY_AT] - sample[SELL_AT]) / 2 - sample[HALF_SPREAD]) / sample[MID]


def traded_vwap(tape: Tape, after: NDArray[np.int64], until: NDArray[np.int64], inverse: bool) -> Floats:
    """Price in ticks at which all that traded in (after, until] is worth what it traded for; NaN without a trade.

    The average by lots; harmonic for inverse contracts, as their value is.
    """
    traded = tape.events["kind"][tape.order] == TRADE
    trades, times = tape.events[tape.order[traded]], tape.times[traded]
    spans = (np.searchsorted(times, after, side="right"), np.searchsorted(times, until, side="right"))
    lots = _sum_within(trades["qty"], *spans)
    value = _sum_within(trades["qty"] / trades["price"] if inverse else trades["qty"] * trades["price"], *spans)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is meant
        average: Floats = lots / value if inverse else value / lots
    return average


def _sum_within(amounts: NDArray[Any], first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[Any]:
    running = np.concatenate((np.zeros(1, amounts.dtype), np.cumsum(amounts)))
    return running[last] - running[first]


def net_returns(table: pl.DataFrame, horizon_ms: int, fee: float, contract: Contract) -> tuple[Floats, Floats]:
    """Net returns of the long and the short round trip per entry notional, both legs at ``fee``; NaN where unknown.

    In the settlement currency: what the ledger books, divided by the value of the entry fill.
    """
    long_ratio = table[f"long_ratio_{horizon_ms}"].to_numpy()
    short_ratio = table[f"short_ratio_{horizon_ms}"].to_numpy()
    if contract == "inverse":
        return (1 - fee) - (1 + fee) / long_ratio, (1 - fee) / short_ratio - (1 + fee)
    return (1 - fee) * long_ratio - (1 + fee), (1 - fee) - (1 + fee) * short_ratio


def classes(
    table: pl.DataFrame, horizon_ms: int, budget_bp: float, margin_bp: float, contract: Contract
) -> NDArray[np.int8]:
    """UP, DOWN or NO_TRADE by the net return of the better side above the margin; NO_CLASS where status is not ok."""
    up, down = net_returns(table, horizon_ms, leg_fee(budget_bp), contract)
    margin = margin_bp * 1e-4
    side = np.where(up >= down, UP, DOWN)
    chosen = np.where(np.maximum(up, down) > margin, side, NO_TRADE)
    known = table[f"status_{horizon_ms}"].to_numpy() == OK
    return np.where(known, chosen, NO_CLASS).astype(np.int8)


def regression_target(table: pl.DataFrame, horizon_ms: int, anchor: Anchor) -> Floats:
    """The gross return that trains, a fraction of notional; NaN where unknown. It holds no fee."""
    name = "exec_gross" if anchor == "executable" else "gross"
    return table[f"{name}_{horizon_ms}"].to_numpy()


def tradeable_grid(table: pl.DataFrame, parameters: LabelParameters, contract: Contract) -> pl.DataFrame:
    """Shares of each class by horizon and budget, and whether enough rows are worth a trade to train on.

    Columns horizon_ms, budget_bp, rows (with a class), up, down, no_trade (shares of rows, NaN without any),
    tradeable: up + down reach ``parameters.min_tradeable_share``.
    """
    cells = [(h, budget) for h in parameters.horizons_ms for budget in parameters.fee_budgets_bp]
    return pl.DataFrame([_cell(table, h, budget, parameters, contract) for h, budget in cells])


def _cell(
    table: pl.DataFrame, horizon_ms: int, budget_bp: float, parameters: LabelParameters, contract: Contract
) -> dict[str, float | int | bool]:
    labels = classes(table, horizon_ms, budget_bp, parameters.margin_bp, contract)
    counts = [int(np.count_nonzero(labels == label)) for label in (UP, DOWN, NO_TRADE)]
    rows = sum(counts)
    up, down, no_trade = (count / rows if rows else float("nan") for count in counts)
    return {
        "horizon_ms": horizon_ms,
        "budget_bp": float(budget_bp),
        "rows": rows,
        "up": up,
        "down": down,
        "no_trade": no_trade,
        "tradeable": rows > 0 and up + down >= parameters.min_tradeable_share,
    }
