"""Random numbers without a state: each is a hash of what it is drawn for, so that no draw depends on another's order.

The simulator's streams are the same mix over a counter that runs.
"""

from typing import Final

import numpy as np
from numba import njit

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


@njit(cache=True)
def mixed(z):
    """Every bit of a uint64 spread over all 64.

    Source: Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators, mix64variant13
    """
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def unit(z):
    """A mixed uint64 as a number strictly within 0 and 1."""
    return (np.float64(z >> np.uint64(11)) + 0.5) * 2.0**-53


@njit(cache=True)
def draw(seed, subject, leg):
    """Uniform, strictly within 0 and 1, and always the same for a seed, a subject (an order, a row) and a leg of it.

    >>> draw(1, 2, 3) == draw(1, 2, 3), draw(1, 2, 3) == draw(1, 2, 4)
    (True, False)
    """
    z = mixed(np.uint64(seed) + GOLDEN)
    z = mixed((z ^ np.uint64(subject)) + GOLDEN)
    return unit(mixed((z ^ np.uint64(leg)) + GOLDEN))
