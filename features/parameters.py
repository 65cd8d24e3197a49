"""Settings of the feature rows: their grid, their windows, their normalisation, the sessions that they mark."""

import hashlib
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from market.errors import ConfigError
from market.units import NS_PER_MS

BUCKET_MS: Final = 10  # windows are exact on this grid, so every interval is a multiple of it
WINDOW_COUNT: Final = 3  # one network branch each
LONGEST_WINDOW_MS: Final = 60_000
_CLOCK_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@dataclass(frozen=True, slots=True)
class TradingSession:
    """Hours of an exchange whose open and close other markets feel; Monday to Friday, holidays included."""

    timezone: str  # of the IANA database, whose rules of daylight saving hold
    opens: str  # local time, hh:mm
    closes: str  # local time, hh:mm, later on the same day

    def __post_init__(self) -> None:
        for key in ("opens", "closes"):
            if not _CLOCK_TIME.fullmatch(getattr(self, key)):
                raise ConfigError(f"{key}={getattr(self, key)!r}; allowed: 00:00 to 23:59")
        if self.opens >= self.closes:
            raise ConfigError(f"closes={self.closes!r}; allowed: later than opens={self.opens}")


@dataclass(frozen=True, slots=True)
class FeatureParameters:
    """How rows are cut from the event stream and brought to a common scale. All of it is part of the catalogue sha."""

    row_interval_ms: int  # ms between two rows; a row closes at every multiple on the UTC ingest clock
    windows_ms: tuple[int, ...]  # ms, the three trailing windows, shortest first
    normalizer_window_s: int  # s of valid rows that medians and ranks look back on
    normalizer_sample_ms: int  # ms between two samples of the normaliser
    normalizer_min_samples: int  # samples before the first valid row
    normalizer_clip: float  # a median/MAD feature is cut off at plus and minus this many deviations
    max_silence_ms: int  # ms without any event after which a row is invalid
    max_funding_age_s: int  # s after which a funding rate is too old for a valid row; 0: none is required
    liquidation_reach_bp: float  # bp around the mid within which forced orders count
    liquidation_halflife_s: float  # s in which a forced order counts for half
    burst_deviations: float  # traded volume this many deviations above its trailing median is a burst
    session_flag_minutes: int  # minutes after an open, and before a close, that are flagged
    sessions: dict[str, TradingSession]  # by name, which is for the reader only
    leader: str  # instrument whose rows are seen as well; empty: none
    phased: bool  # whether each symbol's rows close at an instant of its own within the interval, from its name's hash
    phase_ms: int  # ms by which rows close after the multiples; set symbol by symbol where they are phased, else 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows_ms", tuple(self.windows_ms))
        _require_multiple("row_interval_ms", self.row_interval_ms, BUCKET_MS)
        _require_multiple("normalizer_sample_ms", self.normalizer_sample_ms, self.row_interval_ms)
        _require_windows(self.windows_ms)
        if self.normalizer_window_s * 1_000 % self.normalizer_sample_ms:
            allowed = f"allowed: a multiple of normalizer_sample_ms={self.normalizer_sample_ms}"
            raise ConfigError(f"normalizer_window_s={self.normalizer_window_s}; {allowed}")
        if not 2 <= self.normalizer_min_samples <= self.normalizer_samples:
            allowed = f"allowed: 2 to {self.normalizer_samples}, what the window holds"
            raise ConfigError(f"normalizer_min_samples={self.normalizer_min_samples}; {allowed}")
        if not 1.0 <= self.normalizer_clip <= 100.0:
            raise ConfigError(f"normalizer_clip={self.normalizer_clip}; allowed: 1 to 100")
        if self.max_silence_ms < self.row_interval_ms:
            allowed = f"allowed: at least row_interval_ms={self.row_interval_ms}"
            raise ConfigError(f"max_silence_ms={self.max_silence_ms}; {allowed}")
        _require_within("max_funding_age_s", self.max_funding_age_s, 0, 86_400)
        _require_within("liquidation_reach_bp", self.liquidation_reach_bp, 1, 1_000)
        _require_within("liquidation_halflife_s", self.liquidation_halflife_s, 0.1, 86_400)
        _require_within("burst_deviations", self.burst_deviations, 0.5, self.normalizer_clip)
        _require_within("session_flag_minutes", self.session_flag_minutes, 1, 720)
        _require_within("phase_ms", self.phase_ms, 0, self.row_interval_ms - 1)
        if self.phase_ms and not self.phased:
            raise ConfigError(f"phase_ms={self.phase_ms}; allowed: 0, as phased is off")

    @property
    def normalizer_samples(self) -> int:
        """How many samples the normaliser looks back on."""
        return self.normalizer_window_s * 1_000 // self.normalizer_sample_ms

    def of_symbol(self, symbol: str, leader: str) -> "FeatureParameters":
        """The parameters of one symbol: its leader, and its phase where rows are phased."""
        return replace(self, leader=leader, phase_ms=phase_of(symbol, self.row_interval_ms) if self.phased else 0)

    def row_at_or_after(self, ts: int) -> int:
        """The first instant, ns UTC, at or after ``ts`` at which a row closes."""
        row_ns, phase_ns = self.row_interval_ms * NS_PER_MS, self.phase_ms * NS_PER_MS
        return -((phase_ns - ts) // row_ns) * row_ns + phase_ns


def phase_of(symbol: str, row_interval_ms: int) -> int:
    """Where in the interval a symbol's rows close, ms: the same on every machine and for ever, evenly spread.

    >>> phase_of("binance-usdm-btcusdt", 20), phase_of("binance-usdm-ethusdt", 20)
    (5, 13)
    """
    return int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8], "big") % row_interval_ms


@dataclass(frozen=True, slots=True)
class RegimeParameters:
    """When a market counts as a trend, a range or highly volatile. Sampled once a second."""

    span_s: int  # s over which efficiency and volatility are measured
    memory_s: int  # s of trailing volatilities that one is ranked among
    least_s: int  # s of them before any regime is named
    trend_enter: float  # efficiency ratio, 0 to 1, at which a trend begins ...
    trend_leave: float  # ... and below which it ends
    high_enter: float  # share of the trailing volatilities below, 0 to 1, at which high volatility begins ...
    high_leave: float  # ... and below which it ends

    def __post_init__(self) -> None:
        _require_within("span_s", self.span_s, 2, 3_600)
        _require_within("memory_s", self.memory_s, self.span_s, 7 * 86_400)
        _require_within("least_s", self.least_s, 1, self.memory_s)
        for name in ("trend", "high"):
            enter, leave = getattr(self, f"{name}_enter"), getattr(self, f"{name}_leave")
            _require_within(f"{name}_enter", enter, 0.0, 1.0)
            _require_within(f"{name}_leave", leave, 0.0, enter)


def _require_within(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{key}={value}; allowed: {least:g} to {most:g}")


def _require_multiple(key: str, value_ms: int, step_ms: int) -> None:
    if value_ms <= 0 or value_ms % step_ms:
        raise ConfigError(f"{key}={value_ms}; allowed: a positive multiple of {step_ms}")


def _require_windows(windows_ms: tuple[int, ...]) -> None:
    for window_ms in windows_ms:
        _require_multiple("windows_ms", window_ms, BUCKET_MS)
    rising = all(shorter < longer for shorter, longer in pairwise(windows_ms))
    if len(windows_ms) != WINDOW_COUNT or not rising or windows_ms[-1] > LONGEST_WINDOW_MS:
        allowed = f"allowed: {WINDOW_COUNT} rising windows up to {LONGEST_WINDOW_MS}"
        raise ConfigError(f"windows_ms={list(windows_ms)}; {allowed}")
