"""The rules as one float64 array, so that the compiled decision reads numbers and the strategy stays data."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.instrument import Instrument
from trading.parameters import (
    ExecuteParameters,
    PolicyKind,
    QuoteParameters,
    RiskParameters,
    RoutingParameters,
    SizingParameters,
    TradingParameters,
)

TAKE: Final = 0
PROBE: Final = 1
QUOTE: Final = 2
EXECUTE: Final = 3
KINDS: Final = {"take": TAKE, "probe": PROBE, "quote": QUOTE, "execute": EXECUTE}

KIND: Final = 0
TICK_SIZE: Final = 1
LOT_VALUE: Final = 2
INVERSE: Final = 3
HORIZON_NS: Final = 4
TAKER_FEE_BP: Final = 5  # of a leg
RISK_CAP_USD: Final = 6
KAPPA_BP: Final = 7
LCB_Z: Final = 8
DEPTH_SHARE: Final = 9
NO_TRADE_BAND: Final = 10
CONFIDENCE_CANCEL: Final = 11
CONFIDENCE_HALVE: Final = 12
JITTER_REF_MS: Final = 13
MAX_DELAY_NS: Final = 14
MAX_DECISION_LAG_NS: Final = 15
MIN_TOUCH_USD: Final = 16
MAX_SLIPPAGE_TICKS: Final = 17
MAX_POSITION_USD: Final = 18
MAX_ORDERS_PER_S: Final = 19
MAX_DRAWDOWN_USD: Final = 20
LOSS_STREAK: Final = 21
LOSS_PAUSE_NS: Final = 22
SPIKE_RATIO: Final = 23
PROBE_ORDER_USD: Final = 24
PROBE_MAX_AGE_NS: Final = 25
MAKER_FEE_BP: Final = 26
MAX_SILENCE_NS: Final = 27
TAKE_MAX_DELAY_NS: Final = 28
TAKE_MAX_SILENCE_NS: Final = 29
TAKE_MIN_TOUCH_USD: Final = 30
QUOTE_ORDER_USD: Final = 31
QUOTE_DEPTH_SHARE: Final = 32
QUOTE_DISTANCE_TICKS: Final = 33
QUOTE_MIN_EDGE_BP: Final = 34
QUOTE_FORECAST_SHARE: Final = 35
QUOTE_PULL_BP: Final = 36
QUOTE_INVENTORY_USD: Final = 37
QUOTE_SKEW_TICKS: Final = 38
QUOTE_MAX_HOLD_NS: Final = 39
QUOTE_TOLERANCE_TICKS: Final = 40
QUOTE_MAX_AGE_NS: Final = 41
EXECUTE_AHEAD_SHARE: Final = 42
EXECUTE_BEHIND_SHARE: Final = 43
EXECUTE_PARTICIPATION: Final = 44
EXECUTE_TAKE_BP: Final = 45
EXECUTE_WAIT_BP: Final = 46
EXECUTE_SWEEP_NS: Final = 47
EXECUTE_MAX_AGE_NS: Final = 48
DEGENERATE_ROWS: Final = 49  # 0: equal forecasts are no fault
SIMPLEX_TOLERANCE: Final = 50
CANCEL_RESEND_NS: Final = 51

Rules = dict[int, float]  # by place


def limits_of(
    parameters: TradingParameters, instrument: Instrument, kind: PolicyKind, fees: tuple[float, float]
) -> NDArray[np.float64]:
    """The rules in the order of the places above; times in ns, ``fees`` maker's and taker's, fractions of notional."""
    rules = {
        KIND: KINDS[kind],
        TICK_SIZE: instrument.tick_size,
        LOT_VALUE: instrument.lot_value,
        INVERSE: instrument.inverse,
        HORIZON_NS: parameters.horizon_ms * 1e6,
        MAKER_FEE_BP: fees[0] * 1e4,
        TAKER_FEE_BP: fees[1] * 1e4,
        PROBE_ORDER_USD: parameters.probe.order_usd,
        PROBE_MAX_AGE_NS: parameters.probe.max_age_s * 1e9,
    }
    rules |= _sizing(parameters.sizing) | _routing(parameters.routing) | _risk(parameters.risk)
    rules |= _quote(parameters.quote) | _execute(parameters.execute)
    return np.array([rules[place] for place in range(len(rules))], dtype=np.float64)


def _sizing(sizing: SizingParameters) -> Rules:
    return {
        RISK_CAP_USD: sizing.risk_cap_usd,
        KAPPA_BP: sizing.kappa_bp,
        LCB_Z: sizing.lcb_z,
        DEPTH_SHARE: sizing.depth_share,
        NO_TRADE_BAND: sizing.no_trade_band,
        CONFIDENCE_CANCEL: sizing.confidence_cancel,
        CONFIDENCE_HALVE: sizing.confidence_halve,
        JITTER_REF_MS: sizing.jitter_ref_ms,
    }


def _routing(routing: RoutingParameters) -> Rules:
    return {
        MAX_DELAY_NS: routing.max_delay_ms * 1e6,
        MAX_DECISION_LAG_NS: routing.max_decision_lag_ms * 1e6,
        MIN_TOUCH_USD: routing.min_touch_usd,
        MAX_SLIPPAGE_TICKS: routing.max_slippage_ticks,
        MAX_SILENCE_NS: routing.max_silence_ms * 1e6,
        TAKE_MAX_DELAY_NS: routing.take_max_delay_ms * 1e6,
        TAKE_MAX_SILENCE_NS: routing.take_max_silence_ms * 1e6,
        TAKE_MIN_TOUCH_USD: routing.take_min_touch_usd,
    }


def _risk(risk: RiskParameters) -> Rules:
    return {
        MAX_POSITION_USD: risk.max_position_usd,
        MAX_ORDERS_PER_S: risk.max_orders_per_s,
        MAX_DRAWDOWN_USD: risk.max_drawdown_usd,
        LOSS_STREAK: risk.loss_streak,
        LOSS_PAUSE_NS: risk.loss_pause_s * 1e9,
        SPIKE_RATIO: risk.spike_ratio,
        DEGENERATE_ROWS: risk.degenerate_rows,
        SIMPLEX_TOLERANCE: risk.simplex_tolerance,
        CANCEL_RESEND_NS: risk.cancel_resend_ms * 1e6,
    }


def _quote(quote: QuoteParameters) -> Rules:
    return {
        QUOTE_ORDER_USD: quote.order_usd,
        QUOTE_DEPTH_SHARE: quote.depth_share,
        QUOTE_DISTANCE_TICKS: quote.distance_ticks,
        QUOTE_MIN_EDGE_BP: quote.min_edge_bp,
        QUOTE_FORECAST_SHARE: quote.forecast_share,
        QUOTE_PULL_BP: quote.pull_bp,
        QUOTE_INVENTORY_USD: quote.inventory_usd,
        QUOTE_SKEW_TICKS: quote.skew_ticks,
        QUOTE_MAX_HOLD_NS: quote.max_hold_s * 1e9,
        QUOTE_TOLERANCE_TICKS: quote.tolerance_ticks,
        QUOTE_MAX_AGE_NS: quote.max_age_s * 1e9,
    }


def _execute(execute: ExecuteParameters) -> Rules:
    return {
        EXECUTE_AHEAD_SHARE: execute.ahead_share,
        EXECUTE_BEHIND_SHARE: execute.behind_share,
        EXECUTE_PARTICIPATION: execute.participation,
        EXECUTE_TAKE_BP: execute.take_bp,
        EXECUTE_WAIT_BP: execute.wait_bp,
        EXECUTE_SWEEP_NS: execute.sweep_ms * 1e6,
        EXECUTE_MAX_AGE_NS: execute.max_age_s * 1e9,
    }
