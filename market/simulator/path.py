"""The slow state of a simulated day: regime, direction and volatility of the market, and a symbol's signal.

A UTC date is a block: its numbers come from a generator keyed by (seed, what, symbol, date), so that any block can
be made alone. Regimes are drawn anew at midnight; signal and bursts reach back into the block before, by as many
half-lives as a float can tell, and so join without a seam.
"""

import math
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.simulator.parameters import HIGH_VOLATILITY, RANGE, TREND, SimulationParameters, VolatilityParameters

Floats = NDArray[np.float64]

DAY_S: Final = 86_400
DAY_NS: Final = DAY_S * 1_000_000_000
_BURST_STEP_S: Final = 10  # the volatility's bursts change once in this
_REACH: Final = 24.0  # half-lives that an autoregression looks back: 2**-24 of its past is forgotten

# what a generator is for
_REGIMES: Final = 1
_BURSTS: Final = 2
_SIGNAL: Final = 3
RETURNS: Final = 4
COMMON: Final = 5
TRADING: Final = 6
ACTIVITY: Final = 16  # and the numbers above, one for each stream of tick mode


class MarketPath(NamedTuple):
    """One day of a market, a value a second; the symbols of a seed share it."""

    regime: NDArray[np.int8]  # TREND, RANGE or HIGH_VOLATILITY
    direction: NDArray[np.int8]  # of the episode: +1 or -1
    multiplier: Floats  # of the volatility


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - date(1970, 1, 1).toordinal()


def block_generator(seed: int, purpose: int, symbol: int, day: int) -> np.random.Generator:
    """The generator of one block; ``day`` counts from 1970-01-01."""
    key = np.random.SeedSequence(seed, spawn_key=(purpose, symbol, day)).generate_state(2, np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def market_path(parameters: SimulationParameters, day: int) -> MarketPath:
    """Regimes and volatility of a day, the same whatever was made before."""
    return _market_path(parameters.volatility, parameters.seed, day)


@lru_cache(maxsize=8)
def _market_path(volatility: VolatilityParameters, seed: int, day: int) -> MarketPath:
    regime, direction = _regimes(volatility, block_generator(seed, _REGIMES, 0, day))
    by_regime = np.array([volatility.trend_multiplier, volatility.range_multiplier, volatility.high_multiplier])
    steps = DAY_S // _BURST_STEP_S
    bursts = autoregression(seed, (_BURSTS, 0, day), volatility.burst_halflife_s / _BURST_STEP_S, steps)
    deviation = volatility.burst_deviation
    burst = np.repeat(np.exp(deviation * bursts - deviation**2), _BURST_STEP_S)  # the mean of its square is 1
    path = MarketPath(regime, direction, by_regime[regime] * diurnal_cycle(volatility) * burst)
    for array in path:
        array.setflags(write=False)  # shared by all who ask
    return path


def diurnal_cycle(volatility: VolatilityParameters) -> Floats:
    """The volatility's multiplier at each second of a day, (86400,); the mean of its square is 1."""
    angle = 2 * math.pi * (np.arange(DAY_S) / 3_600 - volatility.diurnal_peak_hour) / 24
    cycle = np.exp(volatility.diurnal_amplitude * np.cos(angle))
    return np.asarray(cycle / np.sqrt(np.mean(cycle**2)))


def signal_path(parameters: SimulationParameters, day: int, step_ns: int) -> Floats:
    """A day of the symbol's signal, one value a step, of mean 0 and variance 1; the noise differs from step to step."""
    halflife = parameters.alpha.halflife_s * 1e9 / step_ns
    return autoregression(parameters.seed, (_SIGNAL, parameters.symbol, day), halflife, DAY_NS // step_ns)


def autoregression(seed: int, key: tuple[int, int, int], halflife: float, steps: int) -> Floats:
    """``steps`` values of an AR(1) of variance 1; blocks of the same seed and key join, ``halflife`` in steps."""
    purpose, symbol, day = key
    phi = 0.5 ** (1 / halflife)
    reach = min(steps, math.ceil(_REACH * halflife))
    before = block_generator(seed, purpose, symbol, day - 1).standard_normal(steps)[steps - reach :]
    noise = np.concatenate([before, block_generator(seed, purpose, symbol, day).standard_normal(steps)])
    return _filter(noise, phi, math.sqrt(1 - phi * phi))[reach:]


@njit(cache=True)
def _filter(noise, phi, scale):
    series = np.empty(noise.size)
    value = noise[0]  # of variance 1 from the first step on
    for i in range(noise.size):
        value = noise[0] if i == 0 else phi * value + scale * noise[i]
        series[i] = value
    return series


def _regimes(volatility: VolatilityParameters, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Episodes of exponential length, each of another regime than the last; the first by its share of the time."""
    durations = np.empty(3)
    durations[TREND], durations[RANGE] = volatility.trend_duration_s, volatility.range_duration_s
    durations[HIGH_VOLATILITY] = volatility.high_duration_s
    regime, direction = np.empty(DAY_S, np.int8), np.empty(DAY_S, np.int8)
    second, current = 0, int(rng.choice(3, p=durations / durations.sum()))
    while second < DAY_S:
        end = min(DAY_S, second + 1 + int(rng.exponential(durations[current])))
        regime[second:end], direction[second:end] = current, rng.choice((-1, 1))
        second, current = end, (current + int(rng.integers(1, 3))) % 3
    return regime, direction
