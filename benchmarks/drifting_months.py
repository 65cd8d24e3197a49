"""Simulated months for the monitors: rows, labels, executions and profits of a market that stays, or changes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from monitoring.drift import Sample
from monitoring.execution_drift import FILL_RATIO, LATENCY, PAID_COST, Observations
from monitoring.ir_decay import DAY_MINUTES, DailyNet
from monitoring.label_shift import DailyCounts

Floats = NDArray[np.float64]

FIRST: Final = date(2024, 1, 1)
FIRST_NS: Final = 1_704_067_200_000_000_000
SAMPLE_S: Final = 30
DAY_ROWS: Final = 86_400 // SAMPLE_S
TRAINING_DAYS: Final = 10
BASE_DAYS: Final = 30  # of walk-forward Tests
LIVE_DAYS: Final = 30
FEATURES: Final = tuple(f"feature_{number}" for number in range(8))
REGIMES: Final = ("range", "trend", "high volatility")
SPELL_ROWS: Final = 40  # mean rows of a regime: 20 minutes
DAILY_IR: Final = 2.05  # 2 over days that differ in volatility
FILL_SHARE: Final = 0.6
SHARES: Final = np.array([[0.15, 0.70, 0.15], [0.25, 0.50, 0.25], [0.35, 0.30, 0.35]])  # of classes, by regime
MINUTE_BP: Final = np.array([1.0, 1.5, 3.0])  # deviation of a minute's profit, by regime


@dataclass(frozen=True)
class Change:
    """What changes, from which live day on; nothing by default."""

    day: int = 10_000
    feature: float = 0.0  # deviations, of one feature
    label_points: float = 0.0  # from no trade to up, in one regime
    cost_bp: float = 0.0
    latency: float = 1.0  # times as long
    fill_points: float = 0.0  # fewer lots filled
    daily_ir: float = DAILY_IR


STATIONARY: Final = Change()


class Market(NamedTuple):
    """One seed's training and live days, each stream drawn by a generator of its own."""

    seed: int
    days: int  # training and live

    def stream(self, name: str) -> np.random.Generator:
        """The generator of one kind of data."""
        return np.random.default_rng((self.seed, *name.encode()))


@lru_cache(maxsize=8)
def regimes_of(market: Market) -> NDArray[np.int8]:
    """Regime of each row: spells of geometric length, oftener of high volatility by day."""
    generator, rows = market.stream("regimes"), market.days * DAY_ROWS
    switches = generator.random(rows) < 1 / SPELL_ROWS
    by_day = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(rows) / DAY_ROWS)
    high = 0.1 + 0.25 * by_day
    drawn = generator.random(rows)
    chosen = np.where(drawn < high, 2, np.where(drawn < high + 0.3, 1, 0))
    last = np.maximum.accumulate(np.where(switches, np.arange(rows), 0))
    return np.asarray(chosen[last], np.int8)


def autoregression(generator: np.random.Generator, rows: int, phi: float, columns: int = 1) -> Floats:
    """Stationary, of unit variance, (rows, columns)."""
    noise = generator.standard_normal((rows, columns)) * np.sqrt(1 - phi**2)
    noise[0] /= np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise, axis=0))


def features_of(market: Market, change: Change = STATIONARY) -> tuple[Sample, Sample]:
    """Live and training rows."""
    generator, regimes = market.stream("features"), regimes_of(market)
    rows = regimes.size
    place, way = int(generator.integers(len(FEATURES))), float(generator.choice([-1.0, 1.0]))
    hour = 2 * np.pi * np.arange(rows) / DAY_ROWS
    values = np.empty((rows, len(FEATURES)), np.float32)
    for column, phi in enumerate(np.linspace(0.0, 2 / 3, len(FEATURES))):  # 1 to 5 rows of autocorrelation time
        offsets, phase = 0.6 * generator.standard_normal(len(REGIMES)), 2 * np.pi * generator.random()
        own = autoregression(generator, rows, phi)[:, 0]
        values[:, column] = own + 0.5 * np.sin(hour + phase) + offsets[regimes]
    values[(TRAINING_DAYS + change.day) * DAY_ROWS :, place] += np.float32(way * change.feature)
    row_ts = FIRST_NS + np.arange(rows, dtype=np.int64) * SAMPLE_S * 1_000_000_000
    cut = TRAINING_DAYS * DAY_ROWS
    return Sample(row_ts[cut:], regimes[cut:], values[cut:]), Sample(row_ts[:cut], regimes[:cut], values[:cut])


def labels_of(market: Market, change: Change = STATIONARY) -> tuple[DailyCounts, DailyCounts]:
    """Live and training days; shares of classes differ between days by some points."""
    generator = market.stream("labels")
    shifted = int(generator.integers(len(REGIMES)))
    rows = np.stack([np.bincount(day, minlength=3) for day in regimes_of(market).reshape(market.days, DAY_ROWS)])
    counts = np.empty((market.days, len(REGIMES), 3), np.int64)
    for day in range(market.days):
        for regime, shares in enumerate(SHARES):
            drawn = shares * np.exp(0.08 * generator.standard_normal(3))
            drawn = drawn / drawn.sum()
            if regime == shifted and day >= TRAINING_DAYS + change.day:
                drawn = drawn + np.array([0.0, -1.0, 1.0]) * change.label_points / 100
            counts[day, regime] = generator.multinomial(rows[day, regime], drawn)
    names = tuple(str(FIRST + timedelta(days=day)) for day in range(market.days))
    split = TRAINING_DAYS
    return DailyCounts(names[split:], counts[split:], DAY_ROWS), DailyCounts(names[:split], counts[:split], DAY_ROWS)


def executions_of(market: Market, change: Change = STATIONARY) -> tuple[Observations, ...]:
    """Legs, fills and costs of the live days' orders: more by day, hours alike, some hours dear."""
    generator, hours = market.stream("orders"), (market.days - TRAINING_DAYS) * 24
    by_day = np.sin(2 * np.pi * np.arange(hours) / 24)
    counts = generator.poisson(20 * (1.2 + by_day)) + 1
    hour = np.repeat(np.arange(hours), counts)
    changed = hour >= change.day * 24
    alike = autoregression(generator, hours, 0.8, 3)[hour]
    noise = generator.standard_normal((hour.size, 2))
    legs = np.exp(0.05 * alike[:, 0] + 0.4 * noise[:, 0] - (0.05**2 + 0.4**2) / 2) * np.where(
        changed, change.latency, 1
    )
    filled = FILL_SHARE + 0.03 * alike[:, 1] - np.where(changed, change.fill_points / 100, 0)
    costs = 0.2 * alike[:, 2] + 0.1 * by_day[hour] + 2.0 * noise[:, 1] + np.where(changed, change.cost_bp, 0.0)
    start = FIRST_NS + TRAINING_DAYS * 86_400_000_000_000
    ts = start + hour.astype(np.int64) * 3_600_000_000_000
    fills = (generator.random(hour.size) < filled).astype(np.float64)
    expected = {LATENCY: 1.0, FILL_RATIO: FILL_SHARE, PAID_COST: 0.0}
    values = {LATENCY: legs, FILL_RATIO: fills, PAID_COST: costs}
    ones = np.ones(hour.size)
    return tuple(Observations(name, expected[name], ts, values[name], ones) for name in expected)


def profits_of(market: Market, change: Change = STATIONARY) -> tuple[DailyNet, DailyNet]:
    """Live and base days of one-minute profits, whose volatility differs between days."""
    generator, live = market.stream("profits"), market.days - TRAINING_DAYS
    days = BASE_DAYS + live
    regimes = regimes_of(Market(market.seed + 1_000, days)).reshape(days, DAY_ROWS)[:, ::2]
    minutes = np.stack([np.bincount(day, minlength=3) for day in regimes])
    ir = np.where(np.arange(days) < BASE_DAYS + change.day, DAILY_IR, change.daily_ir)
    sums = np.stack([_profits_of_day(generator, minutes[day], float(ir[day])) for day in range(days)])
    names = tuple(str(FIRST + timedelta(days=TRAINING_DAYS - BASE_DAYS + day)) for day in range(days))
    return DailyNet(names[BASE_DAYS:], sums[BASE_DAYS:]), DailyNet(names[:BASE_DAYS], sums[:BASE_DAYS])


def _profits_of_day(generator: np.random.Generator, minutes: NDArray[np.int64], daily_ir: float) -> Floats:
    """(R, 3); sums and squares as those of independent normal minutes. Each regime earns in step with its deviation."""
    deviation = MINUTE_BP * np.exp(0.2 * generator.standard_normal())
    shares = minutes / minutes.sum()
    each = daily_ir / DAY_MINUTES**0.5 * np.sqrt(shares @ MINUTE_BP**2) / (shares @ MINUTE_BP)
    sums = minutes * each * deviation + np.sqrt(minutes) * deviation * generator.standard_normal(3)
    squares = deviation**2 * generator.chisquare(np.maximum(minutes - 1, 1)) + sums**2 / np.maximum(minutes, 1)
    return np.stack([minutes, sums, squares], axis=-1)


def as_known(live: DailyNet) -> Iterator[DailyNet]:
    """What was known at the end of each live day."""
    for day in range(1, len(live.days) + 1):
        yield DailyNet(live.days[:day], live.sums[:day])
