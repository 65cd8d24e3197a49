"""Whether a model still earns what it did for its risk, at the mix of regimes that it now meets.

The information ratio here is that of one-minute net profits, scaled to a day. Days are the unit that is drawn anew: the
minutes of a day share one market. docs/drift.md has the formulas.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from market.errors import DataError
from monitoring.parameters import IrDecayParameters
from monitoring.report import content_sha

Floats = NDArray[np.float64]
Verdict = Literal["decay", "stable", "insufficient"]

DAY_MINUTES: Final = 1_440
MINUTES, SUM, SQUARES = range(3)  # places in the last axis of a DailyNet


@dataclass(frozen=True, slots=True)
class DailyNet:
    """One-minute net profits by day and regime, summed up."""

    days: tuple[str, ...]  # UTC dates, rising, D of them
    sums: Floats  # (D, R, 3): minutes, sum of their profits, sum of the squares

    def __post_init__(self) -> None:
        if self.sums.ndim != 3 or self.sums.shape[::2] != (len(self.days), 3):
            raise DataError(f"sums of shape {self.sums.shape} are not those of {len(self.days)} days")
        if list(self.days) != sorted(set(self.days)):
            raise DataError(f"days {', '.join(self.days)} must rise")


@dataclass(frozen=True, slots=True)
class IrReport:
    """The newest live days against the base, and why in words."""

    verdict: Verdict
    reason: str
    live_days: int
    base_days: int
    newest_day: str  # empty: none
    live_ir: float | None = None  # of a day, over the regimes that both sides have
    base_ir: float | None = None  # the same at the live mix of regimes
    decline: float | None = None  # share of the base that is lost; below 0: gained
    low: float | None = None  # interval of base_ir - live_ir
    high: float | None = None

    @property
    def sha256(self) -> str:
        """Hex sha256 of the report's content."""
        return content_sha(self)


def ir_report(live: DailyNet, base: DailyNet, parameters: IrDecayParameters) -> IrReport:
    """Judge the newest ``window_days`` of ``live`` against all days of ``base``.

    Raises DataError if the two know different regimes.
    """
    if live.sums.shape[1] != base.sums.shape[1]:
        raise DataError(f"{live.sums.shape[1]} live regimes stand beside {base.sums.shape[1]} of the base")
    recent = live.sums[-parameters.window_days :]
    newest = live.days[-1] if live.days else ""
    nothing = IrReport("insufficient", "", len(recent), len(base.days), newest)
    for side, days in (("live", len(recent)), ("base", len(base.days))):
        if days < parameters.min_days:
            return replace(nothing, reason=f"{days} {side} days, {parameters.min_days} needed")
    both = np.minimum(*(side[:, :, MINUTES].sum(axis=0) for side in (recent, base.sums))) >= parameters.min_minutes
    if not both.any():
        return replace(nothing, reason=f"no regime has {parameters.min_minutes} minutes on either side")
    return _judged(recent[:, both], base.sums[:, both], nothing, parameters)


def should_retrain(report: IrReport) -> str | None:
    """Why a model should be trained anew, in words; None if it should not."""
    return report.reason if report.verdict == "decay" else None


def matched_irs(live: Floats, base: Floats) -> tuple[Floats, Floats]:
    """Daily IR of either side, the base's at the live mix of regimes; NaN where profits never move.

    live, base : (..., R, 3), summed over days
    """
    minutes = live[..., MINUTES]
    shares = minutes / minutes.sum(axis=-1, keepdims=True)
    return _ir(shares, live), _ir(shares, base)


def daily_net(days: NDArray[np.str_], regimes: NDArray[np.int64], net: Floats, regime_count: int) -> DailyNet:
    """Sums of minutes by day and regime; arrays of one value a minute, (N,)."""
    names, place = np.unique(days, return_inverse=True)
    code = place * regime_count + regimes
    sums = [np.bincount(code, weights, names.size * regime_count) for weights in (np.ones(net.size), net, net**2)]
    return DailyNet(
        tuple(map(str, names)), np.stack(sums, axis=-1).reshape(names.size, regime_count, 3).astype(np.float64)
    )


def _judged(live: Floats, base: Floats, found: IrReport, parameters: IrDecayParameters) -> IrReport:
    generator = np.random.default_rng(parameters.seed)
    live_ir, base_ir = (float(ir) for ir in matched_irs(live.sum(axis=0), base.sum(axis=0)))
    if not np.isfinite([live_ir, base_ir]).all():
        return replace(found, reason="the profits of one side never move")
    drawn = [_resampled(side, parameters.draws, generator) for side in (live, base)]
    live_irs, base_irs = matched_irs(*drawn)
    ends = [(1 - parameters.interval) / 2, (1 + parameters.interval) / 2]
    least = float(np.nanquantile(base_irs, ends[0]))
    if base_ir <= 0 or least <= 0:
        return replace(found, reason=f"the base IR is {base_ir:.2f} a day and at least {least:.2f}: not above zero")
    low, high = (float(end) for end in np.nanquantile(base_irs - live_irs, ends))
    decline = 1 - live_ir / base_ir
    decayed = decline > parameters.max_decline and low > 0
    reason = (
        f"daily IR {live_ir:.2f} over {found.live_days} days, {base_ir:.2f} over {found.base_days} before at the same "
        f"mix of regimes: {decline:+.0%} lost ({parameters.interval:.0%} interval {low:.2f} to {high:.2f})"
    )
    return replace(
        found,
        verdict="decay" if decayed else "stable",
        reason=reason,
        live_ir=live_ir,
        base_ir=base_ir,
        decline=decline,
        low=low,
        high=high,
    )


def _resampled(sums: Floats, draws: int, generator: np.random.Generator) -> Floats:
    """Sums over as many days drawn with replacement, (draws, R, 3)."""
    drawn = generator.integers(0, len(sums), size=(draws, len(sums)))
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=len(sums)).astype(np.float64)
    return np.asarray(np.tensordot(times, sums, axes=1))


def _ir(shares: Floats, sums: Floats) -> Floats:
    minutes = np.maximum(sums[..., MINUTES], 1)
    mean = (shares * sums[..., SUM] / minutes).sum(axis=-1)
    square = (shares * sums[..., SQUARES] / minutes).sum(axis=-1)
    variance = square - mean**2
    moving = variance > 1e-12 * np.maximum(square, 1e-300)
    return np.asarray(np.where(moving, mean / np.sqrt(np.where(moving, variance, 1.0)), np.nan) * DAY_MINUTES**0.5)
