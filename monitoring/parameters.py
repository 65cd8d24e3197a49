"""Frozen settings of the monitors; every quantity carries its unit."""

from dataclasses import dataclass

from market.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DriftParameters:
    """When a feature counts as drifted. The window has to span block_times x min_blocks autocorrelation times."""

    level: float  # false-discovery rate over all features; 0.01 is what the requirement asks for
    min_shift: float  # KS distance beyond the tolerance below which a shift is of no consequence, however certain
    tolerance: float  # normalised units by which a value may move and count as the same
    block_times: float  # autocorrelation times in a block: blocks change places as if they were independent
    min_blocks: int  # live blocks of a feature below which nothing is said of it
    min_judged: float  # share of features with enough blocks below which the verdict is "insufficient"
    permutations: int  # of blocks between live and reference; level / features is the least p that they have to reach
    window_s: float  # newest live rows that are compared
    reference_s: float  # newest rows of the training window that they are compared with
    cooldown_s: float  # between two requests to retrain
    seed: int  # of the permutations

    def __post_init__(self) -> None:
        for key in ("level", "min_shift", "min_judged"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0 and below 1")
        for key, low in (
            ("block_times", 1),
            ("min_blocks", 5),
            ("permutations", 1_000),
            ("cooldown_s", 0),
            ("tolerance", 0),
        ):
            if getattr(self, key) < low:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: at least {low}")
        for key in ("window_s", "reference_s"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed} is below 0")


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
        if not 1 <= self.votes <= self.of_days:
            raise ConfigError(f"votes={self.votes}; allowed: 1 to of_days={self.of_days}")
        for key, low in (("draws", 200), ("min_rows", 1), ("min_training_days", 3), ("seed", 0)):
            if getattr(self, key) < low:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: at least {low}")


@dataclass(frozen=True, slots=True)
class ParityParameters:
    """When a run counts as its backtest come true: levels 3 and 4 of the parity ladder."""

    min_fills: int  # below which level 3 is insufficient
    most_distance: float  # absolute differences of one-minute profits, as a share of absolute profits
    min_answers: int  # answered orders and cancels, below which no latency is drawn and level 4 is insufficient
    draws: int  # backtests with drawn latencies
    band: float  # share of the drawn profits between the ends of the band
    seed: int  # of the draws

    def __post_init__(self) -> None:
        for key in ("most_distance", "band"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: above 0 and below 1")
        for key, low in (("min_fills", 1), ("min_answers", 2), ("draws", 20), ("seed", 0)):
            if getattr(self, key) < low:
                raise ConfigError(f"{key}={getattr(self, key)}; allowed: at least {low}")
