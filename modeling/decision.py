"""Which class to say where one is rare: the one that stands out against its share of late, by as much as Val likes.

The likeliest class of a market that mostly stands still is that it stands still: who says so is right and says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.errors import NotEnoughData
from modeling.evaluation import Prediction, confusion, macro_f1

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
_TRIED: Final = np.linspace(0.0, 1.0, 21)  # 0: the likeliest class; 1: the one that most exceeds its share
_BESIDE: Final = 3  # exponents on either side that one is judged with: seconds of market draw peaks that do not last
_LEAST_SHARE: Final = 1e-6


@dataclass(frozen=True)
class DecisionRule:
    """For each cell the class of largest ``p / share ** exponent``."""

    exponents: Doubles  # (C,) 0 to 1
    shares: Doubles  # (C, 3) mean probabilities of the window that it was chosen on

    def classes(self, probabilities: NDArray[np.floating], shares: Doubles | None = None) -> NDArray[np.int8]:
        """-1, 0 or +1, shape (N, C), from probabilities of shape (N, C, 3).

        shares : (N, C, 3) of each row, see ``shares_of_late``; its own where there are none

        >>> rule = DecisionRule(np.array([1.0]), np.array([[0.1, 0.8, 0.1]]))
        >>> rule.classes(np.array([[[0.2, 0.7, 0.1]], [[0.1, 0.85, 0.05]]])).ravel().tolist()
        [-1, 0]
        """
        usual = np.maximum(self.shares if shares is None else shares, _LEAST_SHARE)
        return (np.asarray(probabilities / usual ** self.exponents[:, None]).argmax(-1) - 1).astype(np.int8)

    def said(self, name: str, windows: Sequence[tuple[Bools, NDArray[np.floating]]], rates: Doubles) -> Prediction:
        """What it says of the last of consecutive windows, against the shares that they have had of late by then.

        windows : rows that count, (N,), and probabilities, (N, C, 3); rates : see ``shares_of_late``
        """
        probabilities = windows[-1][1]
        return Prediction(name, self.classes(probabilities, shares_of_late(self.shares, windows, rates)), probabilities)


def shares_of_late(start: Doubles, windows: Sequence[tuple[Bools, NDArray[np.floating]]], rates: Doubles) -> Doubles:
    """Mean probability of each class over the rows before, (N, C, 3) of the last window; old rows fade out.

    start : (C, 3) before the first window; rates : (C,) what one row counts
    """
    newest = start.astype(np.float64)
    for counts, probabilities in windows:
        shares = np.empty(probabilities.shape)
        _follow(newest, np.ascontiguousarray(probabilities, np.float64), counts, rates, shares)
    return shares


@njit(cache=True)
def _follow(newest, probabilities, counts, rates, shares):
    rows, cells, classes = probabilities.shape
    for row in range(rows):
        shares[row] = newest
        if counts[row]:
            for cell in range(cells):
                for k in range(classes):
                    newest[cell, k] += rates[cell] * (probabilities[row, cell, k] - newest[cell, k])


def fit_decision(
    probabilities: NDArray[np.floating], classes: NDArray[np.int8], scored: NDArray[np.bool_]
) -> DecisionRule:
    """The rule of largest macro-F1 around it on a window, the nearest to the likeliest class where several are equal.

    Each exponent is judged with those beside it, see ``smoothed``; none is chosen that the likeliest class beats there.

    probabilities : (N, C, 3); classes : (N, C); scored : (N, C) rows that count
    Raises NotEnoughData if a cell has no such row.
    """
    exponents, shares = [], []
    for cell in range(classes.shape[1]):
        rows = np.flatnonzero(scored[:, cell])
        if not rows.size:
            raise NotEnoughData(f"no row of cell {cell} to choose a decision rule on, of {len(classes)}")
        given, truth = probabilities[rows, cell][:, None].astype(np.float64), classes[rows, cell].astype(np.int64)
        share = given.mean((0, 1))
        rules = [DecisionRule(np.array([exponent]), share[None]) for exponent in _TRIED]
        heights = [macro_f1(confusion(truth, rule.classes(given)[:, 0].astype(np.int64))) for rule in rules]
        exponents.append(_chosen(np.array(heights)))
        shares.append(share)
    return DecisionRule(np.array(exponents), np.array(shares))


def _chosen(heights: Doubles) -> float:
    """The exponent to say by, of those that are no worse than the likeliest class on the window itself."""
    kept = np.where(heights >= heights[0], smoothed(heights, _BESIDE), -np.inf)
    return float(_TRIED[int(np.argmax(kept))])


def smoothed(heights: Doubles, beside: int) -> Doubles:
    """The mean of each height and of as many on either side, shape as given; beyond the ends the last one goes on.

    >>> smoothed(np.array([0.0, 0.0, 3.0, 0.0, 2.0, 2.0]), 1).round(2).tolist()
    [0.0, 1.0, 1.0, 1.67, 1.33, 2.0]
    """
    padded = np.pad(heights, beside, mode="edge")
    means = np.convolve(padded, np.full(2 * beside + 1, 1.0 / (2 * beside + 1)), mode="valid")
    return np.asarray(np.round(means, 12), np.float64)  # equal heights stay equal
