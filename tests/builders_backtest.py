"""A compiled stretch of synthetic market, a desk that trades it, and small tables of fills."""

from functools import cache
from typing import Final

import numpy as np
import polars as pl

from backtest.compiled import Compiled, Rows, Terms
from backtest.engine import Window, fills_frame
from backtest.mids import MidPath, mid_path
from backtest.runs import Asked
from backtest.surface import Desk
from backtest.venue import SimulatedVenue
from features.batch import feature_rows
from features.step import new_state
from market.book import new_book
from market.instrument import Instrument
from market.orders import FILL, REPORT
from modeling.forecast import Cell, Floats, ForecastShape
from tests.builders_market import COINM_BTC, synthetic_events
from tests.builders_trading import CERTAINTY, FEATURES, TRADING, VENUE, ImbalanceForecaster
from trading.parameters import PolicyKind
from trading.records import DECISION

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
MINUTE: Final = 60 * SECOND
SHAPE: Final = ForecastShape((Cell(TRADING.horizon_ms, TRADING.budget_bp),))
ASKED: Final = Asked(TRADING.horizon_ms, (250, 1_000, 5_000, 30_000, 60_000))


@cache
def stretch(seconds: float = 16.0, open_s: int = 8) -> tuple[Compiled, Window]:
    """A stretch from a cold start, and a window that begins ``open_s`` into it; shared, so not to be changed."""
    tape = synthetic_events(seconds)
    start, end = int(tape["ingest_ts"][0]) + open_s * SECOND, int(tape["ingest_ts"][-1])
    made = feature_rows(tape, new_state(FEATURES), FEATURES, end)
    regimes = (np.arange(made.row_ts.size) // 50 % 3 + 1).astype(np.int8)
    rows = Rows(made.row_ts, made.status, made.best_bid, made.best_ask, made.values, regimes)
    book, venue = new_book(), SimulatedVenue(COINM_BTC, VENUE)
    return Compiled(tape, venue.dump(), book, rows, mid_path(book, tape)), Window(start, end)


@cache
def imbalance_forecasts() -> Floats:
    """What ``ImbalanceForecaster`` says on every row of the stretch; not to be changed."""
    forecaster, rows = ImbalanceForecaster(), stretch()[0].rows
    state = forecaster.new_state()
    said = [forecaster.step(state, values, status == 0).copy() for values, status in zip(rows[4], rows[1], strict=True)]
    return np.array(said, np.float32)


def desk(kind: PolicyKind) -> Desk:
    """Trades the stretch on the tests' terms."""
    return Desk(Terms(COINM_BTC, VENUE, stretch()[1], 0), TRADING, kind, FEATURES, SHAPE, ASKED, CERTAINTY)


def fills(instrument: Instrument, *legs: tuple[int, int, int, int, int, int], fee: float = 0.0) -> pl.DataFrame:
    """Fills of (order id, side, price, lots, maker, ns); every fill is seen when it is made."""
    reports = np.zeros(len(legs), REPORT)
    reports["kind"] = FILL
    columns = np.array(legs, np.int64).reshape(-1, 6).T
    for name, column in zip(("order_id", "side", "price", "qty", "maker", "venue_ts"), columns, strict=True):
        reports[name] = column
    reports["visible_ts"] = reports["venue_ts"]
    return fills_frame(reports, instrument, fee, fee)


def mids(*steps: tuple[int, float], end: int) -> MidPath:
    """A path of (ns, ticks)."""
    return MidPath(np.array([ts for ts, _ in steps]), np.array([mid for _, mid in steps]), end)


def decisions(row_ts: list[int], equity: list[float]) -> np.ndarray:
    """Decisions at a touch of 499,999 and 500,001 ticks."""
    records = np.zeros(len(equity), DECISION)
    records["row_ts"], records["infer_ts"], records["equity"] = row_ts, row_ts, equity
    records["decision_id"] = np.arange(len(equity))
    records["best_bid"], records["best_ask"] = 499_999, 500_001
    return records
