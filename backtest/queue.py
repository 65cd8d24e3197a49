"""Queue models: how the displayed lots ahead of a resting order shrink. One compiled switch by integer code.

A model is chosen by its code and not passed as a function, because a function passed as an argument is never cached.
"""

from numba import njit

from backtest.parameters import RISK_AVERSE


@njit(cache=True)
def front_on_acceptance(model, displayed):
    """Lots ahead of an order that joins a level showing ``displayed`` lots."""
    if model == RISK_AVERSE:
        return displayed
    raise ValueError("unknown queue model")


@njit(cache=True)
def front_after_print(model, front, lots):
    """Lots ahead once ``lots`` of the quantity at the level were traded from its head."""
    if model == RISK_AVERSE:
        return max(front - lots, 0)
    raise ValueError("unknown queue model")


@njit(cache=True)
def front_after_depth(model, front, displayed):
    """Lots ahead once the level shows ``displayed`` lots.

    Risk-averse: whoever cancelled stood behind us, until the level shows less than what we believe to be ahead.
    """
    if model == RISK_AVERSE:
        return min(front, displayed)
    raise ValueError("unknown queue model")
