"""A market whose future a forecaster knows in part: the simulator's planted signal, told row by row."""

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.compiled import CompiledStream, Known, Rows
from backtest.engine import Result, Window, run_backtest
from backtest.ledger import Ledger
from backtest.venue import SimulatedVenue
from features.batch import feature_rows
from features.step import new_state
from market.book import new_book
from market.clock import align, new_clock
from market.events import Events
from market.simulator.alpha import expected_return_bp
from market.simulator.layout import SIGNAL_STEP_NS
from market.simulator.parameters import AlphaParameters, FeedParameters, FlowParameters, Mode, SimulationParameters
from market.simulator.path import DAY_NS, market_path, signal_path
from market.simulator.tape import SimulatedTape
from modeling.forecast import Floats
from tests.builders_market import CLOCK, COINM_BTC
from tests.builders_trading import FEATURES, VENUE
from trading.limits import limits_of
from trading.parameters import PolicyKind, TradingParameters
from trading.ports import Strategy
from trading.session import Session

START: Final = 1_723_161_600_000_000_000
SECOND: Final = 1_000_000_000
WARM_NS: Final = 10 * SECOND  # normalisers and volatilities settle


class Planted(NamedTuple):
    """A simulated tape, its rows, and what its signal says at each of them: the mean return to come, bp."""

    tape: Events
    rows: Rows
    returns_bp: NDArray[np.float64]

    @property
    def window(self) -> Window:
        """The rows behind the warm-up."""
        return Window(START + WARM_NS, int(self.tape["ingest_ts"][-1]))

    @property
    def told(self) -> Floats:
        """The same return in each class, without any doubt."""
        mean = self.returns_bp.astype(np.float32)
        shares = np.broadcast_to(np.array([[0.3, 0.4, 0.3]], np.float32), (mean.size, 3))
        return np.column_stack([shares, mean, mean, mean, np.zeros_like(mean), np.ones_like(mean)])

    @property
    def silence(self) -> Floats:
        """A forecast that is never ready."""
        return np.zeros((self.returns_bp.size, 8), np.float32)


@cache
def planted(seconds: int, mode: Mode = "alpha", seed: int = 0) -> Planted:
    """A quick market with short queues, whose signal foresees half a deviation of the next second's return."""
    alpha = AlphaParameters(ic=0.5, horizon_s=1.0, halflife_s=1.0)
    flow = FlowParameters(orders_per_s=200.0, touch_lots=30.0, markets_per_s=3.0)
    feed = FeedParameters(stalls_per_minute=0.0)
    parameters = SimulationParameters(seed=seed, mode=mode, alpha=alpha, flow=flow, feed=feed)
    tape = np.concatenate(list(SimulatedTape(parameters, COINM_BTC, START).batches(START + seconds * SECOND)))
    align(new_clock(CLOCK), CLOCK, tape)
    made = feature_rows(tape, new_state(FEATURES), FEATURES, int(tape["ingest_ts"][-1]))
    rows = Rows(*made[:4], made.values, np.ones(made.row_ts.size, np.int8))
    day = START // DAY_NS
    since = rows.row_ts - day * DAY_NS
    signal = signal_path(parameters, day, SIGNAL_STEP_NS)[since // SIGNAL_STEP_NS]
    sigma_bp = parameters.volatility.volatility_bp * market_path(parameters, day).multiplier[since // SECOND]
    return Planted(tape, rows, np.asarray(expected_return_bp(alpha, "alpha", signal, sigma_bp), np.float64))


def desk(
    market: Planted, kind: PolicyKind, parameters: TradingParameters, forecasts: Floats
) -> tuple[Session, SimulatedVenue]:
    """A fresh session under the rules that is told ``forecasts``, a row each, and a venue."""
    limits = limits_of(parameters, COINM_BTC, kind, VENUE.fees)
    venue = SimulatedVenue(COINM_BTC, VENUE)
    strategy = Strategy(Known(), np.arange(7), limits, *VENUE.fees)
    stream = CompiledStream(new_book(), market.rows, forecasts, FEATURES)
    return Session(stream, strategy, Ledger(COINM_BTC)), venue  # type: ignore[arg-type]


def traded(market: Planted, kind: PolicyKind, parameters: TradingParameters) -> tuple[Result, Session]:
    """A policy that is told the signal, over the whole market."""
    session, venue = desk(market, kind, parameters, market.told)
    return run_backtest(market.tape, session, venue, market.window, 1_000_000), session
