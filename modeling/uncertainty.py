"""How sure a forecast is: spread of members, adaptive conformal sets and intervals, and how all of it is judged.

Shapes: M members, N rows, C cells, H horizons; classes come as DOWN, NO_TRADE, UP.
"""

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from labeling.targets import NO_CLASS
from market.errors import ModelError, NotEnoughData
from modeling.forecast import CLASSES
from modeling.moments import mixtures
from modeling.parameters import ConformalParameters

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
_SMALLEST: Final = 1e-12  # a probability below it is read as this
LEAST_DEVIATION_BP: Final = 1e-3  # a forecast that expects no move is not wholly sure of it
BINS: Final = 15  # of equal mass, of the expected calibration error


def return_moments(probabilities: NDArray[np.floating], returns_bp: NDArray[np.floating]) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of the return that a forecast expects, bp; both of shape (N, H), or (N,).

    The deviation is that between the classes alone: what lies inside a class, the conformal scale makes up for.

    probabilities : shape (N, H, 3), of each horizon's anchor, or (N, 3) of one; returns_bp : of the same shape

    >>> return_moments(np.array([[[0.25, 0.5, 0.25]]]), np.array([[[-2.0, 0.0, 2.0]]]))[1].round(3).tolist()
    [[1.414]]
    """
    shape = probabilities.shape[:-1]
    tables = (np.ascontiguousarray(table, np.float64).reshape(-1, CLASSES) for table in (probabilities, returns_bp))
    means, variances = np.empty(math.prod(shape)), np.empty(math.prod(shape))
    mixtures(*tables, means, variances)
    return means.reshape(shape), np.sqrt(variances).reshape(shape)


def class_scores(probabilities: NDArray[np.floating]) -> Doubles:
    """How strange each class would be: the mass of all likelier ones and half of its own; shape as given, in [0, 1].

    The score of adaptive prediction sets, with a half where those draw a random share, so that equal forecasts get
    equal sets. Classes that are equally likely come in their order.

    >>> class_scores(np.array([0.1, 0.6, 0.3])).round(3).tolist()
    [0.95, 0.3, 0.75]
    """
    doubles = np.ascontiguousarray(probabilities, np.float64)
    scores = np.empty_like(doubles)
    _score_rows(doubles.reshape(-1, doubles.shape[-1]), scores.reshape(-1, doubles.shape[-1]))
    return scores


@njit(cache=True)
def _score_rows(probabilities, scores):
    rows, classes = probabilities.shape
    for row in range(rows):
        for own in range(classes):
            given, likelier = probabilities[row, own], 0.0
            for other in range(classes):
                p = probabilities[row, other]
                if p > given or (p == given and other < own):
                    likelier += p
            scores[row, own] = likelier + 0.5 * given


def true_scores(scores: Doubles, classes: NDArray[np.int8]) -> Doubles:
    """The scores of what came, shape (N,); NaN where no label is known. scores : shape (N, 3)."""
    known = classes != NO_CLASS
    places = np.where(known, classes, 0).astype(np.int64) + 1
    return np.where(known, scores[np.arange(len(scores)), places], np.nan)


def interval_scores(gross_bp: NDArray[np.floating], mean_bp: Doubles, deviation_bp: Doubles) -> Doubles:
    """Distance of what came from the mean, in deviations (at least a thousandth bp); NaN where no label is known."""
    return np.abs(gross_bp.astype(np.float64) - mean_bp) / np.maximum(deviation_bp, LEAST_DEVIATION_BP)


@dataclass
class AdaptiveConformal:
    """Turns scores into thresholds that as many later scores keep to as are asked for, however the scores drift.

    A threshold is a quantile of the newest known scores; which one, ``alpha``, moves up by ``rate * target`` with every
    score that kept to its threshold, and down by ``rate * (1 - target)`` with every one that did not. Nothing is learnt
    from a score before its label is known. Holds its state; ``as_dict`` and ``from_dict`` carry it over a restart.
    Source: Gibbs & Candes (2021), Adaptive Conformal Inference Under Distribution Shift, equation 2
    """

    parameters: ConformalParameters
    alpha: float
    newest: list[float] = field(default_factory=list)  # known scores, a ring of ``window``
    learnt: int = 0
    waiting: list[tuple[int, int, float, float]] = field(
        default_factory=list
    )  # heap: known_ts, number, score, threshold
    expected: int = 0
    _ordered: list[float] = field(init=False, repr=False, compare=False)  # the newest scores, smallest first

    def __post_init__(self) -> None:
        self._ordered = sorted(self.newest)

    @classmethod
    def started(cls, parameters: ConformalParameters, scores: Doubles) -> "AdaptiveConformal":
        """A state that has seen the scores of an earlier window, whose labels are all known.

        Raises NotEnoughData if none is known.
        """
        known = scores[np.isfinite(scores)]
        if not known.size:
            raise NotEnoughData(f"none of {len(scores)} scores is known to begin a conformal window with")
        newest = [float(score) for score in known[-parameters.window :]]
        return cls(parameters, parameters.miscoverage, newest, len(newest))

    def threshold(self) -> float:
        """The largest score that is still let in: infinite where all is, minus infinite where nothing is."""
        count = len(self._ordered)
        rank = math.ceil((count + 1) * (1.0 - self.alpha))
        if rank > count:
            return math.inf
        return self._ordered[rank - 1] if rank > 0 else -math.inf

    def learn(self, now: int) -> None:
        """Take in the scores whose labels are known at ``now``, ns UTC."""
        while self.waiting and self.waiting[0][0] <= now:
            _, _, score, threshold = heapq.heappop(self.waiting)
            missed = score > threshold
            self.alpha += self.parameters.rate * (self.parameters.miscoverage - missed)
            self._keep(score)

    def expect(self, known_ts: int, score: float, threshold: float) -> None:
        """Remember a score until its label is known; NaN is never known."""
        if math.isfinite(score):
            heapq.heappush(self.waiting, (known_ts, self.expected, score, threshold))
            self.expected += 1

    def run(self, over_ts: NDArray[np.int64], scores: Doubles, known_ts: NDArray[np.int64]) -> Doubles:
        """The threshold at each row, in order of time; all arrays of shape (N,), a score NaN where no label comes.

        over_ts : up to when a row has heard all that there is to know; a score counts from there on
        """
        thresholds = np.empty(len(over_ts))
        for place, (now, score, known) in enumerate(
            zip(over_ts.tolist(), scores.tolist(), known_ts.tolist(), strict=True)
        ):
            self.learn(now)
            thresholds[place] = threshold = self.threshold()
            self.expect(known, score, threshold)
        return thresholds

    def _keep(self, score: float) -> None:
        if len(self.newest) < self.parameters.window:
            self.newest.append(score)
        else:
            place = self.learnt % self.parameters.window
            del self._ordered[bisect_left(self._ordered, self.newest[place])]
            self.newest[place] = score
        insort(self._ordered, score)
        self.learnt += 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``from_dict``; an infinite threshold that still waits is written as text."""
        waiting = [[known, number, score, str(threshold)] for known, number, score, threshold in self.waiting]
        counts = {"learnt": self.learnt, "expected": self.expected}
        return {"alpha": self.alpha, "newest": list(self.newest), "waiting": waiting, **counts}

    @classmethod
    def from_dict(cls, parameters: ConformalParameters, stored: Mapping[str, Any]) -> "AdaptiveConformal":
        """The state that ``as_dict`` wrote. Raises ModelError if it holds more scores than the window."""
        if len(stored["newest"]) > parameters.window:
            raise ModelError(f"{len(stored['newest'])} scores for a conformal window of {parameters.window}")
        waiting = [(int(known), int(number), float(s), float(limit)) for known, number, s, limit in stored["waiting"]]
        newest = [float(score) for score in stored["newest"]]
        return cls(parameters, float(stored["alpha"]), newest, int(stored["learnt"]), waiting, int(stored["expected"]))


class Coverage(NamedTuple):
    """How conformal sets did."""

    coverage: float  # share of labels that lay in their set
    set_size: float  # mean classes in a set
    rows: int  # with a known label


def conformal_sets(
    state: AdaptiveConformal,
    over_ts: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    classes: NDArray[np.int8],
    known_ts: NDArray[np.int64],
) -> Bools:
    """Which classes each row lets in, shape (N, 3); ``state`` is carried on. Of one cell: (N,), (N, 3), (N,), (N,)."""
    scores = class_scores(probabilities)
    return scores <= state.run(over_ts, true_scores(scores, classes), known_ts)[:, None]


def return_intervals(
    state: AdaptiveConformal,
    over_ts: NDArray[np.int64],
    expected: tuple[Doubles, Doubles],
    gross_bp: NDArray[np.floating],
    known_ts: NDArray[np.int64],
) -> Doubles:
    """Lowest and highest return that each row lets in, bp, shape (N, 2); ``state`` is carried on.

    An interval is infinite where the state lets all in, and holds NaN where it lets nothing in. Of one horizon.

    expected : mean and deviation of each row, as ``return_moments`` gives them; all other arrays of shape (N,)
    """
    mean, deviation = expected
    limits = state.run(over_ts, interval_scores(gross_bp, mean, deviation), known_ts)
    half = np.where(limits < 0, np.nan, limits) * np.maximum(deviation, LEAST_DEVIATION_BP)
    return np.stack((mean - half, mean + half), -1)


def coverage_of(sets: Bools, classes: NDArray[np.int8]) -> Coverage:
    """How sets of shape (N, 3) did on the labels that are known. Raises NotEnoughData if none is."""
    known = np.flatnonzero(classes != NO_CLASS)
    if not known.size:
        raise NotEnoughData(f"none of {len(classes)} rows has a label to check a conformal set on")
    inside = sets[known, classes[known].astype(np.int64) + 1]
    return Coverage(float(inside.mean()), float(sets[known].sum(1).mean()), int(known.size))


def calibration_error(probabilities: NDArray[np.floating], truth: NDArray[np.int64], bins: int = BINS) -> float:
    """Expected calibration error of the likeliest class, in [0, 1], over bins of equal mass.

    Rows are sorted by the probability of their likeliest class and cut into ``bins`` parts of equal size; the error is
    the mean over the parts of |share of hits - mean probability|, weighted by rows. ``truth`` is -1, 0 or +1.

    >>> calibration_error(np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1]]), np.array([-1, 0]), bins=1).__round__(3)
    0.3
    """
    confidence = probabilities.max(-1).astype(np.float64)
    hits = probabilities.argmax(-1) == truth + 1
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if part.size]
    return float(sum(abs(hits[part].mean() - confidence[part].mean()) * part.size for part in parts) / len(order))
