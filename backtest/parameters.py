"""Frozen settings of the simulated venue; light to import."""

from dataclasses import dataclass
from typing import Final, Literal

from market.errors import ConfigError

QueueModel = Literal["risk_averse"]
RISK_AVERSE: Final = 0
QUEUE_MODELS: Final = {"risk_averse": RISK_AVERSE}

_LONGEST_MS: Final = 60_000.0
_LARGEST_FEE: Final = 0.05


@dataclass(frozen=True, slots=True)
class VenueParameters:
    """How far away the venue is, how it queues, and what it charges."""

    order_latency_ms: float  # sent to met by the matching engine; orders and cancels alike, [0, 60000]
    ack_latency_ms: float  # done by the venue to seen by us, [0, 60000]
    queue_model: QueueModel  # how the quantity ahead of a resting order shrinks
    maker_fee: float  # fraction of notional; below 0 is a rebate
    taker_fee: float  # fraction of notional
    seed: int  # of sampled latencies and cancel failures; constant ones draw nothing

    def __post_init__(self) -> None:
        for key in ("order_latency_ms", "ack_latency_ms"):
            _check_range(key, getattr(self, key), 0.0, _LONGEST_MS)
        for key in ("maker_fee", "taker_fee"):
            _check_range(key, getattr(self, key), -_LARGEST_FEE, _LARGEST_FEE)
        if self.queue_model not in QUEUE_MODELS:
            raise ConfigError(f"queue_model={self.queue_model!r} is not one of {sorted(QUEUE_MODELS)}")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed} is below 0")

    @property
    def order_latency_ns(self) -> int:
        """Order entry leg, ns."""
        return round(self.order_latency_ms * 1e6)

    @property
    def ack_latency_ns(self) -> int:
        """Acknowledgement leg, ns."""
        return round(self.ack_latency_ms * 1e6)

    @property
    def fees(self) -> tuple[float, float]:
        """Maker's and taker's, fractions of notional."""
        return self.maker_fee, self.taker_fee

    @property
    def queue_code(self) -> int:
        """The queue model as the compiled kernel knows it."""
        return QUEUE_MODELS[self.queue_model]


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name}={value} is outside [{low}, {high}]")
