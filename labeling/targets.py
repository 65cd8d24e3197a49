"""Labels of decision rows: gross returns to regress on, round trips to classify by, at any fee.

A row decides at t, meets the venue at ``te`` = t + latencies, and leaves at tx = te + h. Every value reads the venue's
book, and is NaN with a status where the market cannot say it. Columns: row_ts, te (ns), lots, entry_mid, sell_at and
buy_at (ticks, at te), and for each horizon h in ms gross_h (t to t + h), exec_gross_h (te to te + h), spread_h and
slippage_h (costs of both legs), funding_h (what a long position pays), long_ratio_h and short_ratio_h (exit over entry
price of the round trip), status_h. Returns and costs are simple, fractions of the entry notional; for inverse
contracts in coin. Gross returns end at the mid, or at the traded VWAP where the settings say so.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from labeling.funding import paid_by_longs
from labeling.parameters import Anchor, LabelParameters
from labeling.replay import (
    BOOK_CLOSED,
    BUY_AT,
    DEPTH_SHORT,
    GAP_INSIDE,
    MID,
    NO_FEE,
    NO_MARK,
    NO_PRINT,
    OK,
    PAST_END,
    SELL_AT,
    Labels,
    Rows,
    label_tape,
)
from labeling.trips import DOWN as DOWN
from labeling.trips import NO_CLASS as NO_CLASS
from labeling.trips import NO_TRADE as NO_TRADE
from labeling.trips import UP as UP
from labeling.trips import both_nets, classify, classify_unfunded
from labeling.venue_order import Tape, venue_tape
from labeling.vwap import traded_vwap
from labeling.walks import Sizing
from market.book import Book, new_book
from market.costs import leg_fee
from market.errors import DataError
from market.events import Events, empty_events
from market.funding import payments
from market.instrument import Contract, Instrument

Floats = NDArray[np.float64]

STATUS_NAMES: Final = {
    OK: "ok",
    DEPTH_SHORT: "depth short",
    PAST_END: "past the end of the tape",
    GAP_INSIDE: "gap inside",
    BOOK_CLOSED: "book closed",
    NO_PRINT: "no trade to exit at",
    NO_FEE: "no fee for the date",
    NO_MARK: "no mark to pay funding on",
}
READABLE: Final = np.isin(np.arange(len(STATUS_NAMES)), (OK, DEPTH_SHORT, NO_PRINT, NO_MARK))  # by status


def label_rows(
    events: Events,
    row_ts: NDArray[np.int64],
    parameters: LabelParameters,
    instrument: Instrument,
    book: Book | None,
    *,
    latency_ns: NDArray[np.int64] | None = None,
) -> pl.DataFrame:
    """One row of labels for each of ``row_ts``; see the module for the columns.

    ``book`` is the venue's book before the first event (None: closed) and is left alone. The tape has to run past
    the last row by the latency, the longest horizon and the longest delay, or the rows at its end are PAST_END.
    latency_ns : from each row to its entry, shape (N,); None: ``parameters.latency_ns`` for all
    Raises DataError if ``row_ts`` does not rise, or a latency is below 0.
    """
    instants = _instants(row_ts, parameters.latency_ns if latency_ns is None else latency_ns)
    tape = venue_tape(np.ascontiguousarray(events))
    horizons_ns = np.array(parameters.horizons_ms, dtype=np.int64) * 1_000_000
    opening = new_book() if book is None else (book[0].copy(), book[1].copy(), book[2].copy())
    known, labels, told = label_tape(tape, instants, horizons_ns, _sizing(parameters, instrument), opening)
    if parameters.exit == "vwap":
        _leave_at_vwap(tape, instants[1], horizons_ns, instrument.inverse, known, labels)
    if parameters.target == "vwap":
        labels = _aimed_at_vwap(tape, instants, horizons_ns, instrument.inverse, known, labels)
    heard = tape.events[np.sort(tape.order[told])]  # in the order of arrival
    funding = _funding(heard, instants, horizons_ns, instrument, known, labels)
    return _table(*instants, known, labels, parameters, funding)


def _instants(
    row_ts: NDArray[np.int64], latency_ns: int | NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each row decides, and when it meets the venue."""
    rows = np.array(row_ts, dtype=np.int64)
    if np.any(rows[1:] <= rows[:-1]):
        raise DataError("row_ts of labels must rise from row to row")
    if isinstance(latency_ns, np.ndarray) and (latency_ns.shape != rows.shape or np.any(latency_ns < 0)):
        raise DataError(f"latency_ns of shape {latency_ns.shape} must hold {rows.size} values, none below 0")
    return rows, rows + latency_ns


def _sizing(parameters: LabelParameters, instrument: Instrument) -> Sizing:
    lot_value = instrument.lot_value if instrument.inverse else instrument.lot_value * instrument.tick_size
    return Sizing(float(parameters.order_notional_usd), float(lot_value), instrument.inverse, parameters.exit == "walk")


def _leave_at_vwap(
    tape: Tape, te: NDArray[np.int64], horizons_ns: NDArray[np.int64], inverse: bool, known: Rows, labels: Labels
) -> None:
    """Write the ratios of round trips that end at the traded VWAP of (te, te + h]."""
    for h, horizon in enumerate(horizons_ns):
        vwap = traded_vwap(tape, te, te + horizon, inverse)
        labels.status[h][(labels.status[h] == OK) & np.isnan(vwap)] = NO_PRINT
        readable = _readable(labels.status[h])
        labels.long_ratio[h] = np.where(readable, vwap / known.entry[BUY_AT], np.nan)
        labels.short_ratio[h] = np.where(readable, vwap / known.entry[SELL_AT], np.nan)


def _aimed_at_vwap(
    tape: Tape,
    instants: tuple[NDArray[np.int64], NDArray[np.int64]],
    horizons_ns: NDArray[np.int64],
    inverse: bool,
    known: Rows,
    labels: Labels,
) -> Labels:
    """Labels whose gross returns lead from the mid to the traded VWAP of (t, t + h], and of (te, te + h]."""
    gross, mids = [], (known.mids, known.entry[MID])
    for ts, mid in zip(instants, mids, strict=True):
        vwaps = [traded_vwap(tape, ts, ts + horizon, inverse) for horizon in horizons_ns]
        returns = [1.0 - mid / vwap if inverse else vwap / mid - 1.0 for vwap in vwaps]
        gross.append(
            np.array(
                [np.where(_readable(labels.status[h]), each, np.nan) for h, each in enumerate(returns)], np.float32
            )
        )
    return labels._replace(gross=gross[0], exec_gross=gross[1])


def _readable(status: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return READABLE[status]


def _funding(
    heard: Events,
    instants: tuple[NDArray[np.int64], NDArray[np.int64]],
    horizons_ns: NDArray[np.int64],
    instrument: Instrument,
    known: Rows,
    labels: Labels,
) -> list[Floats]:
    """What a long position pays, by horizon, and NO_MARK written where that is not known; NaN where nothing is."""
    paid = payments(empty_events(0) if instrument.contract == "spot" else heard, instrument.tick_size)
    charged = [np.where(READABLE, 0.0, np.nan)[status] for status in labels.status]
    for h, horizon in enumerate(horizons_ns if paid.ts.size else ()):
        charged[h] += paid_by_longs(paid, instants, int(horizon), known.entry[MID], instrument.inverse)
        labels.status[h][(labels.status[h] == OK) & np.isnan(charged[h])] = NO_MARK
    return charged


def _table(
    rows: NDArray[np.int64],
    te: NDArray[np.int64],
    known: Rows,
    labels: Labels,
    parameters: LabelParameters,
    funding: list[Floats],
) -> pl.DataFrame:
    entry = {name: known.entry[at] for name, at in (("entry_mid", MID), ("sell_at", SELL_AT), ("buy_at", BUY_AT))}
    columns: dict[str, NDArray[np.generic]] = {"row_ts": rows, "te": te, "lots": known.lots, **entry}
    for h, horizon_ms in enumerate(parameters.horizons_ms):
        columns |= {f"{name}_{horizon_ms}": getattr(labels, name)[h] for name in Labels._fields[:4]}
        columns[f"funding_{horizon_ms}"] = funding[h]
        columns |= {f"{name}_{horizon_ms}": getattr(labels, name)[h] for name in Labels._fields[4:]}
    return pl.DataFrame(columns)


def net_returns(table: pl.DataFrame, horizon_ms: int, fee: float, contract: Contract) -> tuple[Floats, Floats]:
    """Net returns of the long and the short round trip per entry notional, both legs at ``fee``; NaN where unknown.

    In the settlement currency, funding included: what the ledger books, divided by the value of the entry fill.
    """
    ratios = _ratios(table, horizon_ms)
    funding = _funding_of_sides(table, horizon_ms, contract)
    nets = (np.empty(table.height), np.empty(table.height))
    both_nets(ratios, funding, float(fee), contract == "inverse", nets)
    return nets


def _ratios(table: pl.DataFrame, horizon_ms: int) -> tuple[Floats, Floats]:
    return table[f"long_ratio_{horizon_ms}"].to_numpy(), table[f"short_ratio_{horizon_ms}"].to_numpy()


def _funding_of_sides(table: pl.DataFrame, horizon_ms: int, contract: Contract) -> tuple[Floats, Floats]:
    """Funding as a fraction of each side's own entry value, which the walk of the entry moved off the mid."""
    paid, mid = table[f"funding_{horizon_ms}"].to_numpy(), table["entry_mid"].to_numpy()
    sides = (table["buy_at"].to_numpy(), table["sell_at"].to_numpy())
    if contract == "inverse":
        return paid * sides[0] / mid, paid * sides[1] / mid
    return paid * mid / sides[0], paid * mid / sides[1]


def classes(
    table: pl.DataFrame, horizon_ms: int, budget_bp: float, margin_bp: float, contract: Contract
) -> NDArray[np.int8]:
    """UP, DOWN or NO_TRADE by the net return of the better side above the margin; NO_CLASS where status is not ok."""
    return classes_by_budget(table, horizon_ms, (budget_bp,), margin_bp, contract)[0]


def classes_by_budget(
    table: pl.DataFrame, horizon_ms: int, budgets_bp: tuple[float, ...], margin_bp: float, contract: Contract
) -> NDArray[np.int8]:
    """The classes of one horizon at every budget, shape (B, N), in one pass."""
    found = np.empty((len(budgets_bp), table.height), np.int8)
    rule = (np.array([leg_fee(budget) for budget in budgets_bp]), margin_bp * 1e-4, contract == "inverse")
    classify_unfunded(_ratios(table, horizon_ms), table[f"status_{horizon_ms}"].to_numpy(), *rule, found)
    funded = np.flatnonzero(np.abs(table[f"funding_{horizon_ms}"].to_numpy()) > 0)  # NaN: no class either way
    if funded.size:
        few = table[funded]
        status, again = few[f"status_{horizon_ms}"].to_numpy(), np.empty((len(budgets_bp), funded.size), np.int8)
        classify(_ratios(few, horizon_ms), _funding_of_sides(few, horizon_ms, contract), status, *rule, again)
        found[:, funded] = again
    return found


def priced(
    table: pl.DataFrame, horizon_ms: int, budget_bp: float | None, parameters: LabelParameters, contract: Contract
) -> pl.DataFrame:
    """What one horizon costs and returns at one budget: fee, net_long, net_short, class, depth_short, te, tx, status.

    budget_bp : of both legs; None where the fee table has no entry for the date
    fee is a fraction of notional; fee, nets and class are null where the status is not "ok".
    """
    status = table[f"status_{horizon_ms}"].to_numpy()
    budget = float("nan") if budget_bp is None else budget_bp
    if budget_bp is None:
        status = np.where(status == OK, NO_FEE, status).astype(np.uint8)
    long, short = net_returns(table, horizon_ms, leg_fee(budget), contract)
    known = pl.Series(status == OK)
    found = pl.DataFrame(
        {
            "te": table["te"],
            "tx": table["te"] + horizon_ms * 1_000_000,
            "fee": np.full(table.height, budget * 1e-4),
            "net_long": long,
            "net_short": short,
            "class": classes(table, horizon_ms, budget, parameters.margin_bp, contract),
            "depth_short": status == DEPTH_SHORT,
            "status": [STATUS_NAMES[code] for code in status.tolist()],
        }
    )
    return found.with_columns(pl.when(known).then(pl.col("fee", "net_long", "net_short", "class")))


def regression_target(table: pl.DataFrame, horizon_ms: int, anchor: Anchor) -> NDArray[np.float32]:
    """The gross return that trains, a fraction of notional; NaN where unknown. It holds no fee."""
    name = "exec_gross" if anchor == "executable" else "gross"
    return table[f"{name}_{horizon_ms}"].to_numpy()


def tradeable_grid(table: pl.DataFrame, parameters: LabelParameters, contract: Contract) -> pl.DataFrame:
    """Shares of each class by horizon and budget, and whether enough rows are worth a trade to train on.

    Columns horizon_ms, budget_bp, rows (with a class), up, down, no_trade (shares of rows, NaN without any),
    tradeable: up + down reach ``parameters.min_tradeable_share``.
    """
    return grid_of_counts(class_counts(table, parameters, contract), parameters)


def class_counts(table: pl.DataFrame, parameters: LabelParameters, contract: Contract) -> NDArray[np.int64]:
    """Rows of each class, shape (horizons, budgets, 3): up, down, no trade. Those of parts of a table add up."""
    return np.array([_counts(table, horizon, parameters, contract) for horizon in parameters.horizons_ms], np.int64)


def _counts(table: pl.DataFrame, horizon_ms: int, parameters: LabelParameters, contract: Contract) -> list[list[int]]:
    found = classes_by_budget(table, horizon_ms, parameters.fee_budgets_bp, parameters.margin_bp, contract)
    return [[int(np.count_nonzero(row == label)) for label in (UP, DOWN, NO_TRADE)] for row in found]


def grid_of_counts(counts: NDArray[np.int64], parameters: LabelParameters) -> pl.DataFrame:
    """``tradeable_grid`` of rows that were counted by ``class_counts``."""
    cells = [
        _cell(horizon, budget, counts[h, b].tolist(), parameters)
        for h, horizon in enumerate(parameters.horizons_ms)
        for b, budget in enumerate(parameters.fee_budgets_bp)
    ]
    return pl.DataFrame(cells)


def _cell(
    horizon_ms: int, budget_bp: float, counts: list[int], parameters: LabelParameters
) -> dict[str, float | int | bool]:
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
