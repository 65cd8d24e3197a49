"""Compiled: net returns of a round trip from its price ratio, and the class that they make, one pass over the rows."""

from typing import Final

import numpy as np
from numba import njit

from labeling.replay import DEPTH_SHORT, OK
from market.borrowing import UNCHECKED

DOWN: Final = -1
NO_TRADE: Final = 0
UP: Final = 1
NO_CLASS: Final = -128


BLOCK: Final = 4_096  # rows that stay in the cache while every fee is tried on them


@njit(**UNCHECKED, forceinline=True)
def net_long(ratio, paid, fee, inverse):
    """Return per entry notional of buying and selling back; ``paid`` is the funding that the long side pays."""
    if inverse:
        return (1 - fee) - (1 + fee) / ratio - paid
    return (1 - fee) * ratio - (1 + fee) - paid


@njit(**UNCHECKED, forceinline=True)
def net_short(ratio, got, fee, inverse):
    """Return per entry notional of selling and buying back; ``got`` is the funding that the short side receives."""
    if inverse:
        return (1 - fee) / ratio - (1 + fee) + got
    return (1 - fee) - (1 + fee) * ratio + got


@njit(**UNCHECKED)
def both_nets(ratios, funding, fee, inverse, nets):
    """Fill ``nets``, long and short; every argument but the numbers is a pair of arrays (N,)."""
    for i in range(ratios[0].size):
        nets[0][i] = net_long(ratios[0][i], funding[0][i], fee, inverse)
        nets[1][i] = net_short(ratios[1][i], funding[1][i], fee, inverse)


@njit(**UNCHECKED)
def classify(ratios, funding, status, fees, margin, inverse, classes):
    """Fill the class of each row at each of B fees: the better side where it returns more than the margin.

    ratios, funding : long and short, (N,) each; status : (N,)
    fees : (B,) of a leg; classes : (B, N), NO_CLASS where the status is not OK
    """
    for b in range(fees.size):
        for i in range(status.size):
            up = net_long(ratios[0][i], funding[0][i], fees[b], inverse)
            down = net_short(ratios[1][i], funding[1][i], fees[b], inverse)
            classes[b, i] = _class(up, down, margin, status[i])


@njit(**UNCHECKED)
def classify_unfunded(ratios, status, fees, margin, inverse, classes):
    """As ``classify`` for rows that pay no funding; block by block, each of them compiled to wide instructions."""
    for first in range(0, status.size, BLOCK):
        block = slice(first, min(first + BLOCK, status.size))
        for b in range(fees.size):
            if inverse:
                _block(ratios[0][block], ratios[1][block], status[block], fees[b], margin, True, classes[b][block])
            else:
                _block(ratios[0][block], ratios[1][block], status[block], fees[b], margin, False, classes[b][block])


@njit(**UNCHECKED, forceinline=True)
def _block(longs, shorts, status, fee, margin, inverse, classes):
    for i in range(status.size):
        up, down = net_long(longs[i], 0.0, fee, inverse), net_short(shorts[i], 0.0, fee, inverse)
        classes[i] = _class(up, down, margin, status[i])


@njit(**UNCHECKED)
def class_of(long_ratio, short_ratio, fee, margin, inverse):
    """The class of one round trip that pays no funding, NO_CLASS where a ratio is NaN."""
    up, down = net_long(long_ratio, 0.0, fee, inverse), net_short(short_ratio, 0.0, fee, inverse)
    return _class(up, down, margin, DEPTH_SHORT if np.isnan(up + down) else OK)


@njit(**UNCHECKED, forceinline=True)
def _class(up, down, margin, status):
    side = np.int8(UP) if up >= down else np.int8(DOWN)
    chosen = side if (up > margin) | (down > margin) else np.int8(NO_TRADE)
    return chosen if status == OK else np.int8(NO_CLASS)
