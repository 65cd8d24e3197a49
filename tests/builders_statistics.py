"""Series with a known truth for the statistics, and the packages that these are held against."""

import os
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray


def peer(name: str) -> ModuleType:
    """A package of ``make peers``. Skips the test without it; fails it where ``TICKLOOP_REQUIRE_SERVICES=1``."""
    if os.environ.get("TICKLOOP_REQUIRE_SERVICES") == "1":
        return __import__(name, fromlist=["_"])
    return pytest.importorskip(name)


def autoregression(phi: float, size: int, seed: int) -> NDArray[np.float64]:
    """An AR(1) of innovations with variance 1."""
    noise = np.random.default_rng(seed).normal(size=size)
    for place in range(1, size):
        noise[place] += phi * noise[place - 1]
    return noise


def overlapping(size: int, horizon: int, seed: int) -> NDArray[np.float64]:
    """Sums of ``horizon`` neighbouring noises, as overlapping forward returns are: mean 0."""
    noise = np.random.default_rng(seed).normal(size=size + horizon - 1)
    return np.convolve(noise, np.ones(horizon), "valid")
