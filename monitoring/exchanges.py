"""What exchanging whole blocks between live and reference brings: how far apart the two lie by chance alone.

A block takes the place of one from the same part of the day, and rows are compared within their regime, so that neither
another hour nor another mix of regimes counts as a distance.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Floats = NDArray[np.float64]

BINS: Final = 32  # quantiles of each sample, at which distances under exchange are taken
ENOUGH: Final = 20  # exchanges at least as far as the one observed, after which p is known well enough
LEAST_FILLED: Final = 0.5  # share of a block's rows below which it is none
BATCHES: Final = (200, 1_000, 4_000)  # exchanges drawn at a time, the last number again and again
_SAME: Final = 1e-9  # distances closer than this are ties


class Blocks(NamedTuple):
    """A sample cut into stretches of equal length on the UTC clock; B blocks, R regimes, E edges."""

    part: NDArray[np.int64]  # (B,), of the day, in which each block's middle lies
    rows: Floats  # (B, R)
    below: Floats  # (B, R, E), rows up to each edge


class Matched(NamedTuple):
    """The blocks of one part of the day, live ones first."""

    live: int
    rows: Floats  # (B, R)
    below: Floats  # (B, R, E)


def edges_of(live: Values, reference: Values) -> Values:
    """Distinct quantiles of both samples, each counted alike."""
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    found = [np.quantile(sample, shares, method="lower") for sample in (live, reference)]
    return np.unique(np.concatenate(found)).astype(np.float32)


def filled_blocks(slots: NDArray[np.int64], size: int) -> int:
    """How many blocks of ``size`` slots hold rows in at least half of them."""
    return int(np.count_nonzero(np.unique(slots // size, return_counts=True)[1] >= LEAST_FILLED * size))


def blocks_of(
    slots: NDArray[np.int64], strata: NDArray[np.int64], values: Values, edges: Values, size: int, regimes: int
) -> Blocks:
    """The blocks of ``size`` slots that hold rows in at least half of them.

    slots : (N,), which sampling instant since 1970 each row is of, rising
    strata : (N,), part of the day x regimes + regime
    """
    numbers, place, filled = np.unique(slots // size, return_inverse=True, return_counts=True)
    bins = np.searchsorted(edges, values, side="left")  # a value is up to the edges from here on
    code = (place * regimes + strata % regimes) * (edges.size + 1) + bins
    counts = np.bincount(code, minlength=numbers.size * regimes * (edges.size + 1))
    below = np.cumsum(counts.reshape(numbers.size, regimes, edges.size + 1), axis=2, dtype=np.float64)
    middle = np.searchsorted(slots, numbers * size + size // 2).clip(max=slots.size - 1)
    kept = filled >= LEAST_FILLED * size
    return Blocks((strata[middle] // regimes)[kept], below[kept, :, -1], below[kept, :, :-1])


def matched(live: Blocks, reference: Blocks) -> list[Matched]:
    """Blocks of both by part of the day, for the parts that both have."""
    found = []
    for part in np.intersect1d(live.part, reference.part):
        ours, theirs = live.part == part, reference.part == part
        rows = np.concatenate([live.rows[ours], reference.rows[theirs]])
        below = np.concatenate([live.below[ours], reference.below[theirs]])
        found.append(Matched(int(ours.sum()), rows, below))
    return found


def observed_distance(parts: Sequence[Matched]) -> float:
    """Largest distance of the distribution functions, the reference's weighted to the live mix of part and regime."""
    chosen = [(np.arange(len(part.rows)) < part.live)[None].astype(np.float64) for part in parts]
    return float(_distances(parts, chosen)[0])


def exchange_p(parts: Sequence[Matched], most: int, generator: np.random.Generator) -> float:
    """Chance that exchanging blocks brings at least the distance observed; at least 1 / (most + 1).

    Draws until ENOUGH exchanges reach it, or ``most`` are drawn: what is far from rare costs few draws.
    Source: Besag & Clifford (1991), Sequential Monte Carlo p-values
    """
    observed, reached, drawn = observed_distance(parts), 0, 0
    for count in _batches(most):
        chosen = [_drawn(part, count, generator) for part in parts]
        far = np.cumsum(_distances(parts, chosen) >= observed - _SAME)
        if reached + far[-1] >= ENOUGH:
            return float(ENOUGH / (drawn + 1 + int(np.searchsorted(far, ENOUGH - reached))))
        reached, drawn = reached + int(far[-1]), drawn + count
    return (1 + reached) / (1 + drawn)


def _batches(most: int) -> Iterator[int]:
    drawn = 0
    for size in chain(BATCHES, repeat(BATCHES[-1])):
        if drawn == most:
            return
        yield min(size, most - drawn)
        drawn += min(size, most - drawn)


def _drawn(part: Matched, count: int, generator: np.random.Generator) -> Floats:
    """So many choices of as many blocks as are live, ones in (count, B)."""
    ranks = generator.random((count, len(part.rows))).argsort(axis=1)
    chosen = np.zeros(ranks.shape)
    np.put_along_axis(chosen, ranks[:, : part.live], 1.0, axis=1)
    return chosen


def _distances(parts: Sequence[Matched], chosen: list[Floats]) -> Floats:
    """Distance between the blocks chosen and the rest, one for each choice; 0 where nothing can be compared."""
    apart, weight = 0.0, np.zeros(len(chosen[0]))
    for part, ours in zip(parts, chosen, strict=True):
        B, R, E = part.below.shape
        rows = ours @ part.rows  # (choices, R)
        rest = part.rows.sum(axis=0) - rows
        below = (ours @ part.below.reshape(B, R * E)).reshape(-1, R, E)
        beside = part.below.sum(axis=0) - below
        rows = np.where(rest > 0, rows, 0.0)  # a regime that the rest lacks is not compared
        scale = rows / np.maximum(rest, 1.0)
        apart = apart + ((rest > 0)[:, :, None] * below - scale[:, :, None] * beside).sum(axis=1)
        weight += rows.sum(axis=1)
    return np.asarray(np.abs(apart).max(axis=1) / np.maximum(weight, 1.0))
