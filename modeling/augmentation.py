"""What training does to a chunk of rows so that a network does not learn it by heart; labels keep their truth.

Shapes: T rows of a chunk with its context, F features. All randomness comes from the generator that is passed in.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modeling.forecast import Floats


@dataclass(frozen=True)
class Mirror:
    """What a row becomes where up and down, bid and ask change places: ``row[places] * signs``."""

    places: tuple[int, ...]  # (F,) the feature that each one becomes
    signs: tuple[float, ...]  # (F,) 1 or -1

    def rows(self, values: Floats) -> Floats:
        """The rows of the mirrored market, shape (T, F)."""
        return values[:, self.places] * np.asarray(self.signs, np.float32)


def cut_out(values: Floats, rng: np.random.Generator, least_rows: int, most_rows: int) -> Floats:
    """A copy in which some consecutive rows repeat the row before them, as if the feed had stood still.

    Shorter chunks are cut as far as they go; one of a single row is left alone.
    """
    rows = min(int(rng.integers(least_rows, most_rows, endpoint=True)), len(values) - 1)
    first = int(rng.integers(1, len(values) - rows, endpoint=True)) if rows > 0 else 1
    cut = values.copy()
    cut[first : first + rows] = values[first - 1]
    return cut


def partner(regimes: NDArray[np.int8], place: int, rng: np.random.Generator) -> int:
    """A chunk of the same regime to mix the chunk at ``place`` with; itself where there is no other.

    >>> partner(np.array([1, 2, 1], np.int8), 1, np.random.default_rng(0))
    1
    """
    return int(rng.choice(np.flatnonzero(regimes == regimes[place])))


def mixing_share(rng: np.random.Generator, alpha: float) -> float:
    """How much a mixed chunk keeps of itself, 0.5 to 1, from Beta(alpha, alpha); 1 where alpha is 0.

    Source: Zhang et al. (2018), "mixup: Beyond Empirical Risk Minimization", equation 1.
    """
    if alpha == 0:
        return 1.0
    share = float(rng.beta(alpha, alpha))
    return max(share, 1 - share)
