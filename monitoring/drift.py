"""Whether live features come from the distribution that the model was trained on, window by window.

A plain Kolmogorov-Smirnov p-value takes neighbouring rows for independent ones and rejects stationary features nearly
always; another hour or another mix of regimes does the rest. Here the reference is matched by both, whole blocks of
rows change places, and one feature has to go the distance in most of the newest windows. docs/drift.md has the rule.
"""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from market.errors import NotEnoughData
from monitoring.distances import autocorrelation_time, benjamini_hochberg, distance_beyond, effective_p, ks_distance
from monitoring.exchanges import blocks_of, edges_of, exchange_p, filled_blocks, matched
from monitoring.parameters import DriftParameters
from monitoring.report import content_sha

Values = NDArray[np.float32]
Floats = NDArray[np.float64]
Verdict = Literal["drift", "stable", "insufficient"]

NS_PER_S: Final = 1_000_000_000
DAY_NS: Final = 86_400 * NS_PER_S
MOST_BLOCKS: Final = 100  # live ones; where more would fit, they are longer than they need to be
SCREEN: Final = 0.2  # effective-size p-value from which on no blocks are exchanged
NO_DISTANCE: Final = 1e-9  # a sum of weights may be off by as much
FINER: Final = 2  # p-values resolve so many times what the correction asks of the smallest one


@dataclass(frozen=True)
class Sample:
    """Normalised valid rows of a known regime, in order of time, ``sample_ms`` apart where none is missing."""

    row_ts: NDArray[np.int64]  # (N,) ns UTC
    regimes: NDArray[np.int8]  # (N,) codes from 0
    values: Values  # (N, F)

    def between(self, start: int, end: int) -> "Sample":
        """The rows in [start, end), ns."""
        first, last = np.searchsorted(self.row_ts, [start, end])
        return Sample(self.row_ts[first:last], self.regimes[first:last], self.values[first:last])


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """One feature in one window, live against reference."""

    name: str
    ks: float  # the raw statistic: largest distance of the two distribution functions, 0 to 1, nothing matched
    shift: float  # matched by hour and regime, with the tolerance as slack: what counts as an effect
    autocorrelation_s: float  # inf: constant in one of the samples
    blocks: int = 0  # live ones that have a counterpart
    p: float | None = None  # None: too few blocks to say
    q: float | None = None  # p after Benjamini-Hochberg over all features that were judged
    drifted: bool = False


@dataclass(frozen=True, slots=True)
class WindowReport:
    """All features in one window."""

    start_ts: int  # ns UTC, of the window
    end_ts: int
    whole: bool  # whether rows later than the window are known: only then it has a vote
    rows: int
    verdict: Verdict
    features: tuple[FeatureShift, ...]

    @property
    def judged(self) -> int:
        """Features with enough blocks."""
        return sum(feature.p is not None for feature in self.features)


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The newest windows, and what follows from them together."""

    verdict: Verdict
    drifted: tuple[str, ...]  # features that drifted in enough of the windows, the farthest first
    windows: tuple[WindowReport, ...]  # oldest first
    reference_rows: int

    @property
    def newest(self) -> WindowReport:
        """The last window, still filling or not."""
        return self.windows[-1]

    @property
    def worst(self) -> FeatureShift:
        """The newest window's feature with the largest shift."""
        return max(self.newest.features, key=lambda shift: (shift.shift, shift.ks))

    @property
    def sha256(self) -> str:
        """Hex sha256 of the report's content."""
        return content_sha(self)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a window and feature."""
        return [
            {"start_ts": window.start_ts, "end_ts": window.end_ts, "whole": window.whole} | asdict(feature)
            for window in self.windows
            for feature in window.features
        ]


def drift_report(names: tuple[str, ...], live: Sample, reference: Sample, parameters: DriftParameters) -> DriftReport:
    """Judge the newest windows of ``live``, cut on the UTC clock, against ``reference``.

    The window that is still filling is looked at where no whole one is there, and never votes.
    Raises NotEnoughData if either side has no row.
    """
    if not live.row_ts.size or not reference.row_ts.size:
        sizes = f"{live.row_ts.size} live and {reference.row_ts.size} reference rows"
        raise NotEnoughData(f"{sizes} of a known regime: nothing to compare")
    regimes = 1 + int(max(live.regimes.max(), reference.regimes.max()))
    known = Reference(reference, regimes, parameters)
    windows = tuple(judged_window(names, live, start, known) for start in newest_starts(live, parameters))
    drifted = elected(windows, parameters)
    return DriftReport(_verdict(windows, drifted, parameters), drifted, windows, reference.row_ts.size)


def should_retrain(report: DriftReport, parameters: DriftParameters) -> str | None:
    """Why a model should be trained anew, in words; None if it should not."""
    if not report.drifted:
        return None
    names = report.drifted
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    said = f"{len(names)} of {len(report.newest.features)} features drifted: {', '.join(names[:3])}{more}"
    return f"{said}; in {parameters.votes} of the last {parameters.of_windows} windows of {parameters.window_s:g} s"


def newest_starts(live: Sample, parameters: DriftParameters) -> list[int]:
    """Where the newest windows begin that hold rows, ns, oldest first: whole ones, else the one that is filling."""
    window_ns = round(parameters.window_s * NS_PER_S)
    starts = np.unique(live.row_ts // window_ns) * window_ns
    whole = [int(start) for start in starts if start + window_ns <= live.row_ts[-1]]
    return whole[-parameters.of_windows :] or [int(starts[-1])]


class Reference:
    """What windows are held against: the training rows, and what every window asks of them."""

    def __init__(self, sample: Sample, regimes: int, parameters: DriftParameters) -> None:
        self.sample, self.regimes, self.parameters = sample, regimes, parameters
        self.strata = self.strata_of(sample)
        self.counts = np.bincount(self.strata, minlength=parameters.day_parts * regimes)

    def strata_of(self, sample: Sample) -> NDArray[np.int64]:
        """Part of the day and regime of each row, as one number."""
        return np.asarray(sample.row_ts % DAY_NS * self.parameters.day_parts // DAY_NS * self.regimes + sample.regimes)

    def slots_of(self, sample: Sample) -> NDArray[np.int64]:
        """The sampling instant of each row, counted from 1970."""
        return np.asarray(sample.row_ts // (self.parameters.sample_ms * 1_000_000))

    def shared(self, window: Sample) -> Sample:
        """The rows of a window whose part of the day and regime the reference has."""
        kept = self.counts[self.strata_of(window)] > 0
        return Sample(window.row_ts[kept], window.regimes[kept], window.values[kept])

    def residual(self, sample: Sample, place: int) -> Floats:
        """A feature less the reference's mean in each row's part of the day and regime."""
        sums = np.bincount(self.strata, self.sample.values[:, place], self.counts.size)
        return np.asarray(sample.values[:, place] - (sums / np.maximum(self.counts, 1))[self.strata_of(sample)])

    def weights(self, window: Sample) -> Floats:
        """What each reference row counts, so that they have the window's mix of parts of the day and regimes."""
        ours = np.bincount(self.strata_of(window), minlength=self.counts.size)
        return np.asarray((ours / np.maximum(self.counts, 1))[self.strata])

    @cached_property
    def times(self) -> list[float]:
        """Autocorrelation time of each feature within part of the day and regime, rows."""
        return [autocorrelation_time(self.residual(self.sample, place)) for place in range(self.sample.values.shape[1])]


def judged_window(names: tuple[str, ...], live: Sample, start: int, reference: Reference) -> WindowReport:
    """The window that begins at ``start`` ns, feature by feature."""
    parameters = reference.parameters
    end = start + round(parameters.window_s * NS_PER_S)
    window = live.between(start, end)
    pair = Pair(window, reference, int(np.ceil(FINER * len(names) / parameters.level)))
    generator = np.random.default_rng((parameters.seed, start))
    shifts = [
        replace(pair.shift(place, generator), name=name, ks=ks_distance(window.values[:, place], past))
        for place, (name, past) in enumerate(zip(names, reference.sample.values.T, strict=True))
    ]
    features = _discovered(shifts, parameters)
    whole = bool(live.row_ts[-1] >= end)
    return WindowReport(start, end, whole, window.row_ts.size, _said_of(features, parameters), features)


class Pair:
    """A window beside the reference, without the rows whose part of the day and regime that lacks."""

    def __init__(self, window: Sample, reference: Reference, most: int) -> None:
        self.live, self.reference, self.most = reference.shared(window), reference, most
        self.weights = reference.weights(self.live)

    def shift(self, place: int, generator: np.random.Generator) -> FeatureShift:
        """One feature, matched, without the correction for the others."""
        parameters, live = self.reference.parameters, self.live.values[:, place]
        nothing = FeatureShift("", 0.0, 0.0, float("inf"))
        if not live.size:
            return nothing
        past = self.reference.sample.values[:, place]
        distance = distance_beyond(live, past, 0.0, self.weights)
        if distance < NO_DISTANCE:
            return replace(nothing, p=1.0)
        shift = distance_beyond(live, past, parameters.tolerance, self.weights)
        rows = max(autocorrelation_time(self.reference.residual(self.live, place)), self.reference.times[place])
        found = replace(nothing, shift=shift, autocorrelation_s=rows * parameters.sample_ms / 1e3)
        if not np.isfinite(rows):
            return found
        size = self._size(rows)
        blocks, theirs = (filled_blocks(self.reference.slots_of(side), size) for side in self._sides)
        if min(blocks, theirs) < parameters.min_blocks:
            return replace(found, blocks=blocks)
        guess = effective_p(distance, *(counted / rows for counted in self._counted))
        return replace(found, blocks=blocks, p=guess if guess > SCREEN else self._exchanged(place, size, generator))

    @property
    def _sides(self) -> tuple[Sample, Sample]:
        return self.live, self.reference.sample

    @property
    def _counted(self) -> tuple[float, float]:
        """Rows of either side that count, the reference's as if all weighed the same."""
        return self.live.row_ts.size, float(self.weights.sum() ** 2 / (self.weights**2).sum())

    def _size(self, rows: float) -> int:
        """Sampling instants in a block."""
        parameters = self.reference.parameters
        slots = round(parameters.window_s * 1e3 / parameters.sample_ms)
        return int(max(np.ceil(parameters.block_times * rows), slots // MOST_BLOCKS, 1))

    def _exchanged(self, place: int, size: int, generator: np.random.Generator) -> float:
        """The p-value by exchange of blocks of so many sampling instants."""
        edges = edges_of(*(side.values[:, place] for side in self._sides))
        known = self.reference
        cut = [
            blocks_of(known.slots_of(side), known.strata_of(side), side.values[:, place], edges, size, known.regimes)
            for side in self._sides
        ]
        return exchange_p(matched(*cut), self.most, generator)


def _discovered(shifts: list[FeatureShift], parameters: DriftParameters) -> tuple[FeatureShift, ...]:
    p_values = np.array([shift.p for shift in shifts if shift.p is not None])
    adjusted = iter(benjamini_hochberg(p_values))
    found = []
    for shift in shifts:
        q = None if shift.p is None else float(next(adjusted))
        drifted = q is not None and q <= parameters.level and shift.shift >= parameters.min_shift
        found.append(replace(shift, q=q, drifted=drifted))
    return tuple(found)


def _said_of(features: tuple[FeatureShift, ...], parameters: DriftParameters) -> Verdict:
    """What one window says."""
    if any(shift.drifted for shift in features):
        return "drift"
    judged = sum(shift.p is not None for shift in features)
    return "stable" if judged >= parameters.min_judged * len(features) else "insufficient"


def elected(windows: tuple[WindowReport, ...], parameters: DriftParameters) -> tuple[str, ...]:
    """Features that drifted in enough whole windows, the farthest first."""
    found = [shift for window in windows if window.whole for shift in window.features if shift.drifted]
    votes = Counter(shift.name for shift in found)
    farthest = {name: max(shift.shift for shift in found if shift.name == name) for name in votes}
    elected = [name for name, count in votes.items() if count >= parameters.votes]
    return tuple(sorted(elected, key=lambda name: -farthest[name]))


def _verdict(windows: tuple[WindowReport, ...], drifted: tuple[str, ...], parameters: DriftParameters) -> Verdict:
    if drifted:
        return "drift"
    able = sum(window.whole and window.verdict != "insufficient" for window in windows)
    return "stable" if able >= parameters.votes else "insufficient"
