"""Compiled random numbers: SplitMix64 over an array of counters, so that a state is a few integers anyone can keep."""

from typing import Final

import numpy as np
from numba import njit

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def stream_start(seed: int, purpose: int, symbol: int) -> np.uint64:
    """Where the counter of one stream begins."""
    return np.uint64(np.random.SeedSequence(seed, spawn_key=(purpose, symbol)).generate_state(1, np.uint64)[0])


@njit(cache=True)
def uniform(random, stream):
    """The next number of a stream, strictly within 0 and 1."""
    random[stream] += _GOLDEN
    z = random[stream]
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) * 2.0**-53


@njit(cache=True)
def exponential(random, stream):
    """Above 0, of mean 1."""
    return -np.log(uniform(random, stream))


@njit(cache=True)
def normal(random, stream):
    """Of mean 0 and variance 1."""
    radius = np.sqrt(-2.0 * np.log(uniform(random, stream)))
    return radius * np.cos(2.0 * np.pi * uniform(random, stream))


@njit(cache=True)
def geometric(draw, mean):
    """A whole number of at least 1 and of the mean given, from a uniform draw."""
    if mean <= 1.0:
        return np.int64(1)
    return np.int64(1) + np.int64(np.log(draw) / np.log(1.0 - 1.0 / mean))
