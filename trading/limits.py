"""The rules as one float64 array, so that the compiled decision reads numbers and the strategy stays data."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.instrument import Instrument
from trading.parameters import PolicyKind, TradingParameters

TAKE: Final = 0
PROBE: Final = 1

KIND: Final = 0
TICK_SIZE: Final = 1
LOT_VALUE: Final = 2
INVERSE: Final = 3
HORIZON_NS: Final = 4
ROUND_TRIP_FEE_BP: Final = 5
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


def limits_of(
    parameters: TradingParameters, instrument: Instrument, kind: PolicyKind, taker_fee: float
) -> NDArray[np.float64]:
    """The rules in the order of the places above; times in ns, ``taker_fee`` a fraction of notional."""
    sizing, routing, risk, probe = parameters.sizing, parameters.routing, parameters.risk, parameters.probe
    return np.array(
        [
            {"take": TAKE, "probe": PROBE}[kind],
            instrument.tick_size,
            instrument.lot_value,
            instrument.inverse,
            parameters.horizon_ms * 1e6,
            2 * taker_fee * 1e4,
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
        ],
        dtype=np.float64,
    )
