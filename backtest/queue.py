"""Queue models: how the displayed lots ahead of a resting order shrink. One compiled switch by integer code.

A model is chosen by its code and not passed as a function, because a function passed as an argument is never cached.
"""

import math

from numba import njit

from backtest.parameters import FRONT, LOG, POWER
from market.borrowing import BORROWING


@njit(**BORROWING)
def front_on_acceptance(model, displayed):
    """Lots ahead of an order that joins a level showing ``displayed`` lots."""
    return 0.0 if model == FRONT else float(displayed)


@njit(**BORROWING)
def share_behind(model, power, front, back):
    """Share of a decrease that happened behind an order with ``front`` lots ahead of it and ``back`` behind, 0 to 1.

    Source: Rigtorp (2013), Estimating order queue position
    """
    if model == POWER:
        ahead, behind = front**power, back**power
    else:
        ahead, behind = math.log(1.0 + front), math.log(1.0 + back)
    return behind / (ahead + behind) if ahead + behind > 0.0 else 1.0


@njit(**BORROWING)
def front_after_depth(queue, front, shown, displayed, traded):
    """Lots ahead once the level shows ``displayed`` lots and no longer ``shown``; ``queue`` is (model, power).

    Lots printed there in between, ``traded``, have left the front already, and are taken off the decrease once.
    Whoever joins, joins behind us. Risk-averse: whoever cancelled stood behind us as well, until the level shows less
    than what we believe to be ahead.
    """
    model, power = queue
    gone = float(shown - displayed - traded)
    if gone > 0.0 and (model in (POWER, LOG)):
        front -= (1.0 - share_behind(model, power, front, max(shown - front, 0.0))) * gone
    return max(min(front, float(displayed)), 0.0)


@njit(**BORROWING)
def lots_through(left):
    """Whole lots of a print that got past the queue, of ``left``: an estimate, so to the nearest lot."""
    return max(math.floor(left + 0.5), 0)
