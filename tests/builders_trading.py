"""Rules, views and sessions for the tests of the decision core."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.ledger import Ledger
from backtest.parameters import VenueParameters
from features.parameters import FeatureParameters
from features.stream import FeatureStream
from market.instrument import Instrument
from modeling.certainty import Certainty, Question
from modeling.forecast import Cell
from modeling.parameters import AdaptiveParameters, ConformalParameters
from modeling.uncertainty import AdaptiveConformal
from tests.builders_market import COINM_BTC
from trading.limits import limits_of
from trading.parameters import (
    ExecuteParameters,
    PolicyKind,
    ProbeParameters,
    QuoteParameters,
    RiskParameters,
    RoutingParameters,
    SizingParameters,
    TradingParameters,
)
from trading.ports import Strategy
from trading.session import Session

FEATURES = FeatureParameters(
    row_interval_ms=20,
    windows_ms=(50, 250, 1_000),
    normalizer_window_s=60,
    normalizer_sample_ms=1_000,
    normalizer_min_samples=5,
    normalizer_clip=8.0,
    max_silence_ms=2_000,
    max_funding_age_s=0,
    liquidation_reach_bp=20.0,
    liquidation_halflife_s=10.0,
    burst_deviations=3.0,
    session_flag_minutes=30,
    sessions={},
    leader="",
    phased=False,
    phase_ms=0,
)
VENUE = VenueParameters(
    order_latency_ms=10.0,
    ack_latency_ms=10.0,
    queue_model="risk_averse",
    queue_power=1.0,
    crossed_book="none",
    reject_share=0.0,
    cancel_reject_share=0.0,
    cancel_lost_share=0.0,
    reconcile_ms=1000.0,
    fee_tier="",
    maker_fee=0.0,
    taker_fee=0.0,
    seed=1,
)
TRADING = TradingParameters(
    horizon_ms=1_000,
    budget_bp=0.0,
    sizing=SizingParameters(
        risk_cap_usd=10_000.0,
        kappa_bp=1.0,
        lcb_z=0.0,
        depth_share=1.0,
        no_trade_band=0.0,
        confidence_cancel=0.3,
        confidence_halve=0.4,
        jitter_ref_ms=1_000.0,
    ),
    routing=RoutingParameters(
        max_delay_ms=200.0,
        max_silence_ms=1_000.0,
        max_decision_lag_ms=50.0,
        min_touch_usd=1_000.0,
        take_max_delay_ms=100.0,
        take_max_silence_ms=500.0,
        take_min_touch_usd=2_000.0,
        max_slippage_ticks=2,
    ),
    risk=RiskParameters(
        max_position_usd=20_000.0,
        max_orders_per_s=10,
        max_drawdown_usd=100.0,
        loss_streak=3,
        loss_pause_s=5.0,
        spike_ratio=3.0,
        degenerate_rows=0,
        simplex_tolerance=0.001,
        cancel_resend_ms=500.0,
    ),
    probe=ProbeParameters(order_usd=500.0, max_age_s=2.0),
    quote=QuoteParameters(
        order_usd=1_000.0,
        depth_share=0.5,
        distance_ticks=0.0,
        min_edge_bp=-10.0,
        forecast_share=0.5,
        pull_bp=1.0,
        inventory_usd=4_000.0,
        skew_ticks=4.0,
        max_hold_s=30.0,
        tolerance_ticks=1.0,
        max_age_s=5.0,
    ),
    execute=ExecuteParameters(
        ahead_share=0.1,
        behind_share=0.05,
        participation=0.5,
        take_bp=0.5,
        wait_bp=0.5,
        sweep_ms=1_000.0,
        max_age_s=5.0,
    ),
)


_SCORES = np.random.default_rng(0).exponential(1.0, 200)
CONFORMAL = ConformalParameters(miscoverage=0.1, rate=0.01, window=100)
_SHARES = np.random.default_rng(1).uniform(0.0, 1.0, 200)
CERTAINTY = Certainty(  # of the traded cell; outcomes are measured from 11 ms behind the decision
    Question(Cell(TRADING.horizon_ms, TRADING.budget_bp), 11.0, 11.0, 10_000.0, 0.0, "walk"),
    CONFORMAL,
    AdaptiveConformal.started(CONFORMAL, _SCORES).as_dict(),
    AdaptiveConformal.started(CONFORMAL, _SHARES).as_dict(),
    AdaptiveParameters(rate=0.01, scale_rate=0.003),
    {"scale": 1.0, "shifts": [0.0, 0.0, 0.0]},
)


def trading(**changes: dict[str, Any]) -> TradingParameters:
    """``TRADING`` with single keys of its groups replaced: ``trading(risk={"max_orders_per_s": 1})``."""
    groups = {group: replace(getattr(TRADING, group), **keys) for group, keys in changes.items()}
    return replace(TRADING, **groups)


class ImbalanceForecaster:
    """Believes that the heavier side of the touch wins: two classes, half a basis point each way."""

    receptive_rows = 1

    def new_state(self) -> NDArray[np.float32]:
        """One forecast: three probabilities, three returns, the spread of one model, ready."""
        return np.zeros(8, np.float32)

    def step(self, state: NDArray[np.float32], values: NDArray[np.float32], valid: bool) -> NDArray[np.float32]:
        """The forecast of one row; feature 1 is the queue imbalance."""
        tilt = 0.4 * float(values[1])
        state[:] = (0.5 - tilt, 0.0, 0.5 + tilt, -0.5, 0.0, 0.5, 0.0, 1.0 if valid else 0.0)
        return state


def strategy(kind: PolicyKind, parameters: TradingParameters = TRADING, instrument: Instrument = COINM_BTC) -> Strategy:
    """Trades ``ImbalanceForecaster`` without fees, with an interval around it."""
    limits = limits_of(parameters, instrument, kind, VENUE.fees)
    return Strategy(ImbalanceForecaster(), np.arange(7), limits, *VENUE.fees, CERTAINTY)


def session(kind: PolicyKind, parameters: TradingParameters = TRADING, instrument: Instrument = COINM_BTC) -> Session:
    """A session that has seen nothing."""
    return Session(FeatureStream(FEATURES), strategy(kind, parameters, instrument), Ledger(instrument))
