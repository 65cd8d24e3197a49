"""Autocorrelated rows with their stamps and regimes, for the monitors."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from monitoring.drift import Sample
from monitoring.parameters import DriftParameters

SETTLING_ROWS = 1_000
DAY_NS = 86_400_000_000_000
PARAMETERS = DriftParameters(
    level=0.01,
    min_shift=0.1,
    tolerance=0.25,
    day_parts=1,
    sample_ms=1_000,
    block_times=5.0,
    min_blocks=10,
    min_judged=0.5,
    window_s=3_600.0,
    votes=2,
    of_windows=3,
    reference_s=600.0,
    page_rows=100,
    seed=3,
)
ROWS = 3_600  # of a window


def ar1(generator: np.random.Generator, rows: int, phi: float) -> NDArray[np.float32]:
    """A stationary autoregression of unit variance."""
    noise = generator.standard_normal(rows + SETTLING_ROWS) * np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise)[SETTLING_ROWS:], np.float32)


def columns(generator: np.random.Generator, rows: int, phis: tuple[float, ...]) -> NDArray[np.float32]:
    """One autoregression a column."""
    return np.stack([ar1(generator, rows, phi) for phi in phis], axis=1)


def sample(values: NDArray[np.float32], start: int = 0, regimes: NDArray[np.int8] | None = None) -> Sample:
    """Rows a second apart from ``start`` ns on; of one regime, unless they are given."""
    row_ts = start + np.arange(len(values), dtype=np.int64) * 1_000_000_000
    return Sample(row_ts, np.ones(len(values), np.int8) if regimes is None else regimes, values)
