"""What trading costs: the fee of a leg, and the average price of walking a book."""

import numpy as np
from numba import njit

from market.book import next_level, quantity


def leg_fee(budget_bp: float) -> float:
    """Fee of each of the two legs, a fraction of notional, for a round trip that costs ``budget_bp``.

    >>> leg_fee(10.0)
    0.0005
    """
    return budget_bp / 2 * 1e-4


@njit(cache=True)
def walk(book, row, lots, inverse):
    """Average price in ticks of taking ``lots`` from a side of the book, and the lots it held of them.

    The average is harmonic for inverse contracts, whose value is contracts over price: the whole
    fill at that one price is worth what its levels are worth together. NaN where nothing rests.
    """
    average, filled, _last = walk_to(book, row, lots, inverse)
    return average, filled


@njit(cache=True)
def walk_to(book, row, lots, inverse):
    """What ``walk`` returns, and the last price that was taken from; 0 where the side holds too little."""
    left, price, value = lots, book[2][row], 0.0
    while left > 0 and price != 0:
        taken = min(left, quantity(book, row, price))
        value += taken / price if inverse else float(taken) * price
        left -= taken
        if left > 0:
            price = next_level(book, row, price)
    filled = lots - left
    if filled == 0:
        return np.nan, filled, price
    return (filled / value if inverse else value / filled), filled, price
