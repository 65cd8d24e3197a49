"""Levels far from the touch: a hash of prices for each side, which doubles as it fills. ``market.book`` reads it.

A side's hash is open addressing within the first ``head[PLACES + row]`` rows of ``spill[row]``: price (0: free), lots.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.borrowing import BORROWING
from market.errors import DataError

SPILL: Final = 131_072  # most places of a side's hash, a power of two; half of them may be taken
FEWEST: Final = 1_024  # places to begin with
_GOLDEN: Final = -7_046_029_254_386_353_131  # 2**64 / golden ratio as int64: scatters round prices

# places in the book's head
SPILLED: Final = 8  # far levels held, bids; asks at SPILLED + 1
PLACES: Final = 14  # places in use, bids; asks at PLACES + 1
LOST: Final = 16  # far levels that found no room since the snapshot


def require_room(head: NDArray[np.int64]) -> None:
    """Raise DataError if a far level found no room since the last snapshot: the book then lacks it, and is closed."""
    if head[LOST]:
        raise DataError(
            f"{head[LOST]} price levels found no room in the book: a side holds more than {SPILL // 2} of them "
            "far from its touch; is the tick size of the instrument right?"
        )


@njit(**BORROWING)
def place_of(spill, head, row, price):
    """Where a price is, or would be put."""
    mask = head[PLACES + row] - 1
    place = ((price * _GOLDEN) >> 32) & mask
    while spill[row, place, 0] != 0 and spill[row, place, 0] != price:
        place = (place + 1) & mask
    return place


@njit(**BORROWING)
def put_far(spill, head, row, price, qty):
    """Set the lots of a far level; one that finds no room is counted, and closes the book."""
    place = place_of(spill, head, row, price)
    if spill[row, place, 0] == price:
        if qty > 0:
            spill[row, place, 1] = qty
        else:
            _forget(spill, head, row, place)
    elif qty > 0:
        if 2 * head[SPILLED + row] >= head[PLACES + row]:
            _double(spill, head, row)
            place = place_of(spill, head, row, price)
        if 2 * head[SPILLED + row] >= head[PLACES + row]:
            head[LOST] += 1
        else:
            _fill(spill, head, row, place, price, qty)


@njit(**BORROWING)
def _fill(spill, head, row, place, price, qty):
    head[SPILLED + row] += 1
    spill[row, place, 0] = price
    spill[row, place, 1] = qty


@njit(**BORROWING)
def _forget(spill, head, row, place):
    """Free a place and pull later entries of the same probe chain back over it."""
    mask = head[PLACES + row] - 1
    head[SPILLED + row] -= 1
    hole = place
    probe = (hole + 1) & mask
    while spill[row, probe, 0] != 0:
        home = ((spill[row, probe, 0] * _GOLDEN) >> 32) & mask
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            spill[row, hole, 0] = spill[row, probe, 0]
            spill[row, hole, 1] = spill[row, probe, 1]
            hole = probe
        probe = (probe + 1) & mask
    spill[row, hole, 0] = 0
    spill[row, hole, 1] = 0


@njit(cache=True, _nrt=True)
def take_all(spill, head, row):
    """A side's places, free ones among them, shape (places, 2), as a copy; the side is empty then."""
    kept = spill[row, : head[PLACES + row]].copy()
    clear_far(spill, head, row)
    return kept


@njit(**BORROWING)
def clear_far(spill, head, row):
    """Free every place of a side."""
    for place in range(head[PLACES + row]):
        spill[row, place, 0] = 0
        spill[row, place, 1] = 0
    head[SPILLED + row] = 0


@njit(cache=True, _nrt=True)
def _double(spill, head, row):
    """Use twice the places, if there are as many."""
    if head[PLACES + row] == SPILL:
        return
    kept = take_all(spill, head, row)
    head[PLACES + row] *= 2
    for i in range(kept.shape[0]):
        if kept[i, 0] != 0:
            _fill(spill, head, row, place_of(spill, head, row, kept[i, 0]), kept[i, 0], kept[i, 1])


@njit(**BORROWING)
def extreme_far(spill, head, row, below, above):
    """Best far price strictly between two bounds, 0 if none."""
    best = 0
    for place in range(head[PLACES + row]):
        price = spill[row, place, 0]
        if price == 0 or not below < price < above:
            continue
        if best == 0 or (price > best if row == 0 else price < best):
            best = price
    return best
