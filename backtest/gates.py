"""What a model has to pass before it may become champion: each gate's verdict, its figure, and why.

Every gate fails closed: what cannot be judged is "insufficient data", and that is no pass.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.hac import MeanTest, holm, mean_test, regime_tests
from backtest.statistics import TrialTable, deflated_over_ledger, spa_over_ledger

Floats = NDArray[np.float64]
GateVerdict = Literal["passed", "failed", "insufficient data"]

PASSED: Final = "passed"
FAILED: Final = "failed"
INSUFFICIENT: Final = "insufficient data"
BEATS: Final = "beats baselines and champion"
DEFLATED: Final = "deflated Sharpe"
REGIMES: Final = "no regime negative"
LATENCY: Final = "latency budget"
PARITY: Final = "parity"
DEGENERACY: Final = "degeneracy"
SURFACE: Final = "fee x latency x size"

LEVEL: Final = 0.05  # of each statistical gate
RARE_REGIME: Final = 0.05  # share of Test's minutes below which a regime need not be judged; it is named as unknown
FEWEST_TRIPS: Final = 30  # round trips below which nobody can say whether a model is degenerate
ONE_SIDED: Final = 0.98  # share of the opened lots on one side, from which on a model has no opinion but that side


class Gate(NamedTuple):
    """One gate's answer."""

    name: str
    verdict: GateVerdict
    figure: float | None  # what was compared; None where nothing could be
    unit: str  # of the figure
    why: str  # in words, for whoever approves


@dataclass(frozen=True)
class HeldOut:
    """A candidate and its rivals, minute by minute over one Test, all in settlement currency."""

    candidate: Floats  # (minutes,)
    regimes: NDArray[np.int64]  # (minutes,), places in ``names``, below 0 where none is known
    names: Sequence[str]  # of the regimes
    rivals: Mapping[str, Floats]  # (minutes,) each, not a number where a rival has no such minute


@dataclass(frozen=True)
class Searched:
    """Everything that was tried on a slice, beside its rivals on the same minutes."""

    ledger: TrialTable
    rivals: Mapping[str, Floats]  # (minutes of the ledger,) each, not a number where a rival has no such minute


@dataclass(frozen=True)
class Evidence:
    """All that the gates look at. What is None was not to be had."""

    days: float  # of Test
    needed_days: float  # of Test below which profits say nothing
    holding: float  # of a position, or the horizon if that is longer, minutes
    searched: Searched | None
    test: HeldOut | None
    round_trips: int
    decisions: int
    long_share: float | None  # of the lots that opened positions
    surface: Sequence[Mapping[str, Any]]  # fee_bp, latency, size, net_bp of each point
    fee_bp: float  # round trip that the model is traded at
    step_us: float | None  # median of one streaming step, of this machine
    budget_us: float | None
    parity: tuple[GateVerdict, str]  # of live and backtest, and why

    @property
    def short(self) -> str:
        """Why Test is too short for any word about profit; empty if it is long enough."""
        return f"{self.days:.3g} days of Test, {self.needed_days:g} are needed" if self.days < self.needed_days else ""


def judge_gates(evidence: Evidence) -> list[Gate]:
    """Every gate's answer, in the order in which a person reads them."""
    return [gate(evidence) for gate in _RULES.values()]


def promotable(gates: Iterable[Gate]) -> bool:
    """Whether every gate passed.

    >>> promotable([Gate("parity", "insufficient data", None, "", "")]), promotable([])
    (False, False)
    """
    verdicts = [gate.verdict for gate in gates]
    return bool(verdicts) and set(verdicts) == {PASSED}


def beats_rivals(evidence: Evidence) -> Gate:
    """The best of the whole ledger is better than each rival (SPA), and so is the candidate on Test."""
    if evidence.short or evidence.searched is None or evidence.test is None:
        return _insufficient(BEATS, "p", evidence.short or "no profits by minute")
    tried = [_over_ledger(evidence, name, series) for name, series in evidence.searched.rivals.items()]
    held = _over_test(evidence)
    verdict = worst([verdict for verdict, _, _ in (*tried, *held)])
    p_values = [p for _, p, _ in (*tried, *held) if p is not None]
    return Gate(BEATS, verdict, max(p_values, default=None), "p", "; ".join(why for _, _, why in (*tried, *held)))


def deflated(evidence: Evidence) -> Gate:
    """The best trial's Sharpe ratio is above what the best of as many trials without skill shows."""
    if evidence.short or evidence.searched is None:
        return _insufficient(DEFLATED, "probability", evidence.short or "no trial ledger")
    found = deflated_over_ledger(evidence.searched.ledger, evidence.holding, np.random.default_rng(0), LEVEL)
    verdict = _of(found.verdict == "better", insufficient=found.probability is None)
    return Gate(DEFLATED, verdict, found.probability, "probability", found.sentence)


def no_regime_negative(evidence: Evidence) -> Gate:
    """In no regime does the candidate lose significantly; every regime that is not rare can be judged."""
    if evidence.short or evidence.test is None:
        return _insufficient(REGIMES, "p", evidence.short or "no profits by minute")
    test = evidence.test
    tests = regime_tests(test.candidate, test.regimes, test.names, evidence.holding, LEVEL)
    common = [found for found in tests if found.observations >= RARE_REGIME * test.candidate.size]
    verdicts = [_of(found.verdict != "negative", insufficient=found.p is None) for found in common]
    losing = [found.p for found in tests if found.p is not None and (found.mean or 0.0) < 0]
    lost: list[GateVerdict] = [FAILED for found in tests if found.verdict == "negative"]
    verdict = worst([*verdicts, *lost]) if common else INSUFFICIENT
    return Gate(REGIMES, verdict, min(losing, default=None), "p", "; ".join(found.sentence for found in tests))


def within_latency(evidence: Evidence) -> Gate:
    """One streaming step takes no longer than the bundle promises."""
    step, budget = evidence.step_us, evidence.budget_us
    if step is None or budget is None:
        return _insufficient(LATENCY, "us", "the bundle could not be timed")
    return Gate(LATENCY, _of(step <= budget), step, "us", f"a step takes {step:.1f} us, its budget is {budget:.4g} us")


def keeps_parity(evidence: Evidence) -> Gate:
    """What ran live is what the backtest says it would have been."""
    verdict, why = evidence.parity
    return Gate(PARITY, verdict, None, "", why)


def not_degenerate(evidence: Evidence) -> Gate:
    """The candidate trades, and on both sides."""
    trips, share = evidence.round_trips, evidence.long_share
    if evidence.short:
        return _insufficient(DEGENERACY, "round trips", evidence.short)
    if trips == 0:
        why = f"it never traded in {evidence.decisions:,} decisions"
        return Gate(DEGENERACY, _of(False, insufficient=evidence.decisions == 0), 0.0, "round trips", why)
    if trips < FEWEST_TRIPS or share is None:
        return _insufficient(DEGENERACY, "round trips", f"{trips} round trips are fewer than {FEWEST_TRIPS}")
    both = 1 - ONE_SIDED < share < ONE_SIDED
    return Gate(DEGENERACY, _of(both), float(trips), "round trips", f"{trips:,} round trips, {share:.0%} of lots long")


def survives_surface(evidence: Evidence) -> Gate:
    """At the fee in force the candidate earns, also where latency and size are one step worse than they are."""
    if evidence.short:
        return _insufficient(SURFACE, "bp", evidence.short)
    points = harsher_points(evidence.surface, evidence.fee_bp)
    lacking = _lacking(points)
    if lacking:
        return _insufficient(SURFACE, "bp", f"{lacking} at {evidence.fee_bp:g} bp")
    least = min(points, key=lambda point: float(point["net_bp"]))
    at = f"latency x {least['latency']:g}, size x {least['size']:g}"
    why = f"least net of {len(points)} points at {evidence.fee_bp:g} bp: {least['net_bp']:.3f} bp at {at}"
    return Gate(SURFACE, _of(least["net_bp"] > 0), float(least["net_bp"]), "bp", why)


_RULES: Final[Mapping[str, Callable[[Evidence], Gate]]] = {
    BEATS: beats_rivals,
    DEFLATED: deflated,
    REGIMES: no_regime_negative,
    LATENCY: within_latency,
    PARITY: keeps_parity,
    DEGENERACY: not_degenerate,
    SURFACE: survives_surface,
}
GATES: Final = tuple(_RULES)


def harsher_points(surface: Sequence[Mapping[str, Any]], fee_bp: float) -> list[Mapping[str, Any]]:
    """The points at a fee from the terms in force (1, 1) up to one step worse in latency and in size."""
    at_fee = [point for point in surface if point["fee_bp"] == fee_bp]
    most = {axis: _next_above_one(point[axis] for point in at_fee) for axis in ("latency", "size")}
    return [point for point in at_fee if all(1 <= point[axis] <= most[axis] for axis in most)]


def _lacking(points: Sequence[Mapping[str, Any]]) -> str:
    """Why points are not the terms in force and what is one step worse; empty if they are."""
    if not points:
        return "no point of it lies"
    tame = [axis for axis in ("latency", "size") if max(point[axis] for point in points) <= 1]
    if tame:
        return f"no point of it is worse in {' or '.join(tame)}"
    known = all(point["net_bp"] is not None and math.isfinite(point["net_bp"]) for point in points)
    return "" if known else "the candidate does not trade everywhere"


def worst(verdicts: Sequence[GateVerdict]) -> GateVerdict:
    """Failed if any failed, else insufficient if any is, or there is none.

    >>> worst(["passed", "insufficient data", "failed"]), worst(["passed", "insufficient data"]), worst([])
    ('failed', 'insufficient data', 'insufficient data')
    """
    if FAILED in verdicts:
        return FAILED
    return PASSED if verdicts and set(verdicts) == {PASSED} else INSUFFICIENT


def _over_ledger(evidence: Evidence, name: str, series: Floats) -> tuple[GateVerdict, float | None, str]:
    assert evidence.searched is not None
    p, sentence = spa_over_ledger(evidence.searched.ledger, evidence.holding, np.random.default_rng(0), series, LEVEL)
    raised = "" if p is None else f", {p:.3g} with the silent trials"
    return _of(p is not None and p <= LEVEL, insufficient=p is None), p, f"ledger against {name}: {sentence}{raised}"


def _over_test(evidence: Evidence) -> list[tuple[GateVerdict, float | None, str]]:
    """Of the candidate less each rival, p by Holm over the rivals."""
    assert evidence.test is not None
    own, rivals = evidence.test.candidate, evidence.test.rivals
    found = [mean_test(f"Test against {name}", own - series, evidence.holding) for name, series in rivals.items()]
    adjusted = iter(holm([one.p for one in found if one.p is not None]))
    return [_better(one, None if one.p is None else next(adjusted)) for one in found]


def _better(found: MeanTest, p: float | None) -> tuple[GateVerdict, float | None, str]:
    won = p is not None and p <= LEVEL and (found.mean or 0.0) > 0
    return _of(won, insufficient=p is None), p, found.sentence


def _next_above_one(values: Iterable[float]) -> float:
    return min((float(value) for value in values if value > 1), default=1.0)


def _of(passes: bool, *, insufficient: bool = False) -> GateVerdict:
    if insufficient:
        return INSUFFICIENT
    return PASSED if passes else FAILED


def _insufficient(name: str, unit: str, why: str) -> Gate:
    return Gate(name, INSUFFICIENT, None, unit, why)
