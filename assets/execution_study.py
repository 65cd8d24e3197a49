"""What working a parent order by the model's forecast saves over a window: the table of the tear sheet."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.studies import Case
from backtest.compiled import legs_in_force, market_on, opened
from backtest.engine import Window
from backtest.execution import Desk, compare, savings_frame, staggered
from backtest.venue import SimulatedVenue
from trading.parameters import ExecuteParameters
from trading.sizing import lots_of

PARENT_NS: Final = 5_000_000_000  # from the start of a parent order to its end
PAUSE_NS: Final = 1_000_000_000  # from there to the next
MOST_PARENTS: Final = 60  # of the window's beginning; each is worked in four ways


def execution_table(case: Case) -> pl.DataFrame | None:
    """bp saved a parent against TWAP, always-take and always-post, with intervals (see ``savings_frame``).

    A parent is worth the risk cap, buys and sells alternate in random order. None where the window's quoted rows are
    too short for one, or the cap for one lot.
    """
    span, lots = _working_span(case), _parent_lots(case)
    if span is None or lots == 0:
        return None
    terms = case.desk.terms
    parents = staggered(span, lots, PARENT_NS, PAUSE_NS, np.random.default_rng(0))[:MOST_PARENTS]
    until = Window(span.start, min(terms.window.end, parents[-1].end_ts + PAUSE_NS))
    own, resampling = case.desk.trading.execute, np.random.default_rng(1)
    legs = legs_in_force(terms, case.stretch.tape)
    infer = legs.infer_ns if legs else terms.infer_latency_ns
    found = compare(_desks(case), own, parents, until, infer, resampling)
    return savings_frame(found.savings)


def _quoted(case: Case) -> NDArray[np.intp]:
    """Places of the window's rows that show both sides."""
    rows, window = case.stretch.rows, case.desk.terms.window
    inside = (rows.row_ts >= window.start) & (rows.row_ts < window.end)
    return np.flatnonzero(inside & (rows.best_bid > 0) & (rows.best_ask > 0))


def _working_span(case: Case) -> Window | None:
    """From the first quoted row of the window to the last, if a parent order fits in."""
    stamps = case.stretch.rows.row_ts[_quoted(case)]
    if not stamps.size or int(stamps[-1] - stamps[0]) < PARENT_NS:
        return None
    return Window(int(stamps[0]), int(stamps[-1]))


def _parent_lots(case: Case) -> int:
    quoted, rows, instrument = _quoted(case), case.stretch.rows, case.desk.terms.instrument
    if not quoted.size:
        return 0
    mid = 0.5 * float(rows.best_bid[quoted[0]] + rows.best_ask[quoted[0]])
    cap_usd = case.desk.trading.sizing.risk_cap_usd
    return int(lots_of(cap_usd, mid, instrument.lot_value, instrument.tick_size, instrument.inverse))


def _desks(case: Case) -> Callable[[ExecuteParameters], Desk]:
    def fresh(settings: ExecuteParameters) -> Desk:
        desk, stretch, forecasts = case
        own = replace(desk, kind="execute", trading=replace(desk.trading, execute=settings))
        legs = legs_in_force(desk.terms, stretch.tape)
        venue = opened(SimulatedVenue(desk.terms.instrument, desk.terms.venue, legs), stretch.venue)
        market = market_on(stretch, forecasts, own.strategy, own.features, venue)
        return market.tape, market.session, venue

    return fresh
