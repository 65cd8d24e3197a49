"""What a planted signal is worth: the truth that estimates on simulated markets are held against."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.simulator.parameters import AlphaParameters, Mode

Floats = float | NDArray[np.float64]

_ERF: Final = np.frompyfunc(math.erf, 1, 1)


def expected_return_bp(alpha: AlphaParameters, mode: Mode, signal: Floats, sigma_bp: Floats) -> Floats:
    """Mean return of the mid over ``horizon_s``, bp, given the signal at its beginning; 0 unless alpha is planted.

    sigma_bp : volatility in force, bp per square root of a second

    >>> expected_return_bp(AlphaParameters(ic=0.1, horizon_s=4.0), "alpha", 2.0, 1.5)
    0.6000000000000001
    """
    planted = alpha.ic if mode == "alpha" else 0.0
    return np.multiply(planted * math.sqrt(alpha.horizon_s) * np.asarray(sigma_bp), signal)[()]


def drift_per_step(alpha: AlphaParameters, step_s: float) -> float:
    """What a signal of 1 adds to one step's return, in the deviations of a step: its IC over the horizon is ``ic``."""
    steps = max(1, round(alpha.horizon_s / step_s))
    phi = 0.5 ** (step_s / alpha.halflife_s)
    return alpha.ic * math.sqrt(steps) * (1 - phi) / (1 - phi**steps)


def noise_share(alpha: AlphaParameters, step_s: float) -> float:
    """Deviation of a step's unforeseeable part, in the deviations of a step: with the drift, the horizon's stays.

    Not a number where the signal would have to explain more than there is.
    """
    steps = max(1, round(alpha.horizon_s / step_s))
    phi = 0.5 ** (step_s / alpha.halflife_s)
    lags = np.arange(1, steps)
    drift = 1 + 2 * float(np.sum((1 - lags / steps) * phi**lags))  # variance of the summed signal, per step
    left = 1 - drift_per_step(alpha, step_s) ** 2 * drift
    return math.sqrt(left) if left > 0 else math.nan


def oracle_net_bp(alpha: AlphaParameters, sigma_bp: Floats) -> Floats:
    """Mean net return of a decision by whoever knows the signal, bp: the position held over the horizon, or none.

    It takes the signal's side wherever the expected return is above ``cost_bp``, and then pays that.
    """
    deviation = np.abs(alpha.ic) * math.sqrt(alpha.horizon_s) * np.maximum(sigma_bp, 1e-300)
    barrier = alpha.cost_bp / deviation
    density = np.exp(-0.5 * barrier**2) / math.sqrt(2 * math.pi)
    beyond = 0.5 * (1 - np.asarray(_ERF(barrier / math.sqrt(2)), dtype=np.float64))
    return (2 * (deviation * density - alpha.cost_bp * beyond))[()]
