"""Settings of the market room."""

from dataclasses import dataclass

from market.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ClockParameters:
    """How the offset between a venue's clock and ours is estimated."""

    window_s: float  # seconds; the floor of ingest_ts - exchange_ts is its minimum over this trailing window
    halflife_s: float  # seconds; half-life with which the offset rises towards a higher floor
    base_feed_latency_ms: float  # ms; the one-way delay of the fastest message, which no clock can observe
    step_threshold_ms: float  # ms; a floor that lies further off than this may be a step of a clock
    step_minimum_s: float  # seconds; trailing window whose minimum is compared with the offset
    step_patience_s: float  # seconds; how long it must stay off before it counts as a step
    slope_window_s: float  # seconds of history that the skew is read from; none is assumed before that much has passed

    def __post_init__(self) -> None:
        for key in ("window_s", "halflife_s", "step_threshold_ms", "step_minimum_s", "step_patience_s"):
            if not 0 < getattr(self, key) <= 3_600:
                raise ConfigError(f"{key}={getattr(self, key)} must be above 0 and at most 3600")
        if not 0 <= self.base_feed_latency_ms <= 1_000:
            raise ConfigError(f"base_feed_latency_ms={self.base_feed_latency_ms} must lie within 0 and 1000")
        if self.step_minimum_s >= self.window_s:
            raise ConfigError(f"step_minimum_s={self.step_minimum_s} must be below window_s={self.window_s}")
        if not self.window_s <= self.slope_window_s <= 86_400:
            raise ConfigError(
                f"slope_window_s={self.slope_window_s} must lie within window_s={self.window_s} and 86400"
            )
