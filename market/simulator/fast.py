"""The fast form: rows and one-minute buckets of a simulated symbol for months, without a book.

A UTC date is a block that can be made alone: its returns need no other block, its prices the products of those since
``first_date``, which are kept. Regimes, diurnal cycle, bursts of volatility and correlation are tick mode's own;
the noise is not, so rows of one interval say nothing about those of another.
"""

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from market.errors import ConfigError
from market.simulator.alpha import drift_per_step, expected_return_bp, noise_share
from market.simulator.parameters import RANGE, TREND, SimulationParameters
from market.simulator.path import (
    COMMON,
    DAY_NS,
    DAY_S,
    RETURNS,
    TRADING,
    block_generator,
    day_number,
    market_path,
    signal_path,
)

Floats = NDArray[np.float64]

MOST_ROWS: Final = 1_000_000  # of a frame
_MS: Final = 1_000_000
_LEAN_TO_DRIFT: Final = 0.52  # mean over root mean square of tick mode's jumps
_ANCHOR_S: Final = 60.0


class _Day(NamedTuple):
    """One block: a value a step; ``growth`` has one more, and begins at 1."""

    sigma_bp: Floats  # per square root of a second
    signal: Floats
    regime: NDArray[np.int8]
    growth: Floats  # price over that at midnight


def fast_rows(
    parameters: SimulationParameters, first: date, last: date, interval_ms: int = 1_000
) -> Iterator[pl.DataFrame]:
    """Rows of the dates ``first`` to ``last``, both included, at every multiple of the interval from midnight on.

    Columns: ts (ns UTC), mid (quote currency), spread_bp, imbalance (-1 to 1), volume (lots) and trades since the row
    before, signal, expected_bp (mean return over the alpha's horizon, known from the signal), sigma_bp (volatility in
    force, per square root of a second), regime (0 trend, 1 range, 2 high volatility). A frame holds at most MOST_ROWS.

    Raises ConfigError if the interval does not divide a second or a day, ``first`` is before ``first_date``, or the
    planted alpha would have to explain more than all of the variance.
    """
    _require_interval(interval_ms)
    opening = _opening(parameters, first, interval_ms)
    for number in range(day_number(first), day_number(last) + 1):
        day = _day(parameters, number, interval_ms)
        yield from _rows(parameters, number, day, opening, interval_ms).iter_slices(MOST_ROWS)
        opening *= float(day.growth[-1])


def fast_buckets(parameters: SimulationParameters, first: date, last: date) -> pl.DataFrame:
    """One-minute buckets over rows of a second, for the dates ``first`` to ``last``, both included.

    Columns: ts (ns UTC of the beginning), open, high, low, close (the mid; the close is the next open), volume, trades
    of the minute; and what was known at its beginning: signal, imbalance, expected_bp, sigma_bp, regime.

    Raises ConfigError as ``fast_rows`` does.
    """
    opening, frames = _opening(parameters, first, 1_000), []
    for number in range(day_number(first), day_number(last) + 1):
        day = _day(parameters, number, 1_000)
        frames.append(_buckets(_rows(parameters, number, day, opening, 1_000), opening * day.growth))
        opening *= float(day.growth[-1])
    return pl.concat(frames)


def _require_interval(interval_ms: int) -> None:
    if interval_ms < 1 or (1_000 % interval_ms if interval_ms < 1_000 else DAY_S * 1_000 % interval_ms):
        raise ConfigError(f"interval_ms={interval_ms} must divide 1000, or be whole seconds that divide a day")
    if interval_ms > 1_000 and interval_ms % 1_000:
        raise ConfigError(f"interval_ms={interval_ms} must divide 1000, or be whole seconds that divide a day")


def _opening(parameters: SimulationParameters, first: date, interval_ms: int) -> float:
    """The price at the first midnight."""
    begin = day_number(date.fromisoformat(parameters.first_date))
    if day_number(first) < begin:
        raise ConfigError(f"{first} is before the market's first_date={parameters.first_date}")
    price = parameters.start_price
    for number in range(begin, day_number(first)):
        price *= _growth(parameters, number, interval_ms)
    return price


@lru_cache(maxsize=4_096)
def _growth(parameters: SimulationParameters, number: int, interval_ms: int) -> float:
    return float(_day(parameters, number, interval_ms).growth[-1])


def _day(parameters: SimulationParameters, number: int, interval_ms: int) -> _Day:
    path = market_path(parameters, number)
    multiplier = _at_steps(path.multiplier**2, interval_ms) ** 0.5
    sigma_bp = parameters.volatility.volatility_bp * multiplier
    regime, direction = _first_of(path.regime, interval_ms), _first_of(path.direction, interval_ms)
    signal = signal_path(parameters, number, interval_ms * _MS)
    step_s = interval_ms / 1e3
    returns = _unforeseen(parameters, number, signal.size)
    if parameters.mode == "alpha":
        returns = noise_share(parameters.alpha, step_s) * returns + drift_per_step(parameters.alpha, step_s) * signal
        if np.isnan(returns[0]):
            raise ConfigError(f"ic={parameters.alpha.ic} cannot be had with this horizon_s and halflife_s")
    returns *= sigma_bp * (step_s**0.5 * 1e-4)
    if parameters.mode == "reactive":
        _react(returns, sigma_bp, regime, direction, _gains(parameters, step_s))
    return _Day(sigma_bp, signal, regime, np.concatenate([[1.0], np.cumprod(1.0 + returns)]))


def _unforeseen(parameters: SimulationParameters, number: int, steps: int) -> Floats:
    """Normal numbers of variance 1 that those of other symbols are correlated with."""
    own = block_generator(parameters.seed, RETURNS, parameters.symbol, number).standard_normal(steps)
    common = block_generator(parameters.seed, COMMON, 0, number).standard_normal(steps)
    correlation = parameters.volatility.correlation
    return np.asarray(correlation**0.5 * common + (1 - correlation) ** 0.5 * own)


def _at_steps(per_second: Floats, interval_ms: int) -> Floats:
    """A value a second as the mean of each step."""
    if interval_ms <= 1_000:
        return np.repeat(per_second, 1_000 // interval_ms)
    return np.asarray(per_second.reshape(-1, interval_ms // 1_000).mean(axis=1))


def _first_of(per_second: NDArray[np.int8], interval_ms: int) -> NDArray[np.int8]:
    if interval_ms <= 1_000:
        return np.repeat(per_second, 1_000 // interval_ms)
    return per_second[:: interval_ms // 1_000].copy()


def _gains(parameters: SimulationParameters, step_s: float) -> Floats:
    """Drift of a step in units of the volatility: by trend, by range per deviation; and the anchor's weight."""
    drift = _LEAN_TO_DRIFT * (2 * parameters.flow.moves_per_s) ** 0.5 * step_s
    alpha = parameters.alpha
    return np.array([alpha.trend_gain * drift, alpha.range_gain * drift, min(1.0, step_s / _ANCHOR_S)])


@njit(cache=True)
def _react(returns, sigma_bp, regime, direction, gains):
    """Add, in place, the drift of episodes that trend, and the way back to the trailing minute in those that range."""
    moved, anchor = 0.0, 0.0
    for i in range(returns.size):
        sigma = sigma_bp[i] * 1e-4
        if regime[i] == TREND:
            returns[i] += gains[0] * direction[i] * sigma
        elif regime[i] == RANGE:
            returns[i] -= gains[1] * (moved - anchor) / np.sqrt(_ANCHOR_S)
        moved += returns[i]
        anchor += gains[2] * (moved - anchor)


def _rows(parameters: SimulationParameters, number: int, day: _Day, opening: float, interval_ms: int) -> pl.DataFrame:
    rng = block_generator(parameters.seed, TRADING, parameters.symbol, number)
    steps = day.signal.size
    multiplier = day.sigma_bp / parameters.volatility.volatility_bp
    flow = parameters.flow
    trades = rng.poisson(flow.markets_per_s * flow.fills_per_order * multiplier * (interval_ms / 1e3))
    lots = flow.trade_lots * np.exp(0.5 * rng.standard_normal(steps))
    seen = parameters.alpha.expression if parameters.mode == "alpha" else 0.0
    leaning = seen * day.signal + (1 - seen**2) ** 0.5 * rng.standard_normal(steps)
    return pl.DataFrame(
        {
            "ts": number * DAY_NS + np.arange(steps, dtype=np.int64) * (interval_ms * _MS),
            "mid": opening * day.growth[:-1],
            "spread_bp": flow.spread_bp * (1 + 0.1 * multiplier * rng.standard_exponential(steps)),
            "imbalance": np.tanh(0.8 * leaning),
            "volume": trades * lots,
            "trades": trades,
            "signal": day.signal,
            "expected_bp": expected_return_bp(parameters.alpha, parameters.mode, day.signal, day.sigma_bp),
            "sigma_bp": day.sigma_bp,
            "regime": day.regime,
        }
    )


def _buckets(rows: pl.DataFrame, mid: Floats) -> pl.DataFrame:
    """Minutes of a day; ``mid`` has the next midnight's as well."""
    minutes = rows.height // 60
    within = np.lib.stride_tricks.sliding_window_view(mid, 61)[::60]
    known = ("signal", "imbalance", "expected_bp", "sigma_bp", "regime")
    sums = {name: rows[name].to_numpy().reshape(minutes, 60).sum(axis=1) for name in ("volume", "trades")}
    prices = {"open": within[:, 0], "high": within.max(axis=1), "low": within.min(axis=1), "close": within[:, -1]}
    first = rows.gather_every(60)
    return pl.DataFrame({"ts": first["ts"], **prices, **sums, **{name: first[name] for name in known}})
