"""Frozen settings of the decision core; every quantity carries its unit."""

from dataclasses import dataclass
from typing import Literal

from market.errors import ConfigError

PolicyKind = Literal["take", "probe"]


def _at_least(name: str, value: float, low: float) -> None:
    if not value >= low:
        raise ConfigError(f"{name}={value} is below {low}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name}={value} is outside [{low}, {high}]")


@dataclass(frozen=True, slots=True)
class SizingParameters:
    """How a forecast becomes a target position."""

    risk_cap_usd: float  # largest position that a forecast may ask for, quote currency
    kappa_bp: float  # share of the risk cap = kappa_bp * edge_bp / variance_bp2
    lcb_z: float  # standard deviations taken off the expected return before it is believed
    depth_share: float  # of the quantity at the touch that we would trade against
    no_trade_band: float  # share of the risk cap; smaller differences to the target are left alone
    confidence_cancel: float  # largest class probability below which nothing is traded
    confidence_halve: float  # ... below which the target is halved
    jitter_ref_ms: float  # delay jitter at which the target is halved

    def __post_init__(self) -> None:
        _at_least("risk_cap_usd", self.risk_cap_usd, 0.0)
        _at_least("kappa_bp", self.kappa_bp, 0.0)
        _at_least("lcb_z", self.lcb_z, 0.0)
        _within("depth_share", self.depth_share, 0.0, 1.0)
        _within("no_trade_band", self.no_trade_band, 0.0, 1.0)
        _within("confidence_cancel", self.confidence_cancel, 0.0, 1.0)
        _within("confidence_halve", self.confidence_halve, self.confidence_cancel, 1.0)
        _at_least("jitter_ref_ms", self.jitter_ref_ms, 0.001)


@dataclass(frozen=True, slots=True)
class RoutingParameters:
    """When to take, and when to stand aside."""

    max_delay_ms: float  # feed delay above which nothing new is sent
    max_decision_lag_ms: float  # row close to decision above which nothing new is sent
    min_touch_usd: float  # quote currency at the touch below which the book is too thin
    max_slippage_ticks: int  # a taker order's limit beyond the touch

    def __post_init__(self) -> None:
        _at_least("max_delay_ms", self.max_delay_ms, 0.0)
        _at_least("max_decision_lag_ms", self.max_decision_lag_ms, 0.0)
        _at_least("min_touch_usd", self.min_touch_usd, 0.0)
        _at_least("max_slippage_ticks", self.max_slippage_ticks, 0)


@dataclass(frozen=True, slots=True)
class RiskParameters:
    """What may stop an order. A limit that cannot be computed stops it too."""

    max_position_usd: float  # position and open orders of one side together
    max_orders_per_s: int
    max_drawdown_usd: float  # marked equity below its peak; latches until a person resets it
    loss_streak: int  # losing flat-to-flat round trips in a row that pause trading
    loss_pause_s: float
    spike_ratio: float  # fast over slow volatility above which targets are halved

    def __post_init__(self) -> None:
        _at_least("max_position_usd", self.max_position_usd, 0.0)
        _within("max_orders_per_s", self.max_orders_per_s, 0, 64)
        _at_least("max_drawdown_usd", self.max_drawdown_usd, 0.0)
        _at_least("loss_streak", self.loss_streak, 1)
        _at_least("loss_pause_s", self.loss_pause_s, 0.0)
        _at_least("spike_ratio", self.spike_ratio, 1.0)


@dataclass(frozen=True, slots=True)
class ProbeParameters:
    """The deterministic probe: small post-only quotes at both touches, whatever the forecast says."""

    order_usd: float  # size of a quote, quote currency
    max_age_s: float  # a quote older than this is replaced

    def __post_init__(self) -> None:
        _at_least("order_usd", self.order_usd, 0.0)
        _at_least("max_age_s", self.max_age_s, 0.0)


@dataclass(frozen=True, slots=True)
class TradingParameters:
    """The decision core: which forecast it trades, and its rules."""

    horizon_ms: int  # of the forecast that is traded, and the longest time a position waits for the next one
    budget_bp: float  # round-trip fee budget of the class head that is traded
    sizing: SizingParameters
    routing: RoutingParameters
    risk: RiskParameters
    probe: ProbeParameters

    def __post_init__(self) -> None:
        _at_least("horizon_ms", self.horizon_ms, 1)
        _at_least("budget_bp", self.budget_bp, 0.0)
