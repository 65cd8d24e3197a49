"""Which class to say where one is rare: the one that stands out against its usual share, by as much as Val likes.

The likeliest class of a market that mostly stands still is that it stands still: who says so is right and says nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import NotEnoughData
from modeling.evaluation import Prediction, confusion, macro_f1

Doubles = NDArray[np.float64]
_TRIED: Final = np.linspace(0.0, 1.0, 21)  # 0: the likeliest class; 1: the one that most exceeds its share
_BESIDE: Final = 3  # exponents on either side that one is judged with: seconds of market draw peaks that do not last
_LEAST_SHARE: Final = 1e-6


@dataclass(frozen=True)
class DecisionRule:
    """For each cell the class of largest ``p / share ** exponent``."""

    exponents: Doubles  # (C,) 0 to 1
    shares: Doubles  # (C, 3) mean probabilities of the window that it was chosen on

    def classes(self, probabilities: NDArray[np.floating]) -> NDArray[np.int8]:
        """-1, 0 or +1, shape (N, C), from probabilities of shape (N, C, 3).

        >>> rule = DecisionRule(np.array([1.0]), np.array([[0.1, 0.8, 0.1]]))
        >>> rule.classes(np.array([[[0.2, 0.7, 0.1]], [[0.1, 0.85, 0.05]]])).ravel().tolist()
        [-1, 0]
        """
        return (self._heights(probabilities).argmax(-1) - 1).astype(np.int8)

    def _heights(self, probabilities: NDArray[np.floating]) -> Doubles:
        return np.asarray(probabilities / np.maximum(self.shares, _LEAST_SHARE) ** self.exponents[:, None])

    def said(self, name: str, probabilities: NDArray[np.floating]) -> Prediction:
        """A prediction that keeps the probabilities and says by this rule."""
        return Prediction(name, self.classes(probabilities), probabilities)


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
