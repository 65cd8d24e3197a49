"""Compiled random numbers: SplitMix64 over an array of counters, so that a state is a few integers anyone can keep."""

import numpy as np
from numba import njit

from market.counter_hash import GOLDEN, mixed, unit


def stream_start(seed: int, purpose: int, symbol: int) -> np.uint64:
    """Where the counter of one stream begins."""
    return np.uint64(np.random.SeedSequence(seed, spawn_key=(purpose, symbol)).generate_state(1, np.uint64)[0])


@njit(cache=True)
def uniform(random, stream):
    """The next number of a stream, strictly within 0 and 1."""
    random[stream] += GOLDEN
    return unit(mixed(random[stream]))


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
