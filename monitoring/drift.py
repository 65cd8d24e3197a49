"""Whether live features come from the distribution that the model was trained on.

A plain Kolmogorov-Smirnov p-value takes neighbouring rows for independent ones and rejects stationary features nearly
always. Here whole blocks of rows, long against a feature's autocorrelation time, change places between live and
reference, and the distance is judged by what such exchanges bring.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from market.errors import NotEnoughData
from monitoring.parameters import DriftParameters
from monitoring.report import content_sha

Floats = NDArray[np.float32]
Verdict = Literal["drift", "stable", "insufficient"]

BINS: Final = 64  # quantiles of each sample, at which the permuted distances are taken
MOST_BLOCKS: Final = 100  # live ones; where more would fit, they are longer than they need to be
_SELF_CONSISTENT: Final = 5.0  # autocorrelations are summed up to this many autocorrelation times


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """One feature, live against reference."""

    name: str
    ks: float  # the raw statistic: largest distance of the two distribution functions, 0 to 1
    shift: float  # the same with the tolerance as slack: what counts as an effect
    autocorrelation_rows: float  # inf: constant in one of the samples
    blocks: int  # live ones
    p: float | None  # None: too few blocks to say
    q: float | None  # p after Benjamini-Hochberg over all features that were judged
    drifted: bool


@dataclass(frozen=True, slots=True)
class DriftReport:
    """All features, and what follows from them together."""

    verdict: Verdict
    features: tuple[FeatureShift, ...]
    live_rows: int
    reference_rows: int
    judged: int  # features with enough blocks
    min_p: float | None
    worst_feature: str  # with the largest shift
    worst_shift: float
    worst_ks: float  # its raw statistic

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features that drifted, the farthest first."""
        found = sorted((shift for shift in self.features if shift.drifted), key=lambda shift: -shift.shift)
        return tuple(shift.name for shift in found)

    @property
    def sha256(self) -> str:
        """Hex sha256 of the report's content."""
        return content_sha(self)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able but for infinite autocorrelation times, which Python's own JSON holds."""
        return asdict(self)


def drift_report(names: tuple[str, ...], live: Floats, reference: Floats, parameters: DriftParameters) -> DriftReport:
    """Compare normalised valid rows in order of time, shape (rows, features).

    Raises NotEnoughData if either side has no row.
    """
    if not len(live) or not len(reference):
        raise NotEnoughData(f"{len(live)} live and {len(reference)} reference rows: nothing to compare")
    generator = np.random.default_rng(parameters.seed)
    shifts = [
        _shift(name, live[:, column], reference[:, column], parameters, generator) for column, name in enumerate(names)
    ]
    features = _discovered(shifts, parameters)
    judged = [shift.p for shift in features if shift.p is not None]
    worst = max(features, key=lambda shift: (shift.shift, shift.ks))
    return DriftReport(
        _verdict(features, parameters),
        features,
        len(live),
        len(reference),
        len(judged),
        min(judged, default=None),
        worst.name,
        worst.shift,
        worst.ks,
    )


def should_retrain(report: DriftReport) -> str | None:
    """Why a model should be trained anew, in words; None if it should not."""
    if report.verdict != "drift":
        return None
    names = report.drifted
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} of {report.judged} features drifted: {', '.join(names[:3])}{more}"


def ks_distance(live: Floats, reference: Floats) -> float:
    """Largest distance of two empirical distribution functions, 0 to 1.

    >>> ks_distance(np.array([1, 2], np.float32), np.array([2, 3], np.float32))
    0.5
    """
    at = np.concatenate([live, reference])
    shares = [np.searchsorted(np.sort(sample), at, side="right") / sample.size for sample in (live, reference)]
    return float(np.abs(shares[0] - shares[1]).max())


def distance_beyond(live: Floats, reference: Floats, tolerance: float) -> float:
    """Largest share of one sample that lies farther than ``tolerance`` from where the other has it, 0 to 1.

    The KS distance with slack along the values: where most rows share one value, a normaliser that wanders by a
    hair moves all of them, and the plain distance is near 1 for a shift of no consequence. Equal to it at 0.

    >>> distance_beyond(np.array([1, 2], np.float32), np.array([1.1, 2.1], np.float32), 0.25)
    0.0
    """
    ours, theirs = (np.sort(sample.astype(np.float64)) for sample in (live, reference))
    return max(_excess(ours, theirs, tolerance), _excess(theirs, ours, tolerance))


def autocorrelation_time(values: Floats) -> float:
    """Rows that one independent value is worth: 1 plus twice the sum of autocorrelations; inf for a constant.

    The sum ends at the first lag that is five times what it has come to.
    Source: Sokal (1997), Monte Carlo methods in statistical mechanics, section 3
    """
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    power = np.abs(np.fft.rfft(centred, 2 * values.size)) ** 2
    covariance = np.fft.irfft(power)[: values.size]
    if covariance[0] <= 1e-12 * values.size:
        return float("inf")
    times = 2.0 * np.cumsum(covariance / covariance[0]) - 1.0
    enough = np.flatnonzero(np.arange(values.size) >= _SELF_CONSISTENT * times)
    return float(max(1.0, times[enough[0]])) if enough.size else float(values.size)


def permutation_p(
    live: Floats, reference: Floats, block_rows: int, permutations: int, generator: np.random.Generator
) -> float:
    """Share of exchanges of blocks that bring at least the distance observed, the observation counted as one.

    Rows that fill no whole block are left out, the oldest ones.
    """
    counts = [_block_counts(sample, block_rows, _edges(live, reference)) for sample in (live, reference)]
    blocks, drawn = np.concatenate(counts), len(counts[0])
    observed = _distances(blocks, np.arange(drawn)[None])[0]
    ranks = generator.random((permutations, len(blocks))).argsort(axis=1)
    permuted = _distances(blocks, ranks[:, :drawn])
    return float((1 + np.count_nonzero(permuted >= observed - 1e-12)) / (1 + permutations))


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values: rejecting those up to a level keeps the false-discovery rate at that level.

    Source: Benjamini & Hochberg (1995), Controlling the false discovery rate, section 3

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    order = np.argsort(p_values)[::-1]
    ranks = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum.accumulate(p_values[order] * len(p_values) / ranks)
    return np.minimum(adjusted, 1.0)


def _shift(
    name: str, live: Floats, reference: Floats, parameters: DriftParameters, generator: np.random.Generator
) -> FeatureShift:
    distance = ks_distance(live, reference)
    effect = distance_beyond(live, reference, parameters.tolerance)
    if distance == 0.0:
        return FeatureShift(name, 0.0, 0.0, 1.0, len(live), 1.0, None, False)
    rows = max(autocorrelation_time(live), autocorrelation_time(reference))
    block_rows = max(np.ceil(parameters.block_times * rows), len(live) // MOST_BLOCKS)
    blocks = int(len(live) // block_rows)
    if blocks < parameters.min_blocks or len(reference) // block_rows < parameters.min_blocks:
        return FeatureShift(name, distance, effect, rows, blocks, None, None, False)
    p = permutation_p(live, reference, int(block_rows), parameters.permutations, generator)
    return FeatureShift(name, distance, effect, rows, blocks, p, None, False)


def _discovered(shifts: list[FeatureShift], parameters: DriftParameters) -> tuple[FeatureShift, ...]:
    p_values = np.array([shift.p for shift in shifts if shift.p is not None])
    adjusted = iter(benjamini_hochberg(p_values))
    found = []
    for shift in shifts:
        q = None if shift.p is None else float(next(adjusted))
        drifted = q is not None and q <= parameters.level and shift.shift >= parameters.min_shift
        found.append(replace(shift, q=q, drifted=drifted))
    return tuple(found)


def _excess(low: NDArray[np.float64], high: NDArray[np.float64], tolerance: float) -> float:
    """Largest surplus of ``low`` up to a value over ``high`` up to that value and the tolerance."""
    below = np.arange(1, low.size + 1) / low.size
    return float((below - np.searchsorted(high, low + tolerance, side="right") / high.size).max(initial=0.0))


def _verdict(features: tuple[FeatureShift, ...], parameters: DriftParameters) -> Verdict:
    if any(shift.drifted for shift in features):
        return "drift"
    judged = sum(shift.p is not None for shift in features)
    return "stable" if judged >= parameters.min_judged * len(features) else "insufficient"


def _edges(live: Floats, reference: Floats) -> Floats:
    """Distinct quantiles of both samples, each counted alike."""
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    found = [np.quantile(sample, shares, method="lower") for sample in (live, reference)]
    return np.unique(np.concatenate(found)).astype(np.float32)


def _block_counts(sample: Floats, block_rows: int, edges: Floats) -> NDArray[np.float64]:
    """Share of each block's rows up to each edge, shape (blocks, edges)."""
    blocks = sample[len(sample) % block_rows :].reshape(-1, block_rows)
    return np.stack([(blocks <= edge).mean(axis=1) for edge in edges], axis=1)


def _distances(blocks: NDArray[np.float64], drawn: NDArray[np.intp]) -> NDArray[np.float64]:
    """Distance between the blocks drawn and the rest, one for each row of ``drawn``."""
    chosen = np.zeros((len(drawn), len(blocks)))
    np.put_along_axis(chosen, drawn, 1.0, axis=1)
    size, total = drawn.shape[1], blocks.sum(axis=0)
    inside = chosen @ blocks
    return np.asarray(np.abs(inside / size - (total - inside) / (len(blocks) - size)).max(axis=1))
