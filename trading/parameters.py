"""Frozen settings of the decision core; every quantity carries its unit."""

from dataclasses import dataclass
from typing import Final, Literal

from market.errors import ConfigError

PolicyKind = Literal["take", "probe", "quote", "execute"]
REMEMBERED_ROWS: Final = 4_096  # of a session, that a new model is warmed with; one that reads more is refused
NEVER_BP: Final = 1e6  # a threshold in bp that no forecast reaches


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
    lcb_z: float  # spreads of the members taken off the expected return before it is believed
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
    """Take, post or stand aside. An order that may not take waits at the touch."""

    max_delay_ms: float  # feed delay above which nothing new is sent
    max_silence_ms: float  # since the newest event, above which nothing new is sent
    max_decision_lag_ms: float  # row close to decision above which nothing new is sent
    min_touch_usd: float  # quote currency at the touch below which the book is too thin
    take_max_delay_ms: float  # feed delay above which nothing is taken
    take_max_silence_ms: float  # since the newest event, above which nothing is taken
    take_min_touch_usd: float  # quote currency at the touch that an order would meet, below which it does not take
    max_slippage_ticks: int  # a taker order's limit beyond the touch

    def __post_init__(self) -> None:
        _at_least("max_delay_ms", self.max_delay_ms, 0.0)
        _at_least("max_silence_ms", self.max_silence_ms, 0.0)
        _within("take_max_delay_ms", self.take_max_delay_ms, 0.0, self.max_delay_ms)
        _within("take_max_silence_ms", self.take_max_silence_ms, 0.0, self.max_silence_ms)
        _at_least("take_min_touch_usd", self.take_min_touch_usd, self.min_touch_usd)
        _at_least("max_decision_lag_ms", self.max_decision_lag_ms, 0.0)
        _at_least("min_touch_usd", self.min_touch_usd, 0.0)
        _at_least("max_slippage_ticks", self.max_slippage_ticks, 0)


@dataclass(frozen=True, slots=True)
class RiskParameters:
    """What may stop an order. A limit that cannot be computed stops it too."""

    max_position_usd: float  # position and open orders of one side together
    max_orders_per_s: int
    max_drawdown_usd: float  # marked equity below its peak, pending orders at their worst fill; latches
    loss_streak: int  # losing flat-to-flat round trips in a row that pause trading
    loss_pause_s: float
    spike_ratio: float  # fast over slow volatility above which targets are halved
    degenerate_rows: int  # equal forecasts in a row that latch the model's desk; 0: none do
    simplex_tolerance: float  # that probabilities may be off the simplex before the model's desk latches
    cancel_resend_ms: float  # a cancel of the kill switch that is unanswered for so long is sent again

    def __post_init__(self) -> None:
        _at_least("max_position_usd", self.max_position_usd, 0.0)
        _within("max_orders_per_s", self.max_orders_per_s, 0, 64)
        _at_least("max_drawdown_usd", self.max_drawdown_usd, 0.0)
        _at_least("loss_streak", self.loss_streak, 1)
        _at_least("loss_pause_s", self.loss_pause_s, 0.0)
        _at_least("spike_ratio", self.spike_ratio, 1.0)
        _at_least("degenerate_rows", self.degenerate_rows, 0)
        _within("simplex_tolerance", self.simplex_tolerance, 0.0, 1.0)
        _at_least("cancel_resend_ms", self.cancel_resend_ms, 1.0)


@dataclass(frozen=True, slots=True)
class ProbeParameters:
    """The deterministic probe: small post-only quotes at both touches, whatever the forecast says."""

    order_usd: float  # size of a quote, quote currency
    max_age_s: float  # a quote older than this is replaced

    def __post_init__(self) -> None:
        _at_least("order_usd", self.order_usd, 0.0)
        _at_least("max_age_s", self.max_age_s, 0.0)


@dataclass(frozen=True, slots=True)
class QuoteParameters:
    """Two post-only quotes around a price that leans with the forecast and against the inventory."""

    order_usd: float  # size of a quote, quote currency
    depth_share: float  # of the quantity displayed at the touch that a quote joins, at most
    distance_ticks: float  # behind the touch, where nothing leans
    min_edge_bp: float  # what a fill must be expected to earn after the maker's fee; below 0 it may be expected to lose
    forecast_share: float  # of the expected move that quotes lean with it
    pull_bp: float  # expected move against a quote above which it is cancelled
    inventory_usd: float  # position beyond which the side that adds to it is not quoted
    skew_ticks: float  # that quotes lean against an inventory of inventory_usd
    max_hold_s: float  # an inventory that has kept its sign for longer is taken off at once
    tolerance_ticks: float  # a quote this far from its price keeps its place in the queue
    max_age_s: float  # a quote older than this is replaced

    def __post_init__(self) -> None:
        for name in ("order_usd", "distance_ticks", "forecast_share", "pull_bp", "inventory_usd", "skew_ticks"):
            _at_least(name, getattr(self, name), 0.0)
        _within("depth_share", self.depth_share, 0.0, 1.0)
        _within("min_edge_bp", self.min_edge_bp, -NEVER_BP, NEVER_BP)
        for name in ("max_hold_s", "tolerance_ticks", "max_age_s"):
            _at_least(name, getattr(self, name), 0.0)


@dataclass(frozen=True, slots=True)
class ExecuteParameters:
    """How a parent order is worked: along a straight schedule, ahead of it or behind it as the forecast says."""

    ahead_share: float  # of the parent order that may be done before its time
    behind_share: float  # of the parent order that may be late before it is taken
    participation: float  # of the quantity displayed at the touch that one order may be, at most
    take_bp: float  # expected move away from us, beyond the cost of crossing, above which we take
    wait_bp: float  # expected move towards us above which nothing is posted
    sweep_ms: float  # last part of the window, in which all that is left is taken
    max_age_s: float  # an order that waits at the touch for longer is replaced

    def __post_init__(self) -> None:
        for name in ("ahead_share", "behind_share", "participation"):
            _within(name, getattr(self, name), 0.0, 1.0)
        for name in ("take_bp", "wait_bp"):
            _within(name, getattr(self, name), -NEVER_BP, NEVER_BP)
        _at_least("sweep_ms", self.sweep_ms, 0.0)
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
    quote: QuoteParameters
    execute: ExecuteParameters

    def __post_init__(self) -> None:
        _at_least("horizon_ms", self.horizon_ms, 1)
        _at_least("budget_bp", self.budget_bp, 0.0)
