"""The rules as one float64 array, so that the compiled decision reads numbers and the strategy stays data."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.instrument import Instrument
from trading.parameters import PolicyKind, TradingParameters

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


def limits_of(
    parameters: TradingParameters, instrument: Instrument, kind: PolicyKind, fees: tuple[float, float]
) -> NDArray[np.float64]:
    """The rules in the order of the places above; times in ns, ``fees`` maker's and taker's, fractions of notional."""
    sizing, routing, risk, probe = parameters.sizing, parameters.routing, parameters.risk, parameters.probe
    quote, execute = parameters.quote, parameters.execute
    return np.array(
        [
            KINDS[kind],
            instrument.tick_size,
            instrument.lot_value,
            instrument.inverse,
            parameters.horizon_ms * 1e6,
            fees[1] * 1e4,
            sizing.risk_cap_usd,
            sizing.kappa_bp,
            sizing.lcb_z,
            sizing.depth_share,
            sizing.no_trade_band,
            sizing.confidence_cancel,
            sizing.confidence_halve,
            sizing.jitter_ref_ms,
            routing.max_delay_ms * 1e6,
            routing.max_decision_lag_ms * 1e6,
            routing.min_touch_usd,
            routing.max_slippage_ticks,
            risk.max_position_usd,
            risk.max_orders_per_s,
            risk.max_drawdown_usd,
            risk.loss_streak,
            risk.loss_pause_s * 1e9,
            risk.spike_ratio,
            probe.order_usd,
            probe.max_age_s * 1e9,
            fees[0] * 1e4,
            routing.max_silence_ms * 1e6,
            routing.take_max_delay_ms * 1e6,
            routing.take_max_silence_ms * 1e6,
            routing.take_min_touch_usd,
            quote.order_usd,
            quote.depth_share,
            quote.distance_ticks,
            quote.min_edge_bp,
            quote.forecast_share,
            quote.pull_bp,
            quote.inventory_usd,
            quote.skew_ticks,
            quote.max_hold_s * 1e9,
            quote.tolerance_ticks,
            quote.max_age_s * 1e9,
            execute.ahead_share,
            execute.behind_share,
            execute.participation,
            execute.take_bp,
            execute.wait_bp,
            execute.sweep_ms * 1e6,
            execute.max_age_s * 1e9,
            risk.degenerate_rows,
            risk.simplex_tolerance,
            risk.cancel_resend_ms * 1e6,
        ],
        dtype=np.float64,
    )
