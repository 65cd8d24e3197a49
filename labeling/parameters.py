"""Settings of the labels, light to import: horizons, fee budgets, latency of the entry, size of the order."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from market.errors import ConfigError

Anchor = Literal["executable", "gross"]
Target = Literal["mid", "vwap"]
Exit = Literal["walk", "mid", "vwap"]
ANCHORS: Final = ("executable", "gross")
TARGETS: Final = ("mid", "vwap")
EXITS: Final = ("walk", "mid", "vwap")
Latency = Literal["constant", "journal"]
LATENCIES: Final = ("constant", "journal")


@dataclass(frozen=True, slots=True)
class LabelParameters:
    """What a label asks of the market: enter after the latencies, hold for a horizon, leave.

    Raises ConfigError if a value is out of its range.
    """

    horizons_ms: tuple[int, ...]  # holding times, rising
    fee_budgets_bp: tuple[float, ...]  # fees of a whole round trip, bp of notional, rising; below 0 is a rebate
    infer_latency_ms: float  # from the row to the decision
    order_latency_ms: float  # from the decision to the venue
    latency: Latency  # from the row to the venue: the two constants, or drawn from the symbol's live journal
    latency_seed: int  # of those draws
    latency_min_orders: int  # answered orders that a journal must hold for them
    order_notional_usd: float  # quote currency walked through the book, on both legs
    margin_bp: float  # what a net return must exceed to be called up or down
    anchor: Anchor  # gross return that trains: "gross" t to t + h, "executable" te to te + h
    target: Target  # price that a gross return ends at: mid, or traded VWAP since its start
    exit: Exit  # price of the second leg: book walk, mid, or traded VWAP over (te, tx]
    min_tradeable_share: float  # cells with fewer rows up or down, as a share of 1, are not trained on

    def __post_init__(self) -> None:
        _rising("horizons_ms", self.horizons_ms)
        _rising("fee_budgets_bp", self.fee_budgets_bp)
        if self.horizons_ms[0] <= 0:
            raise ConfigError(f"horizons_ms={self.horizons_ms}: each must be above 0 ms")
        for key in ("infer_latency_ms", "order_latency_ms", "margin_bp"):
            if not getattr(self, key) >= 0:
                raise ConfigError(f"{key}={getattr(self, key)} must be 0 or above")
        if not self.order_notional_usd > 0:
            raise ConfigError(f"order_notional_usd={self.order_notional_usd} must be above 0")
        for key, allowed in (("anchor", ANCHORS), ("target", TARGETS), ("exit", EXITS), ("latency", LATENCIES)):
            if getattr(self, key) not in allowed:
                raise ConfigError(f"{key}={getattr(self, key)!r} is not one of {', '.join(allowed)}")
        for key, low in (("latency_seed", 0), ("latency_min_orders", 1)):
            if getattr(self, key) < low:
                raise ConfigError(f"{key}={getattr(self, key)} must be at least {low}")
        if not 0 <= self.min_tradeable_share <= 1:
            raise ConfigError(f"min_tradeable_share={self.min_tradeable_share} must lie in 0 to 1")

    @property
    def latency_ns(self) -> int:
        """From the row to the venue, ns."""
        return round((self.infer_latency_ms + self.order_latency_ms) * 1e6)

    @property
    def longest_ns(self) -> int:
        """From a row to the last instant that any of its labels reads, ns: what the tape has to run on."""
        return self.latency_ns + self.horizons_ms[-1] * 1_000_000


def _rising(key: str, values: tuple[float, ...]) -> None:
    if not values or any(not low < high for low, high in pairwise(values)):
        raise ConfigError(f"{key}={values} must hold at least one value, each above the one before")
