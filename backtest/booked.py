"""What a journal's books hold beside what its fills and its feed say: other fees, funding nobody announced."""

from typing import NamedTuple

import numpy as np

from backtest.ledger import Ledger
from backtest.resampling import Floats
from backtest.told import Told
from features.catalogue import VALID
from market.orders import FILL, MOVES, OPENING


class Beside(NamedTuple):
    """How the books of a run lie off its fills, its feed and the fees of its plan."""

    maker_fee: float  # booked beyond the plan's, fraction of a maker fill's notional
    taker_fee: float
    funding: Floats  # (rows,), paid at each row beyond what the feed tells, settlement currency


def booked_beside(told: Told) -> Beside:
    """The steps of equity that the fills, marks and fundings of the journal do not explain.

    A step at a row that saw fills of one liquidity is a fee; at a row without a fill it is funding.
    """
    steps = np.diff(rebooked(told) - told.decisions["equity"], prepend=0.0)
    maker, taker = _notionals(told)
    funding = np.where((maker == 0) & (taker == 0), steps, 0.0)
    return Beside(_rate(steps, maker, taker), _rate(steps, taker, maker), funding)


def rebooked(told: Told) -> Floats:
    """Equity after each row as the journal's own reports and events make it, at the fees of its plan."""
    ledger, mark, equity = Ledger(told.instrument), 0.0, np.zeros(told.rows.row_ts.size)
    fees = told.venue.fees
    cuts = np.searchsorted(np.maximum.accumulate(told.tape["ingest_ts"]), told.rows.row_ts, side="right")
    moves = np.isin(told.reports["kind"], MOVES)
    fills = told.reports[moves]
    seen = np.searchsorted(told.report_rows[moves], told.rows.row_ts, side="right")
    valid = told.rows.status == VALID
    for place in range(equity.size):
        before = place - 1
        ledger.on_events(told.tape[cuts[before] if place else 0 : cuts[place]])
        for fill in fills[seen[before] if place else 0 : seen[place]]:
            fee = 0.0 if fill["kind"] == OPENING else fees[0] if fill["maker"] else fees[1]
            mark = mark or float(fill["price"])  # of what was held before, until the first valid row
            ledger.book_fill(int(fill["side"]), int(fill["price"]), int(fill["qty"]), fee)
        if valid[place]:
            mark = 0.5 * (int(told.rows.best_bid[place]) + int(told.rows.best_ask[place]))
        equity[place] = ledger.equity(mark)
    return equity


def _notionals(told: Told) -> tuple[Floats, Floats]:
    """Notional of the maker and of the taker fills that each row saw, settlement currency."""
    fills = told.reports["kind"] == FILL
    worth = np.array([told.instrument.notional(int(fill["price"]), int(fill["qty"])) for fill in told.reports[fills]])
    rows = np.searchsorted(told.rows.row_ts, told.report_rows[fills])
    maker, size = told.reports["maker"][fills] == 1, told.rows.row_ts.size
    found = np.zeros((2, size))
    np.add.at(found, (np.where(maker, 0, 1), rows), worth)
    return found[0], found[1]


def _rate(steps: Floats, own: Floats, other: Floats) -> float:
    """Fee beyond the plan's, by the rows that saw fills of this liquidity alone; 0 without one."""
    alone = (own > 0) & (other == 0)
    return float(steps[alone].sum() / own[alone].sum()) if alone.any() else 0.0
