"""Frozen settings of the simulated venue; light to import."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final, Literal, Self

from market.errors import ConfigError
from market.fee_schedules import fees_over

QueueModel = Literal["risk_averse", "power", "log", "front"]
RISK_AVERSE: Final = 0
POWER: Final = 1
LOG: Final = 2
FRONT: Final = 3
QUEUE_MODELS: Final = {"risk_averse": RISK_AVERSE, "power": POWER, "log": LOG, "front": FRONT}

CrossedBook = Literal["none", "fill"]
CROSSED_BOOKS: Final = {"none": 0, "fill": 1}

_LONGEST_MS: Final = 60_000.0
_LARGEST_FEE: Final = 0.05
_LARGEST_POWER: Final = 10.0
_SHARES: Final = ("reject_share", "cancel_reject_share", "cancel_lost_share")


@dataclass(frozen=True, slots=True)
class VenueParameters:
    """How far away the venue is, how it queues, and what it charges."""

    order_latency_ms: float  # sent to met by the matching engine; orders and cancels alike, [0, 60000]
    ack_latency_ms: float  # done by the venue to seen by us, [0, 60000]
    queue_model: QueueModel  # how the quantity ahead of a resting order shrinks
    queue_power: float  # n of the model power: the higher, the surer that whoever leaves stood on the longer side
    crossed_book: CrossedBook  # what a resting order gets when the book crosses its price without a print
    fee_tier: str  # of market/fee_schedules.py, such as vip0, whose fees of the day are charged; empty: the two below
    maker_fee: float | None  # fraction of notional, below 0 is a rebate; null where fee_tier says it
    taker_fee: float | None  # fraction of notional; null where fee_tier says it
    reject_share: float  # of orders that the venue refuses for no reason of ours, [0, 1]
    cancel_reject_share: float  # of cancels that it refuses; the order goes on, [0, 1]
    cancel_lost_share: float  # of cancels that never arrive; both shares of cancels together at most 1
    reconcile_ms: float  # a lost cancel's sending to our learning that the order still stands, (0, 60000]
    seed: int  # of sampled rejects, cancel failures and latencies

    def __post_init__(self) -> None:
        for key in ("order_latency_ms", "ack_latency_ms"):
            _check_range(key, getattr(self, key), 0.0, _LONGEST_MS)
        for key in ("maker_fee", "taker_fee"):
            _check_fee(key, getattr(self, key), self.fee_tier)
        if self.queue_model not in QUEUE_MODELS:
            raise ConfigError(f"queue_model={self.queue_model!r} is not one of {sorted(QUEUE_MODELS)}")
        if self.crossed_book not in CROSSED_BOOKS:
            raise ConfigError(f"crossed_book={self.crossed_book!r} is not one of {sorted(CROSSED_BOOKS)}")
        _check_range("queue_power", self.queue_power, 0.1, _LARGEST_POWER)
        _check_range("reconcile_ms", self.reconcile_ms, 1e-6, _LONGEST_MS)
        for key in _SHARES:
            _check_range(key, getattr(self, key), 0.0, 1.0)
        _check_range("cancel_reject_share + cancel_lost_share", self.cancel_reject_share + self.cancel_lost_share, 0, 1)
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
    def reconcile_ns(self) -> int:
        """From a lost cancel's sending to the look that finds its order, ns."""
        return round(self.reconcile_ms * 1e6)

    @property
    def fees(self) -> tuple[float, float]:
        """Maker's and taker's, fractions of notional. Raises ConfigError for a tier before ``charged``."""
        if self.maker_fee is None or self.taker_fee is None:
            raise ConfigError(f"what fee_tier={self.fee_tier} charges depends on venue and day")
        return self.maker_fee, self.taker_fee

    def charged(self, venue: str, start_ns: int, end_ns: int) -> Self:
        """The same, with what the tier charges at a venue from one instant to another, ns UTC, in place of its name.

        Raises DataError if the fee table has no entry for those days, or the fees change in between.
        """
        if not self.fee_tier:
            return self
        fees = fees_over(venue, self.fee_tier, _day_of(start_ns), _day_of(end_ns))
        return replace(self, fee_tier="", maker_fee=fees.maker, taker_fee=fees.taker)

    @property
    def queue_code(self) -> int:
        """The queue model as the compiled kernel knows it."""
        return QUEUE_MODELS[self.queue_model]

    @property
    def crossed_code(self) -> int:
        """What a crossed book does, as the compiled kernel knows it."""
        return CROSSED_BOOKS[self.crossed_book]


@dataclass(frozen=True, slots=True)
class ReportParameters:
    """What a backtest's report looks at beside the run itself."""

    markouts_ms: tuple[int, ...]  # how long after a fill the venue's mid is read, rising
    surface_fees_bp: tuple[
        float, ...
    ]  # round-trip fees of the surface; labels.fee_budgets_bp always stand side by side
    surface_latencies: tuple[float, ...]  # times the configured latencies
    surface_sizes: tuple[float, ...]  # times the configured caps and order sizes
    jobs: int  # processes that share the points of the surface; 1: in the process itself

    def __post_init__(self) -> None:
        rising = ("markouts_ms", "surface_fees_bp", "surface_latencies", "surface_sizes")
        for key in rising:
            values = getattr(self, key)
            if not values or any(not low < high for low, high in pairwise(values)):
                raise ConfigError(f"{key}={values} must hold at least one value, each above the one before")
        for key, least in (("markouts_ms", 1), ("surface_latencies", 0), ("surface_sizes", 1e-6), ("jobs", 1)):
            value = getattr(self, key)
            if (value if key == "jobs" else value[0]) < least:
                raise ConfigError(f"{key}={value} must not go below {least:g}")


def _day_of(ts: int) -> date:
    return datetime.fromtimestamp(ts // 1_000_000_000, UTC).date()


def _check_fee(key: str, fee: float | None, tier: str) -> None:
    if (fee is None) != bool(tier):
        raise ConfigError(f"{key}={fee} with fee_tier={tier!r}: either a tier says the fees, or the two numbers do")
    if fee is not None:
        _check_range(key, fee, -_LARGEST_FEE, _LARGEST_FEE)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name}={value} is outside [{low}, {high}]")


@dataclass(frozen=True, slots=True)
class VenueModelParameters:
    """Models of the venue that are fitted from our own journal, and whether backtests use them."""

    use: Literal["configured", "fitted"]  # "fitted": the newest version, part by part where it had enough to go by
    latency_stress: float  # every leg of a backtest is so many times as long, [0, 100]
    journal_h: float  # hours at the journal's end that are fitted, [0.001, 8760]
    min_orders: int  # answered orders, below which latency and refusals are insufficient
    min_cancels: int  # cancels of orders that still stood, below which their failures are insufficient
    min_fills: int  # filled resting orders, below which the queue model is insufficient
    rate_buckets: int  # parts that the journal's message rates are cut into, [1, 100]
    queue_powers: tuple[float, ...]  # n of the model power that are compared
    resamples: int  # for the intervals
    seed: int  # of the resampling

    def __post_init__(self) -> None:
        _check_range("latency_stress", self.latency_stress, 0.0, 100.0)
        _check_range("journal_h", self.journal_h, 1e-3, 8760.0)
        for key in ("min_orders", "min_cancels", "min_fills", "resamples"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)} must be at least 1")
        _check_range("rate_buckets", self.rate_buckets, 1, 100)
        if not self.queue_powers or min(self.queue_powers) <= 0:
            raise ConfigError(f"queue_powers={list(self.queue_powers)} must name at least one n above 0")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed} is below 0")
