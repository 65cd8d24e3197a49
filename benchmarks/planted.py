"""Rows of a simulated market with a planted alpha, and their labels: what models are trained on where none is real."""

from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.regimes import HIGH_VOLATILITY, RANGE, TREND
from market.simulator.fast import fast_rows
from market.simulator.parameters import AlphaParameters, SimulationParameters
from modeling.forecast import Cell, ForecastShape
from modeling.training_rows import TrainingSet

ROW_MS: Final = 20
WINDOWS_MS: Final = (50, 250, 1000)
HORIZONS_MS: Final = (1000, 5000)
SHAPE: Final = ForecastShape(tuple(Cell(horizon, 0.0) for horizon in HORIZONS_MS))
INSTANT: Final = 3  # columns that every branch reads
WINDOWED: Final = 4  # columns of each window
FEATURES: Final = INSTANT + WINDOWED * len(WINDOWS_MS)
COLUMNS: Final = tuple(
    (*range(INSTANT), *range(INSTANT + WINDOWED * branch, INSTANT + WINDOWED * (branch + 1)))
    for branch in range(len(WINDOWS_MS))
)
_REGIMES: Final = np.array([TREND, RANGE, HIGH_VOLATILITY], np.int8)  # of the simulator's codes
_MARGIN_SIGMA: Final = 0.43  # of the horizon's return: about a third of the rows is no trade
_ALPHA: Final = AlphaParameters(ic=0.6, horizon_s=5.0, halflife_s=5.0)


def planted_rows(count: int, seed: int) -> TrainingSet:
    """``count`` rows of 20 ms whose imbalance leans towards the return of the next seconds.

    Features are causal: instant ones, and means over each window. A class's margin is 0.43 deviations of the horizon's
    return at the market's base volatility, whatever the rows hold.
    """
    longest = max(HORIZONS_MS) // ROW_MS
    frame = _frame(count + longest, seed)
    mid = frame["mid"].to_numpy()
    gross = np.column_stack([mid[h // ROW_MS :][:count] / mid[:count] - 1 for h in HORIZONS_MS]) * 1e4
    margin = _MARGIN_SIGMA * SimulationParameters().volatility.volatility_bp * (np.array(HORIZONS_MS) / 1e3) ** 0.5
    row_ts = frame["ts"].to_numpy()[:count]
    return TrainingSet(
        shape=SHAPE,
        row_ts=row_ts,
        values=_features(frame)[:count],
        valid=np.ones(count, np.bool_),
        classes=(gross > margin).astype(np.int8) - (gross < -margin).astype(np.int8),
        gross_bp=gross.astype(np.float32),
        cost_bp=np.broadcast_to(margin.astype(np.float32), gross.shape),
        known_ts=row_ts[:, None] + np.array(HORIZONS_MS) * 1_000_000,
        over_ts=row_ts,
        weights=np.ones(count, np.float32),
        regimes=_REGIMES[frame["regime"].to_numpy()[:count]],
    )


def _frame(count: int, seed: int) -> pl.DataFrame:
    market = SimulationParameters(seed=seed, mode="alpha", alpha=_ALPHA)
    frames, have, first = [], 0, date.fromisoformat(market.first_date)
    for frame in fast_rows(market, first, date.fromordinal(first.toordinal() + count // 4_320_000), ROW_MS):
        frames.append(frame)
        have += frame.height
        if have >= count:
            break
    return pl.concat(frames)[:count]


def _features(frame: pl.DataFrame) -> NDArray[np.float32]:
    """Shape (rows, FEATURES), each of a deviation near 1."""
    sigma = frame["sigma_bp"].to_numpy() * (ROW_MS / 1e3) ** 0.5
    moved = np.diff(np.log(frame["mid"].to_numpy()), prepend=np.log(frame["mid"][0])) * 1e4 / sigma
    trades, imbalance = np.sqrt(frame["trades"].to_numpy()), frame["imbalance"].to_numpy() / 0.6
    spread = np.log(frame["spread_bp"].to_numpy() / frame["spread_bp"].median())
    columns = [imbalance, 5 * spread, moved]
    for window_ms in WINDOWS_MS:
        rows = max(1, round(window_ms / ROW_MS))
        columns += [_trailing_mean(series, rows) * rows**0.5 for series in (moved, trades, imbalance)]
        columns.append(_trailing_mean(np.abs(moved), rows))
    return np.column_stack(columns).astype(np.float32)


def _trailing_mean(series: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    sums = np.concatenate((np.zeros(rows), np.cumsum(series)))
    return (sums[rows:] - sums[:-rows]) / rows
