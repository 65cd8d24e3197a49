"""Frozen settings of the monitors; every quantity carries its unit."""

from dataclasses import dataclass
from typing import Final

from market.errors import ConfigError

_DAY_PARTS: Final = (1, 2, 3, 4, 6, 8, 12, 24)


@dataclass(frozen=True, slots=True)
class DriftParameters:
    """When a feature counts as drifted. The window has to span block_times x min_blocks autocorrelation times."""

    level: float  # false-discovery rate over all features of a window; 0.01 is what the requirement asks for
    min_shift: float  # KS distance beyond the tolerance below which a shift is of no consequence, however certain
    tolerance: float  # normalised units by which a value may move and count as the same
    day_parts: int  # parts of a UTC day, each compared with itself alone; 24: hour by hour, 1: whatever the hour
    sample_ms: int  # one row in so many ms is compared, of the live ones and of the reference
    block_times: float  # autocorrelation times in a block: blocks change places as if they were independent
    min_blocks: int  # live blocks of a feature below which nothing is said of it
    min_judged: float  # share of features with enough blocks below which a window is "insufficient"
    window_s: float  # length of a window of live rows, cut on the UTC clock
    votes: int  # windows in which a feature has to drift ...
    of_windows: int  # ... among so many of the newest whole ones
    reference_s: float  # newest rows of the training window that they are compared with
    page_rows: int  # rows of either side that Evidently draws
    seed: int  # of the exchanges of blocks

    def __post_init__(self) -> None:
        for key in ("level", "min_shift", "min_judged"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0 and below 1")
        for key, low in (("block_times", 1), ("min_blocks", 5), ("tolerance", 0), ("page_rows", 100), ("seed", 0)):
            if getattr(self, key) < low:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: at least {low}")
        for key in ("window_s", "reference_s", "sample_ms"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0")
        if self.day_parts not in _DAY_PARTS:
            raise ConfigError(f"day_parts={self.day_parts}; allowed: {', '.join(map(str, _DAY_PARTS))}")
        _require_votes(self.votes, "of_windows", self.of_windows)


@dataclass(frozen=True, slots=True)
class LabelShiftParameters:
    """When the classes of the traded cell count as shifted; a day is judged regime by regime against training."""

    min_points: float  # percentage points of a class share, below which no shift counts; also the naive rule's bar
    training_quantile: float  # of the shifts between any two training days, which a shift has to exceed
    interval: float  # coverage of the bootstrap interval over days, which must exclude 0
    draws: int  # of that bootstrap
    votes: int  # days that have to exceed all three ...
    of_days: int  # ... among so many of the newest
    min_rows: int  # of a regime on a day, below which nothing is said of the two
    min_day_share: float  # of a day's rows, below which it is no day
    min_training_days: int  # with enough rows of a regime, below which nothing is said of that
    seed: int  # of the bootstrap

    def __post_init__(self) -> None:
        for key in ("training_quantile", "interval"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0 and below 1")
        if not 0 < self.min_points < 100:
            raise ConfigError(f"min_points={self.min_points}; allowed: above 0 and below 100")
        if not 0 <= self.min_day_share <= 1:
            raise ConfigError(f"min_day_share={self.min_day_share}; allowed: 0 to 1")
        _require_votes(self.votes, "of_days", self.of_days)
        for key, low in (("draws", 200), ("min_rows", 1), ("min_training_days", 3), ("seed", 0)):
            if getattr(self, key) < low:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: at least {low}")


@dataclass(frozen=True, slots=True)
class ParityParameters:
    """When a run counts as its backtest come true: levels 3 and 4 of the parity ladder, and how old its journal is."""

    min_fills: int  # below which level 3 is insufficient
    most_distance: float  # absolute differences of one-minute profits, as a share of absolute profits
    min_answers: int  # answered orders and cancels, below which no latency is drawn and level 4 is insufficient
    draws: int  # backtests with drawn latencies
    band: float  # share of the drawn profits between the ends of the band
    seed: int  # of the draws
    recent_days: float  # age of a journal's newest decision of a model above which the promotion gate is insufficient

    def __post_init__(self) -> None:
        for key in ("most_distance", "band"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0 and below 1")
        if not self.recent_days > 0:
            raise ConfigError(f"recent_days={self.recent_days}; allowed: above 0")
        for key, low in (("min_fills", 1), ("min_answers", 2), ("draws", 20), ("seed", 0)):
            if getattr(self, key) < low:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: at least {low}")


@dataclass(frozen=True, slots=True)
class IrDecayParameters:
    """When what a model earns for its risk counts as decayed: live days against those of the walk-forward's Tests."""

    window_days: int  # newest live days that are judged together
    min_days: int  # of either side, below which nothing is said
    max_decline: float  # share of the base IR that may be lost, 0 to 1
    interval: float  # coverage of the bootstrap interval over days, which must exclude no decline
    draws: int  # of that bootstrap
    min_minutes: int  # of a regime on either side, below which that regime is left out of both
    seed: int  # of the bootstrap

    def __post_init__(self) -> None:
        for key in ("max_decline", "interval"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0 and below 1")
        for key, low in (("min_days", 2), ("draws", 200), ("min_minutes", 1), ("seed", 0)):
            if getattr(self, key) < low:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: at least {low}")
        if self.window_days < self.min_days:
            raise ConfigError(f"window_days={self.window_days}; allowed: at least min_days={self.min_days}")


@dataclass(frozen=True, slots=True)
class ExecutionDriftParameters:
    """When orders count as executed otherwise than the models in force say; a day is judged at a time."""

    latency_ratio: float  # of the mean leg to that in force, by which it has to be longer or shorter; above 1
    fill_points: float  # percentage points of lots filled per lots placed
    cost_bp: float  # of paid cost beyond the assumed one
    min_hours: int  # of a day with an observation, below which nothing is said of it
    votes: int  # days that have to be off the same way ...
    of_days: int  # ... among so many of the newest

    def __post_init__(self) -> None:
        if not self.latency_ratio > 1:
            raise ConfigError(f"latency_ratio={self.latency_ratio}; allowed: above 1")
        for key in ("fill_points", "cost_bp"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0")
        if not 10 <= self.min_hours <= 24:
            raise ConfigError(f"min_hours={self.min_hours}; allowed: 10 to 24")
        _require_votes(self.votes, "of_days", self.of_days)


@dataclass(frozen=True, slots=True)
class RetrainingParameters:
    """How often a model may be asked for, whatever the monitors say."""

    cooldown_s: float  # between two requests of one cause
    most_per_day: int  # requests within 24 hours, all causes together

    def __post_init__(self) -> None:
        if self.cooldown_s < 0:
            raise ConfigError(f"cooldown_s={self.cooldown_s}; allowed: at least 0")
        if self.most_per_day < 1:
            raise ConfigError(f"most_per_day={self.most_per_day}; allowed: at least 1")


def _require_votes(votes: int, key: str, of: int) -> None:
    if not 1 <= votes <= of:
        raise ConfigError(f"votes={votes}; allowed: 1 to {key}={of}")
