"""One run with all that is said of it: orders, fills, figures of the whole and its parts, markouts, what survived."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from backtest.compiled import Compiled, Terms, Trace
from backtest.engine import Result, fills_frame, orders_frame
from backtest.implementability import Implementability, implementability, signals
from backtest.markouts import markouts
from backtest.performance import Figures, Performance, Steps, figures, performance, steps_of, valuation
from backtest.served import NOTHING_CAME, Came, Served, served
from features.regimes import REGIME_NAMES
from market.units import NS_PER_MS
from modeling.training_rows import heard_until

KEYS: Final = {"run": pl.String, "scope": pl.String, "group": pl.String}


class Asked(NamedTuple):
    """What a report looks at beside the run itself."""

    horizon_ms: int  # of the forecast that was traded
    markouts_ms: Sequence[int]
    delay_ms: float = 0.0  # from a decision to where the return of its interval begins
    came: Came = NOTHING_CAME  # what the sets of classes are judged by


class Run(NamedTuple):
    """One strategy's run and its figures."""

    name: str
    symbol: str
    result: Result
    orders: pl.DataFrame  # see orders_frame
    fills: pl.DataFrame  # see fills_frame
    steps: Steps
    performance: Performance
    markouts: pl.DataFrame  # see backtest.markouts
    implementability: Implementability
    served: Served


def judged(name: str, trace: Trace, compiled: Compiled, terms: Terms, asked: Asked) -> Run:
    """A run, and everything that can be said of it alone."""
    instrument, result = terms.instrument, trace.result
    fills = fills_frame(result.reports, instrument, *terms.venue.fees)
    orders = orders_frame(trace.orders, result.intents, fills, instrument)
    decided = np.searchsorted(compiled.rows.row_ts, result.decisions["row_ts"])
    regimes = compiled.rows.regime[decided]
    steps = steps_of(
        result.decisions, fills, compiled.mids, regimes, instrument, asked.horizon_ms, funding=result.funding
    )
    valued = valuation(result.decisions, compiled.tape, instrument)
    whole = performance(steps, valued, result, instrument)
    after = markouts(fills, compiled.mids, asked.markouts_ms, instrument)
    signalled = signals(result.decisions, result.intents)
    horizon_ms, decisions = asked.horizon_ms, result.decisions
    survived = implementability(signalled, fills, compiled.mids, horizon_ms, instrument, decisions=decisions)
    begins = round(asked.delay_ms * NS_PER_MS)
    over_ts = heard_until(decisions["row_ts"], compiled.tape["ingest_ts"], compiled.tape["delay_ns"])
    sure = served(decisions, over_ts, (begins, begins + horizon_ms * NS_PER_MS), instrument.inverse, asked.came)
    return Run(name, instrument.name, result, orders, fills, steps, whole, after, survived, sure)


def grouped(runs: Sequence[Run]) -> pl.DataFrame:
    """Figures of every run by symbol, regime and UTC hour: ``run``, ``scope``, ``group``, ``currency``, then Figures.

    Runs of one name are one strategy on several symbols; each symbol's figures are in its own settlement currency,
    so no row adds two of them up.
    """
    rows = [
        {"run": run.name, "scope": scope, "group": group, "currency": run.performance.currency, **found.as_dict()}
        for run in runs
        for scope, group, found in _parts(run)
    ]
    return pl.DataFrame(rows, schema_overrides=KEYS, infer_schema_length=None)


def _parts(run: Run) -> list[tuple[str, str, Figures]]:
    regimes = {REGIME_NAMES[code]: steps for code, steps in run.steps.by("regime").items()}
    hours = {f"{hour:02d}": steps for hour, steps in run.steps.by("hour").items()}
    whole = figures(run.steps)
    parts = [("regime", name, figures(steps)) for name, steps in regimes.items()]
    parts += [("hour", name, figures(steps)) for name, steps in hours.items()]
    return [("symbol", run.symbol, whole), *parts]
