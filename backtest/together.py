"""Many symbols on one clock: each desk on its own market, all under one account where there is one; and their total.

A total adds money of one currency: the settlement currency where all share it, else quote currency, each symbol's at
the price that its own figures state.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from backtest.compiled import Compiled, Trace, legs_in_force, market_on, opened
from backtest.engine import Market, run_markets
from backtest.performance import Figures, Steps, figures
from backtest.portfolio import Portfolio, PortfolioGateway
from backtest.runs import Run, judged
from backtest.surface import Desk
from backtest.venue import SimulatedVenue
from market.errors import BacktestError
from modeling.forecast import Floats

_MONEY: Final[Mapping[str, tuple[str, ...]]] = {
    "rows": ("net", "funding"),
    "fills": ("notional", "fee", "cash", "off_mid"),
    "trips": ("net", "entry"),
}
_STAMPS: Final = {"rows": "row_ts", "fills": "visible_ts", "trips": "start_ts"}


class Seat(NamedTuple):
    """One symbol of a run of many."""

    desk: Desk
    stretch: Compiled
    forecasts: Floats


class Total(NamedTuple):
    """Figures of all symbols together."""

    currency: str  # that their money is in, and at what it was valued
    figures: Figures


def run_together(seats: Sequence[Seat], account: Portfolio | None = None) -> list[Run]:
    """Every seat's run, decided row by row in the order of time over all of them; of one name, its policy's.

    account : which refuses what it cannot carry; None: each symbol has means of its own, without limit
    Raises BacktestError if there is no seat, or their windows differ, or as ``run_markets`` does.
    """
    windows = {seat.desk.terms.window for seat in seats}
    if len(windows) != 1:
        raise BacktestError(f"{len(seats)} symbols over {len(windows)} windows: one window is allowed")
    markets, venues = zip(*(_seated(seat, account) for seat in seats), strict=True)
    results = run_markets(markets, windows.pop(), 0)
    return [
        judged(seat.desk.kind, Trace(result, venue.orders), seat.stretch, seat.desk.terms, seat.desk.asked)
        for seat, venue, result in zip(seats, venues, results, strict=True)
    ]


def _seated(seat: Seat, account: Portfolio | None) -> tuple[Market, SimulatedVenue]:
    desk, compiled, forecasts = seat
    terms, legs = desk.terms, legs_in_force(desk.terms, compiled.tape)
    gateway: SimulatedVenue | PortfolioGateway = (
        account.open(terms.instrument, terms.venue, legs)
        if account
        else SimulatedVenue(terms.instrument, terms.venue, legs)
    )
    venue = gateway.venue if isinstance(gateway, PortfolioGateway) else gateway
    opened(venue, compiled.venue)
    market = market_on(compiled, forecasts, desk.strategy, desk.features, gateway)
    return market._replace(infer=legs.infer_ns if legs else terms.infer_latency_ns), venue


def total_of(runs: Sequence[Run]) -> Total:
    """The figures of all runs together, as if one account had booked them row by row in the order of time."""
    settlements = {run.performance.currency for run in runs}
    quotes = {run.performance.quote for run in runs}
    shared = len(settlements) == 1
    prices = [1.0 if shared else run.performance.settlement_price for run in runs]
    parts = {
        name: pl.concat(
            [_worth(getattr(run.steps, name), name, price) for run, price in zip(runs, prices, strict=True)]
        ).sort(_STAMPS[name], maintain_order=True)
        for name in _MONEY
    }
    horizon_ms = max(run.steps.horizon_ms for run in runs)
    return Total(_currency(settlements, quotes, shared), figures(Steps(**parts, horizon_ms=horizon_ms)))


def _worth(frame: pl.DataFrame, name: str, price: float) -> pl.DataFrame:
    return frame.with_columns(pl.col(column) * price for column in _MONEY[name])


def _currency(settlements: set[str], quotes: set[str], shared: bool) -> str:
    if shared:
        return settlements.pop()
    first, *others = sorted(quotes)
    at_par = f", {' and '.join(others)} at par" if others else ""
    return f"{first}{at_par}, coin at each symbol's stated price"
