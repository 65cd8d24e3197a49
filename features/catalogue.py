"""The ordered list of features, what a row's status means, and the sha that binds a model to both."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

from features.parameters import FeatureParameters

Normalization = Literal["none", "median_mad", "rank"]

CATALOGUE_VERSION: Final = "1.0"
DOCUMENTED_WINDOWS_MS: Final = (50, 250, 1_000)

# status of a row; every other value than VALID is the first reason that holds, from the top
VALID: Final = 0
BOOK_CLOSED: Final = 1
ONE_SIDED: Final = 2
CROSSED: Final = 3
SILENT: Final = 4
WARMING_UP: Final = 5

STATUS_NAMES: Final = {
    VALID: "valid",
    BOOK_CLOSED: "book closed",
    ONE_SIDED: "one-sided book",
    CROSSED: "crossed book",
    SILENT: "silent feed",
    WARMING_UP: "warming up",
}
STATUS_MEANINGS: Final = {
    VALID: "all features hold",
    BOOK_CLOSED: "no snapshot yet, or a gap since the last one",
    ONE_SIDED: "a side of the book is empty",
    CROSSED: "the best bid is not below the best ask",
    SILENT: "no event for longer than `max_silence_ms`",
    WARMING_UP: "the book has been open for less than the longest window, or the normaliser holds too few samples",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a row."""

    name: str
    unit: str  # of the raw value
    window_ms: int  # ms of trailing window, 0 for what holds at the instant
    normalization: Normalization
    floor: float  # least deviation to divide by, in units of the raw value (median_mad only)
    definition: str
    source: str  # the literature that it follows, empty where it is plain arithmetic

    @property
    def warm_up_ms(self) -> int:
        """Ms of open book that the raw value needs."""
        return self.window_ms

    def bound(self, parameters: FeatureParameters) -> float:
        """Largest absolute value that a model sees."""
        return parameters.normalizer_clip if self.normalization == "median_mad" else 1.0


_OFI: Final = "Cont, Kukanov & Stoikov (2014), The price impact of order book events"
_QUEUE: Final = "Gould & Bonart (2016), Queue imbalance as a one-tick-ahead price predictor in a limit order book"

INSTANT: Final = (
    Feature("spread_ticks", "ticks", 0, "median_mad", 1.0, "best ask minus best bid", ""),
    Feature(
        "queue_imbalance", "share", 0, "none", 0.0, "(bid - ask) / (bid + ask) of the lots resting at the touch", _QUEUE
    ),
    Feature("imbalance_5", "share", 0, "none", 0.0, "the same over the best 5 levels of each side", ""),
    Feature("imbalance_10", "share", 0, "none", 0.0, "the same over the best 10 levels of each side", ""),
    Feature(
        "microprice_deviation",
        "ticks",
        0,
        "median_mad",
        0.05,
        "the touch weighted by the opposite side's lots, minus the mid",
        "",
    ),
    Feature("log_bid_size", "log lots", 0, "median_mad", 0.1, "log(1 + lots at the best bid)", ""),
    Feature("log_ask_size", "log lots", 0, "median_mad", 0.1, "log(1 + lots at the best ask)", ""),
    Feature("delay_ms", "ms", 0, "median_mad", 0.5, "ingest minus aligned time of the newest event, not clamped", ""),
    Feature(
        "log_trade_age",
        "log ms",
        0,
        "median_mad",
        0.1,
        "log(1 + ms since the newest trade; since the first event before any trade)",
        "",
    ),
)
WINDOWED: Final = (
    Feature(
        "order_flow_imbalance",
        "lots",
        1,
        "rank",
        0.0,
        "sum over messages of lots joining minus leaving the best bid, less the same at the best ask",
        _OFI,
    ),
    Feature(
        "trade_imbalance", "share", 1, "none", 0.0, "(bought - sold) / (bought + sold) lots by aggressor; 0: none", ""
    ),
    Feature("log_event_count", "log events", 1, "median_mad", 0.1, "log(1 + events)", ""),
    Feature("momentum", "ticks", 1, "rank", 0.0, "mid now minus mid at the start of the window", ""),
    Feature(
        "realized_volatility",
        "ticks",
        1,
        "rank",
        0.0,
        "root of the sum of squared changes of the mid, message by message",
        "",
    ),
)


def catalogue(windows_ms: tuple[int, ...]) -> tuple[Feature, ...]:
    """Every feature in column order: the instant ones, then those of each window from the shortest."""
    windowed = (
        replace(feature, name=f"{feature.name}_{window_ms}ms", window_ms=window_ms)
        for window_ms in windows_ms
        for feature in WINDOWED
    )
    return (*INSTANT, *windowed)


FEATURES: Final = catalogue(DOCUMENTED_WINDOWS_MS)
FEATURE_COUNT: Final = len(FEATURES)  # whatever the windows


def feature_names(parameters: FeatureParameters) -> tuple[str, ...]:
    """Names of the columns under these windows."""
    return tuple(feature.name for feature in catalogue(parameters.windows_ms))


def catalogue_sha(parameters: FeatureParameters) -> str:
    """Sha256 of everything that decides what a column means; a model refuses rows of another one."""
    features = [asdict(feature) for feature in catalogue(parameters.windows_ms)]
    content = {"version": CATALOGUE_VERSION, "features": features, "parameters": asdict(parameters)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def branch_columns(parameters: FeatureParameters) -> tuple[tuple[int, ...], ...]:
    """For each window, shortest first: the columns of the instant features and of that window's own."""
    windows = [feature.window_ms for feature in catalogue(parameters.windows_ms)]
    return tuple(
        tuple(column for column, window_ms in enumerate(windows) if window_ms in (0, branch))
        for branch in parameters.windows_ms
    )
