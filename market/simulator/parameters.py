"""What a simulated market is like; the defaults stand near Binance's BTCUSD_PERP of August 2024 (docs/simulator.md)."""

from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date
from typing import Any, Final, Literal, get_args

from market.errors import ConfigError

Mode = Literal["null", "alpha", "reactive"]
TREND: Final = 0
RANGE: Final = 1
HIGH_VOLATILITY: Final = 2


def _within(parameters: object, low: float, high: float, *names: str) -> None:
    """Raises ConfigError unless each of the fields lies in [low, high]."""
    for name in names:
        value = getattr(parameters, name)
        if not low <= value <= high:
            raise ConfigError(f"{name}={value} must lie within {low:g} and {high:g}")


@dataclass(frozen=True, slots=True)
class VolatilityParameters:
    """How much prices move, and when. All symbols of a seed share regimes, diurnal cycle and bursts."""

    volatility_bp: float = 1.6  # bp per square root of a second where every multiplier is 1
    trend_multiplier: float = 1.1  # of the volatility, by regime
    range_multiplier: float = 0.8
    high_multiplier: float = 2.0
    trend_duration_s: float = 1_800.0  # mean duration of an episode, by regime
    range_duration_s: float = 3_600.0
    high_duration_s: float = 600.0
    diurnal_amplitude: float = 0.35  # of the log of the volatility: exp(+-this) between busiest and calmest hour
    diurnal_peak_hour: float = 15.0  # UTC
    burst_deviation: float = 0.25  # stationary deviation of the log of the volatility around the cycle
    burst_halflife_s: float = 300.0  # half-life of such a deviation
    correlation: float = 0.7  # of the returns of any two symbols

    def __post_init__(self) -> None:
        _within(self, 0.001, 100, "volatility_bp")
        _within(self, 0.05, 20, "trend_multiplier", "range_multiplier", "high_multiplier")
        _within(self, 10, 1e7, "trend_duration_s", "range_duration_s", "high_duration_s", "burst_halflife_s")
        _within(self, 0, 2, "diurnal_amplitude", "burst_deviation")
        _within(self, 0, 24, "diurnal_peak_hour")
        _within(self, 0, 1, "correlation")


@dataclass(frozen=True, slots=True)
class AlphaParameters:
    """What can be known of the future: of mode "alpha" the first five, of mode "reactive" the last three."""

    ic: float = 0.1  # correlation of the signal and the return over horizon_s, in units of the volatility in force
    horizon_s: float = 5.0
    halflife_s: float = 10.0  # of the signal
    cost_bp: float = 0.2  # of a round trip: what the oracle pays (see alpha.oracle_net_bp)
    expression: float = 0.5  # how far flow and touch lean towards the signal: 0 leaves it unseen, 1 at most
    imbalance_gain: float = 0.35  # lean of the next move of the touch per unit of queue imbalance
    trend_gain: float = 0.005  # its lean in an episode's direction, while it trends
    range_gain: float = 0.02  # its lean back to the trailing minute's price, per deviation, while it ranges

    def __post_init__(self) -> None:
        _within(self, -0.9, 0.9, "ic")
        _within(self, 0.02, 86_400, "horizon_s")
        _within(self, 0.1, 7_200, "halflife_s")
        _within(self, 0, 1_000, "cost_bp")
        _within(self, 0, 1, "expression", "imbalance_gain", "trend_gain", "range_gain")


@dataclass(frozen=True, slots=True)
class FlowParameters:
    """The order flow of tick mode. Rates are those at a volatility multiplier of 1."""

    moves_per_s: float = 20.0  # times that the best bid or ask is taken away; each is followed by a close
    excitation: float = 0.5  # share of moves that earlier ones caused, below 1
    excitation_decay_s: float = 0.5  # time constant of that
    close_ms: float = 0.25  # mean time that a spread stays open
    sweep_share: float = 0.02  # of those moves that a market order makes, not a cancel
    orders_per_s: float = 1_500.0  # limit orders and cancels
    touch_share: float = 0.03  # of those that meet the touch
    touch_lots: float = 1_000.0  # the quantity that the touch is drawn to
    level_lots: float = 110.0  # mean of a level behind it
    levels: int = 320  # a side, that the book is drawn to
    depth_scale_bp: float = 25.0  # mean distance of a level from the touch
    markets_per_s: float = 0.25  # market orders beside the sweeps and those that others excite
    market_excitation: float = 0.4  # share of market orders that earlier ones of the same side caused
    market_cross: float = 0.05  # share that earlier ones of the other side caused
    market_decay_s: float = 0.5  # time constant of that
    fills_per_order: float = 12.0  # mean trades that a market order prints
    trade_lots: float = 4.0  # median of a trade
    trade_deviation: float = 2.0  # deviation of the log of it
    spread_bp: float = 0.016  # of the fast form, where nothing happens; in tick mode it is a tick

    def __post_init__(self) -> None:
        _within(self, 0.01, 1_000, "moves_per_s", "markets_per_s")
        _within(self, 0.0, 100_000, "orders_per_s")
        _within(self, 0, 0.95, "excitation", "sweep_share", "touch_share", "market_excitation", "market_cross")
        _within(self, 0.001, 3_600, "excitation_decay_s", "market_decay_s")
        _within(self, 0.001, 1_000, "close_ms", "depth_scale_bp", "spread_bp")
        _within(self, 2, 1e9, "touch_lots", "level_lots", "trade_lots")
        _within(self, 1, 1_000, "fills_per_order")
        _within(self, 0, 4, "trade_deviation")
        _within(self, 20, 1_500, "levels")
        if self.market_excitation + self.market_cross >= 1:
            raise ConfigError(
                f"market_excitation={self.market_excitation} and market_cross={self.market_cross} must stay below 1 "
                "together, or the flow explodes"
            )


@dataclass(frozen=True, slots=True)
class FeedParameters:
    """From the venue to us: clocks, latency, and what is lost."""

    depth_interval_ms: float = 14.0  # depth messages leave once in this
    latency_ms: float = 2.0  # of the fastest message
    jitter_ms: float = 9.0  # mean of what comes on top
    jitter_hops: int = 4  # exponential parts that this is the sum of
    jitter_hold_ms: float = 2.0  # messages sent so soon after one another travel alike
    stalls_per_minute: float = 6.0  # bursts: everything waits, then comes at once
    stall_ms: float = 45.0  # mean length of one
    offset_ms: float = -250.0  # our clock minus the venue's at the start
    skew_ppm: float = 5.0  # how much faster ours runs
    gaps_per_hour: float = 0.0  # times that messages are lost
    gap_s: float = 0.5  # mean length of such a time
    resync_s: float = 0.3  # from the end of a gap to the snapshot

    def __post_init__(self) -> None:
        _within(self, 1, 10_000, "depth_interval_ms")
        _within(self, 0, 10_000, "latency_ms", "jitter_ms", "jitter_hold_ms", "stall_ms")
        _within(self, 1, 100, "jitter_hops")
        _within(self, 0, 600, "stalls_per_minute", "gaps_per_hour")
        _within(self, -3_600_000, 3_600_000, "offset_ms")
        _within(self, -1_000, 1_000, "skew_ppm")
        _within(self, 0.01, 60, "gap_s", "resync_s")


@dataclass(frozen=True, slots=True)
class DerivativeParameters:
    """Mark, index, funding and liquidations of tick mode."""

    mark_interval_s: float = 1.0  # mark, index and funding come once in this
    funding_interval_s: float = 28_800.0  # funding is exchanged at multiples of this
    funding_rate: float = 1e-4  # of notional, where the premium is 0
    premium_deviation_bp: float = 3.0  # stationary deviation of the mark's premium over the index
    premium_halflife_s: float = 1_800.0
    liquidations_per_hour: float = 2.0  # while prices are calm
    liquidation_gain: float = 0.3  # more per second, per squared deviation of the minute's move beyond the second

    def __post_init__(self) -> None:
        _within(self, 0.1, 3_600, "mark_interval_s")
        _within(self, 60, 86_400, "funding_interval_s")
        _within(self, -0.01, 0.01, "funding_rate")
        _within(self, 0, 1_000, "premium_deviation_bp", "liquidation_gain")
        _within(self, 1, 1e6, "premium_halflife_s")
        _within(self, 0, 3_600, "liquidations_per_hour")


@dataclass(frozen=True, slots=True)
class SimulationParameters:
    """One symbol of one simulated market; equal seeds and different symbols share the market's path."""

    seed: int = 0
    symbol: int = 0  # which of the market's symbols
    mode: Mode = "null"
    first_date: str = "2024-01-01"  # the fast form's prices start from start_price at the beginning of it, UTC
    start_price: float = 60_000.0  # quote currency
    volatility: VolatilityParameters = field(default_factory=VolatilityParameters)
    alpha: AlphaParameters = field(default_factory=AlphaParameters)
    flow: FlowParameters = field(default_factory=FlowParameters)
    feed: FeedParameters = field(default_factory=FeedParameters)
    derivatives: DerivativeParameters = field(default_factory=DerivativeParameters)

    def __post_init__(self) -> None:
        _within(self, 0, 2**62, "seed")
        _within(self, 0, 1_000_000, "symbol")
        _within(self, 1e-9, 1e9, "start_price")
        if self.mode not in get_args(Mode):
            raise ConfigError(f"mode={self.mode!r} is not one of {sorted(get_args(Mode))}")
        try:
            date.fromisoformat(self.first_date)
        except ValueError as error:
            raise ConfigError(f"first_date={self.first_date!r} is no date: {error}") from error


def parameters_from(values: dict[str, Any]) -> SimulationParameters:
    """Parameters of JSON's nested dictionaries; what is left out has its default.

    Raises ConfigError for an unknown key, a value of another type or out of its range.
    """
    nested = {f.name: f.default_factory for f in fields(SimulationParameters) if is_dataclass(f.default_factory)}
    parts = {name: _checked(nested[name], part, f"{name}.") for name, part in values.items() if name in nested}
    return _checked(SimulationParameters, {**values, **parts}, "")


def _checked(cls: Any, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{where.rstrip('.')}={values!r} must be a mapping")
    known = {f.name: f.type for f in fields(cls)}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}{name} is not one of {sorted(known)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if known[name] in (int, float) and not (number and (known[name] is float or isinstance(value, int))):
            raise ConfigError(f"{where}{name}={value!r} must be {'a number' if known[name] is float else 'whole'}")
    return cls(**values)
