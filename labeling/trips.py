"""Compiled: net returns of a round trip from its price ratio, and the class that they make, one pass over the rows."""

import numpy as np
from numba import njit

from labeling.replay import OK

DOWN = -1
NO_TRADE = 0
UP = 1
NO_CLASS = -128


@njit(cache=True, error_model="numpy")
def net_long(ratio, paid, fee, inverse):
    """Return per entry notional of buying and selling back; ``paid`` is the funding that the long side pays."""
    gross = (1 - fee) - (1 + fee) / ratio if inverse else (1 - fee) * ratio - (1 + fee)
    return gross - paid


@njit(cache=True, error_model="numpy")
def net_short(ratio, got, fee, inverse):
    """Return per entry notional of selling and buying back; ``got`` is the funding that the short side receives."""
    gross = (1 - fee) / ratio - (1 + fee) if inverse else (1 - fee) - (1 + fee) * ratio
    return gross + got


@njit(cache=True, error_model="numpy")
def both_nets(ratios, funding, fee, inverse, nets):
    """Fill ``nets``, long and short; every argument but the numbers is a pair of arrays (N,)."""
    for i in range(ratios[0].size):
        nets[0][i] = net_long(ratios[0][i], funding[0][i], fee, inverse)
        nets[1][i] = net_short(ratios[1][i], funding[1][i], fee, inverse)


@njit(cache=True, error_model="numpy")
def classify(ratios, funding, status, fees, margin, inverse, classes):
    """Fill the class of each row at each of B fees: the better side where it returns more than the margin.

    ratios, funding : long and short, (N,) each, funding (0,) each where none is paid; status : (N,)
    fees : (B,) of a leg; classes : (B, N), NO_CLASS where the status is not OK
    """
    paid = got = 0.0
    for i in range(status.size):
        if status[i] != OK:
            for b in range(fees.size):
                classes[b, i] = NO_CLASS
            continue
        if funding[0].size:
            paid, got = funding[0][i], funding[1][i]
        for b in range(fees.size):
            up = net_long(ratios[0][i], paid, fees[b], inverse)
            down = net_short(ratios[1][i], got, fees[b], inverse)
            side = UP if up >= down else DOWN
            classes[b, i] = side if max(up, down) > margin else NO_TRADE
