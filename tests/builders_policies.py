"""A market whose future a forecaster knows in part: the simulator's planted signal, told row by row."""

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.engine import Result, Window, run_backtest
from backtest.ledger import Ledger
from backtest.venue import SimulatedVenue
from features.stream import FeatureStream
from market.clock import align, new_clock
from market.events import Events
from market.simulator.alpha import expected_return_bp
from market.simulator.layout import SIGNAL_STEP_NS
from market.simulator.parameters import AlphaParameters, FeedParameters, FlowParameters, Mode, SimulationParameters
from market.simulator.path import DAY_NS, market_path, signal_path
from market.simulator.tape import SimulatedTape
from tests.builders_market import CLOCK, COINM_BTC
from tests.builders_trading import FEATURES, VENUE
from trading.limits import limits_of
from trading.parameters import PolicyKind, TradingParameters
from trading.session import Forecaster, Session, Strategy
from trading.strategy import NoForecast

START: Final = 1_723_161_600_000_000_000
SECOND: Final = 1_000_000_000
ROW_NS: Final = FEATURES.row_interval_ms * 1_000_000
WARM_NS: Final = 10 * SECOND  # normalisers and volatilities settle


class Planted(NamedTuple):
    """A simulated tape, and what its signal says at each row: the mean return to come, bp."""

    tape: Events
    returns_bp: NDArray[np.float64]

    @property
    def window(self) -> Window:
        """The rows behind the warm-up."""
        return Window(START + WARM_NS, int(self.tape["ingest_ts"][-1]))


@cache
def planted(seconds: int, mode: Mode = "alpha", seed: int = 0) -> Planted:
    """A quick market with short queues, whose signal foresees half a deviation of the next second's return."""
    alpha = AlphaParameters(ic=0.5, horizon_s=1.0, halflife_s=1.0)
    flow = FlowParameters(orders_per_s=200.0, touch_lots=30.0, markets_per_s=3.0)
    feed = FeedParameters(stalls_per_minute=0.0)
    parameters = SimulationParameters(seed=seed, mode=mode, alpha=alpha, flow=flow, feed=feed)
    tape = np.concatenate(list(SimulatedTape(parameters, COINM_BTC, START).batches(START + seconds * SECOND)))
    align(new_clock(CLOCK), CLOCK, tape)
    first_row = -(-int(tape["ingest_ts"][0]) // ROW_NS) * ROW_NS
    rows = np.arange(first_row, int(tape["ingest_ts"][-1]) + ROW_NS, ROW_NS)
    day = START // DAY_NS
    since = rows - day * DAY_NS
    signal = signal_path(parameters, day, SIGNAL_STEP_NS)[since // SIGNAL_STEP_NS]
    sigma_bp = parameters.volatility.volatility_bp * market_path(parameters, day).multiplier[since // SECOND]
    return Planted(tape, np.asarray(expected_return_bp(alpha, "alpha", signal, sigma_bp), np.float64))


class ToldForecaster:
    """Says at each row what it was told to say: a mean return without any doubt."""

    receptive_rows = 1

    def __init__(self, returns_bp: NDArray[np.float64]) -> None:
        self.returns_bp = returns_bp

    def new_state(self) -> NDArray[np.int64]:
        """The row that comes next."""
        return np.zeros(1, np.int64)

    def step(self, state: NDArray[np.int64], values: NDArray[np.float32], valid: bool) -> NDArray[np.float32]:
        """The same return in each class."""
        mean = self.returns_bp[state[0]]
        state[0] += 1
        return np.array([0.3, 0.4, 0.3, mean, mean, mean, 1.0], np.float32)


def desk(
    kind: PolicyKind, parameters: TradingParameters, forecaster: Forecaster | None = None
) -> tuple[Session, SimulatedVenue]:
    """A fresh session under the rules, and a venue; without a forecaster the forecast is never ready."""
    limits = limits_of(parameters, COINM_BTC, kind, VENUE.fees)
    strategy = Strategy(forecaster or NoForecast(), np.arange(6), limits, *VENUE.fees)
    session = Session(FeatureStream(FEATURES), strategy, Ledger(COINM_BTC))
    return session, SimulatedVenue(COINM_BTC, VENUE)


def traded(market: Planted, kind: PolicyKind, parameters: TradingParameters) -> tuple[Result, Session]:
    """A policy that is told the signal, over the whole market."""
    session, venue = desk(kind, parameters, ToldForecaster(market.returns_bp))
    return run_backtest(market.tape, session, venue, market.window, 1_000_000), session
