"""Whether the best of many beats the benchmark once the others that were tried are counted: SPA, Reality Check, StepM.

All three read the same resamples (``resample``), so they differ by their question and not by luck. A positive
difference means better. A missing minute stays missing: a mean is over the minutes that an alternative has, and each
resample's mean is linearised around it (sum of deviations over the number of minutes that it has).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from backtest.hac import NIL
from backtest.resampling import DRAWS, bootstrap_means, shortage
from market.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Verdict = Literal["better", "not shown", "insufficient"]

_CHUNK: Final = 64  # columns whose spectra are held at once


@dataclass(frozen=True, slots=True)
class Resamples:
    """Alternatives that can be judged, and how far their means wander in resamples."""

    names: tuple[str, ...]
    means: Floats  # (alternatives,), a bucket
    errors: Floats  # (alternatives,), of the means: the bootstrap's own, computed, not drawn
    scores: Floats  # (alternatives,): t, by the tail it leaves brought to a normal's (``normal_scores``)
    deviations: Floats  # (draws, alternatives): mean of a resample less the mean
    effective: Floats  # (alternatives,): independent buckets that each is worth
    observations: int  # buckets of the table
    block: int
    idle: tuple[str, ...]  # alternatives that never differ from the benchmark: none of them can be better
    short: tuple[str, ...]  # too few buckets to be judged, or all equal
    note: str  # why nothing can be judged; empty otherwise


@dataclass(frozen=True, slots=True)
class BestTest:
    """Is the best alternative better than the benchmark, given how many were tried?"""

    test: str
    p: float | None  # None where the verdict is "insufficient", as are the next three
    p_bounds: tuple[float, float] | None  # SPA's lower and upper p: alternatives far below taken out, or all kept
    statistic: float | None
    best: str | None  # name of the alternative with the largest statistic
    block: int  # mean block length, buckets
    observations: int
    effective: float | None  # independent buckets behind the best
    alternatives: int  # judged
    idle: int
    short: int
    verdict: Verdict
    note: str

    @property
    def sentence(self) -> str:
        """What a gate says of it."""
        if self.p is None:
            return f"{self.test}: insufficient, {self.note}"
        return (
            f"{self.test}: the best of {self.alternatives} ({self.best}) is {self.verdict}, p {self.p:.3g}, "
            f"statistic {self.statistic:.3g}, {self.observations} buckets worth {self.effective:.0f}, "
            f"blocks of {self.block}; {self.idle} idle, {self.short} too short"
        )


@dataclass(frozen=True, slots=True)
class Alternative:
    """One alternative after the step-down."""

    name: str
    mean: float  # a bucket
    score: float  # its t as a normal's
    p: float  # adjusted: up to the level means better, whatever the others are
    effective: float


@dataclass(frozen=True, slots=True)
class StepTest:
    """Which alternatives are better, with the chance of any false one held at the level."""

    alternatives: tuple[Alternative, ...]  # largest score first
    better: tuple[str, ...]
    block: int
    observations: int
    verdict: Verdict
    note: str

    @property
    def sentence(self) -> str:
        """What a gate says of it."""
        if self.verdict == "insufficient":
            return f"StepM: insufficient, {self.note}"
        found = ", ".join(self.better) or "none"
        return f"StepM: better are {found}, of {len(self.alternatives)}; blocks of {self.block}"


def _fit_to_judge(table: Floats, block: int) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each alternative the buckets that are there, whether all are 0, and whether enough are not."""
    counts = np.count_nonzero(~np.isnan(table), axis=0)
    idle = (counts > 0) & ~np.any(np.nan_to_num(table) != 0.0, axis=0)
    return counts, idle, np.array([not shortage(count, block) for count in counts], bool) & ~idle


def resample(
    names: Sequence[str], differences: Floats, block: int, generator: np.random.Generator, draws: int = DRAWS
) -> Resamples:
    """Resample a table of alternatives by stationary blocks.

    differences : shape (buckets, alternatives), alternative less benchmark, not a number where a bucket is missing
    Raises DataError if a value is infinite or names do not fit, ConfigError if ``block`` or ``draws`` is out of range.
    """
    table = np.asarray(differences, np.float64)
    if table.ndim != 2 or table.shape[1] != len(names) or np.isinf(table).any():
        raise DataError(f"{len(names)} names for finite differences of shape {table.shape}: one column a name")
    if block < 1 or draws < 99:
        raise ConfigError(f"block={block} must be 1 or more, draws={draws} 99 or more")
    counts, idle, judged = _fit_to_judge(table, block)
    means = np.where(judged, np.nansum(table, axis=0) / np.maximum(counts, 1), 0.0)
    off = np.where(np.isnan(table), 0.0, table - means)
    judged &= np.sum(off**2, axis=0) > NIL**2 * means**2 * counts
    off, means = off[:, judged] * (len(table) / counts[judged]), means[judged]
    variances = stationary_variances(off, block)
    errors = np.sqrt(variances / max(len(table), 1))
    plain = np.sum(off**2, axis=0) * counts[judged] / max(len(table), 1) ** 2  # variance of a bucket that is there
    return Resamples(
        names=_picked(names, judged),
        means=means,
        errors=errors,
        scores=normal_scores(means / errors, counts[judged] / block),
        deviations=bootstrap_means(off, block, draws, generator) if judged.any() else np.zeros((draws, 0)),
        effective=np.clip(plain / np.maximum(errors**2, 1e-300), 1.0, counts[judged]),
        observations=len(table),
        block=block,
        idle=_picked(names, idle),
        short=_picked(names, ~judged & ~idle),
        note="" if judged.any() else shortage(len(table), block) or _why_nothing(idle),
    )


def stationary_variances(centred: Floats, block: int) -> Floats:
    """Variance of sqrt(buckets) times a resample's mean, for each column: what infinitely many draws would give.

    centred : shape (buckets, columns)
    Source: Politis & Romano (1994), The stationary bootstrap, lemma 1; Hansen (2005) studentises by it
    """
    size = len(centred)
    lags = np.arange(size)
    stay = 1.0 - 1.0 / block
    weights = 2.0 * ((1 - lags / max(size, 1)) * stay**lags + lags / max(size, 1) * stay ** (size - lags))
    weights[:1] = 1.0
    found = [weights @ _autocovariances(centred[:, at : at + _CHUNK]) for at in range(0, centred.shape[1], _CHUNK)]
    return np.maximum(np.concatenate(found), 0.0) if found else np.zeros(0)


def normal_scores(t: Floats, blocks: Floats) -> Floats:
    """The normal number that leaves the tail of a t over so many blocks.

    Draws hold the error fixed, so they miss that it is itself an estimate, of about a degree of freedom a block: with
    sixty blocks a nominal 5 % would be 6 to 7 %. The error is raised by what centring took out.

    >>> normal_scores(np.array([3.0, -3.0, 3.0]), np.array([20.0, 20.0, 1e6])).round(2).tolist()
    [2.64, -2.64, 3.0]
    """
    tails = special.stdtr(blocks, -np.abs(t) * np.sqrt(1 - 1 / blocks))
    return np.asarray(-np.sign(t) * special.ndtri(tails))


def spa(drawn: Resamples, level: float = 0.05) -> BestTest:
    """Hansen's test of superior predictive ability, studentised, with the consistent p-value.

    Alternatives far below the benchmark are not allowed to hide a good one: their means are kept where they are.
    Source: Hansen (2005), A test for superior predictive ability
    """
    lower, consistent, upper = spa_p_values(drawn, drawn.errors, drawn.scores)
    return _best_test("SPA", drawn, np.maximum(drawn.scores, 0.0), consistent, (lower, upper), level)


def spa_p_values(drawn: Resamples, scale: Floats, statistics: Floats) -> tuple[float, float, float]:
    """Lower, consistent and upper p of Hansen's test of ``statistics``; ``scale`` divides draws: errors, or ones."""
    if not len(drawn.means):
        return math.nan, math.nan, math.nan
    far = drawn.errors * math.sqrt(2 * math.log(math.log(max(drawn.observations, 3))))
    centres = (np.maximum(drawn.means, 0.0), np.where(drawn.means >= -far, drawn.means, 0.0), drawn.means)
    observed = max(0.0, float(np.max(statistics)))
    moved = drawn.deviations + drawn.means
    largest = (np.maximum(((moved - centre) / scale).max(axis=1), 0.0) for centre in centres)
    lower, consistent, upper = (_share(drawn_largest, observed) for drawn_largest in largest)
    return lower, consistent, upper


def reality_check(drawn: Resamples, level: float = 0.05) -> BestTest:
    """White's Reality Check: the largest mean, in the series' own unit; every alternative is taken to be on the edge.

    One wild alternative, or many bad ones, cost it all its power: SPA is the one to trust.
    Source: White (2000), A reality check for data snooping
    """
    root = math.sqrt(drawn.observations)
    found = _share(drawn.deviations.max(axis=1), float(drawn.means.max())) if len(drawn.means) else math.nan
    return _best_test("Reality Check", drawn, root * drawn.means, found, None, level)


def step_m(drawn: Resamples, level: float = 0.05) -> StepTest:
    """Romano and Wolf's step-down, studentised: all alternatives that are better, not only whether the best is.

    p up to the level is the same as being rejected in some step.
    Source: Romano & Wolf (2005), Stepwise multiple testing as formalized data snooping; p-values as in Romano & Wolf
    (2016), Efficient computation of adjusted p-values for resampling-based stepdown multiple testing
    """
    if drawn.note:
        return StepTest((), (), drawn.block, drawn.observations, "insufficient", drawn.note)
    means, scores = drawn.means, drawn.scores
    order = np.argsort(-scores, kind="stable")
    from_here_on = np.maximum.accumulate((drawn.deviations / drawn.errors)[:, order[::-1]], axis=1)[:, ::-1]
    steps = [_share(from_here_on[:, place], float(scores[at])) for place, at in enumerate(order)]
    adjusted = np.maximum.accumulate(steps)
    found = tuple(
        Alternative(drawn.names[at], float(means[at]), float(scores[at]), float(p), float(drawn.effective[at]))
        for at, p in zip(order, adjusted, strict=True)
    )
    better = tuple(one.name for one in found if one.p <= level)
    return StepTest(found, better, drawn.block, drawn.observations, "better" if better else "not shown", "")


def _best_test(
    test: str, drawn: Resamples, statistics: Floats, p: float, bounds: tuple[float, float] | None, level: float
) -> BestTest:
    counted = (len(drawn.names), len(drawn.idle), len(drawn.short))
    if drawn.note:
        empty = (None, None, None, None, drawn.block, drawn.observations, None)
        return BestTest(test, *empty, *counted, "insufficient", drawn.note)
    best = int(np.argmax(statistics))
    size = (drawn.block, drawn.observations, float(drawn.effective[best]))
    verdict: Verdict = "better" if p <= level else "not shown"
    return BestTest(test, p, bounds, float(statistics[best]), drawn.names[best], *size, *counted, verdict, "")


def _share(drawn: Floats, observed: float) -> float:
    """Share of draws that reach what was observed, that one counted in: never 0."""
    return float((1 + np.count_nonzero(drawn >= observed)) / (1 + len(drawn)))


def _autocovariances(centred: Floats) -> Floats:
    """At every lag, shape (buckets, columns)."""
    size = len(centred)
    power = np.abs(np.fft.rfft(centred, 2 * size, axis=0)) ** 2
    return np.asarray(np.fft.irfft(power, 2 * size, axis=0)[:size] / size)


def _picked(names: Sequence[str], which: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, wanted in zip(names, which, strict=True) if wanted)


def _why_nothing(idle: NDArray[np.bool_]) -> str:
    return f"{idle.sum()} of {idle.size} alternatives never differ from the benchmark, the others have too few buckets"
