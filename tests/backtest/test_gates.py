"""Each planted fault turns its own gate, whatever cannot be judged is no pass, and a good model passes them all."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.gates import (
    BEATS,
    DEFLATED,
    DEGENERACY,
    FAILED,
    GATES,
    INSUFFICIENT,
    LATENCY,
    PARITY,
    PASSED,
    REGIMES,
    SURFACE,
    Evidence,
    HeldOut,
    Searched,
    harsher_points,
    judge_gates,
    promotable,
    worst,
)
from backtest.statistics import TrialTable

MINUTES = 1_800
NAMES = ("range", "trend", "high volatility")


def noise(seed: int, columns: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(MINUTES, columns))


def table(net: np.ndarray, silent: int = 2) -> TrialTable:
    names = tuple(f"s/{place}" for place in range(net.shape[1]))
    return TrialTable(names, np.arange(len(net)), net, tuple(f"s/silent{place}" for place in range(silent)))


def rivals(seed: int) -> dict[str, np.ndarray]:
    return {
        "not trading": np.zeros(MINUTES),
        "median band": noise(seed)[:, 0] * 0.2 - 0.01,
        "champion": noise(seed + 1)[:, 0] * 0.2 + 0.02,
    }


def searched(lifts: float = 0.25, trials: int = 10, seed: int = 1) -> Searched:
    return Searched(table(noise(seed, trials) + np.linspace(0.0, lifts, trials)), rivals(50))


def profits(lift: float = 0.25) -> HeldOut:
    regimes = np.repeat(np.arange(3), MINUTES // 3)
    return HeldOut(noise(3)[:, 0] + lift, regimes, NAMES, rivals(60))


def points(own: float = 0.8) -> list[dict[str, float | None]]:
    return [
        {"fee_bp": fee, "latency": latency, "size": size, "net_bp": own - 0.1 * latency - 0.05 * size - 0.5 * fee}
        for fee in (0.0, 4.0)
        for latency in (0.5, 1.0, 2.0, 8.0)
        for size in (1.0, 2.0, 16.0)
    ]


GOOD = Evidence(
    days=25.0,
    needed_days=20.0,
    holding=3.0,
    searched=searched(),
    test=profits(),
    round_trips=400,
    decisions=30_000,
    long_share=0.55,
    surface=points(),
    fee_bp=0.0,
    step_us=120.0,
    budget_us=1_000.0,
    parity=(PASSED, "levels 1 and 2 exact"),
)


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in judge_gates(evidence)}


def failed(evidence: Evidence) -> set[str]:
    return {name for name, verdict in verdicts(evidence).items() if verdict == FAILED}


def test_a_good_model_passes_every_gate() -> None:
    gates = judge_gates(GOOD)
    assert [gate.name for gate in gates] == list(GATES)
    assert promotable(gates), [(gate.name, gate.why) for gate in gates if gate.verdict != PASSED]
    assert all(gate.why for gate in gates)


def test_a_model_that_is_worse_than_the_champion_on_test_turns_its_gate_alone() -> None:
    strong = rivals(60) | {"champion": profits().candidate + 0.1 + 0.2 * noise(7)[:, 0]}
    worse = replace(GOOD, test=replace(profits(), rivals=strong))
    assert failed(worse) == {BEATS}
    assert "Test against champion: negative" in judge_gates(worse)[0].why


def test_a_model_that_cannot_be_told_from_the_champion_does_not_pass() -> None:
    gap = noise(7)[:, 0]
    twin = rivals(60) | {"champion": profits().candidate + 0.2 * (gap - gap.mean())}
    assert failed(replace(GOOD, test=replace(profits(), rivals=twin))) == {BEATS}


def test_the_champion_counts_over_the_ledger_too() -> None:
    strong = rivals(50) | {"champion": noise(8)[:, 0] * 0.2 + 0.3}
    assert failed(replace(GOOD, searched=Searched(searched().ledger, strong))) == {BEATS}


def test_the_best_of_a_thousand_noise_trials_turns_the_two_gates_that_read_the_ledger() -> None:
    overfit = Searched(table(noise(11, 1_000)[:1_200], 0), {"not trading": np.zeros(1_200)})
    best = float((overfit.ledger.net.mean(axis=0) / overfit.ledger.net.std(axis=0)).max()) * 1_200**0.5
    assert best > 2.5  # alone, it would look like skill
    assert failed(replace(GOOD, searched=overfit)) == {BEATS, DEFLATED}


def test_the_same_trial_alone_would_have_passed_the_deflated_gate() -> None:
    net = noise(11, 1_000)[:1_200]
    best = net[:, [int(np.argmax(net.mean(axis=0) / net.std(axis=0)))]]
    alone = Searched(table(best, 0), {"not trading": np.zeros(1_200)})
    assert failed(replace(GOOD, searched=alone)) == set()


def test_a_regime_that_loses_turns_its_gate_alone() -> None:
    test = profits()
    candidate = test.candidate + np.where(test.regimes == 2, -0.4, 0.35)
    assert failed(replace(GOOD, test=replace(test, candidate=candidate))) == {REGIMES}


def test_a_losing_regime_counts_however_rare_and_an_unjudged_one_only_if_it_is_not() -> None:
    test = profits()
    rare = np.where(np.arange(MINUTES) % 30 == 0, 2, np.minimum(test.regimes, 1))  # 3 % of the minutes
    candidate = test.candidate + np.where(rare == 2, -3.0, 0.1)
    assert failed(replace(GOOD, test=replace(test, candidate=candidate, regimes=rare))) == {REGIMES}
    few = np.where(np.arange(MINUTES) % 300 == 0, 2, np.minimum(test.regimes, 1))  # 20 minutes
    assert verdicts(replace(GOOD, test=replace(test, regimes=few)))[REGIMES] == PASSED
    unknown = replace(test, candidate=test.candidate[:75], regimes=test.regimes[:75] - 1, rivals={})
    assert verdicts(replace(GOOD, test=unknown))[REGIMES] == INSUFFICIENT


def test_a_slow_model_turns_its_gate_alone() -> None:
    assert failed(replace(GOOD, step_us=1_001.0)) == {LATENCY}
    assert verdicts(replace(GOOD, step_us=None))[LATENCY] == INSUFFICIENT


def test_a_lost_parity_turns_its_gate_alone() -> None:
    assert failed(replace(GOOD, parity=(FAILED, "level 1: fills differ"))) == {PARITY}


def test_a_model_that_is_always_flat_turns_its_gate_alone() -> None:
    flat = replace(GOOD, round_trips=0, long_share=None, test=replace(profits(), candidate=np.zeros(MINUTES)))
    flat = replace(flat, surface=[point | {"net_bp": None} for point in points()], test=replace(flat.test, rivals={}))
    assert failed(flat) == {DEGENERACY}
    assert not promotable(judge_gates(flat))


def test_a_model_that_knows_one_side_only_is_degenerate_and_one_with_few_trips_is_unknown() -> None:
    assert failed(replace(GOOD, long_share=0.99)) == failed(replace(GOOD, long_share=0.0)) == {DEGENERACY}
    assert verdicts(replace(GOOD, round_trips=29))[DEGENERACY] == INSUFFICIENT


def test_a_model_that_loses_one_step_beyond_the_terms_in_force_turns_the_surface_alone() -> None:
    assert failed(replace(GOOD, surface=points(0.25))) == {SURFACE}  # -0.05 bp at twice the latency and the size
    assert verdicts(replace(GOOD, fee_bp=2.0))[SURFACE] == INSUFFICIENT


def test_the_surface_is_read_from_the_terms_in_force_to_one_step_worse() -> None:
    read = {(point["fee_bp"], point["latency"], point["size"]) for point in harsher_points(points(), 4.0)}
    assert read == {(4.0, latency, size) for latency in (1.0, 2.0) for size in (1.0, 2.0)}


@pytest.mark.parametrize("axis", ["latency", "size"])
def test_a_surface_that_holds_nothing_worse_is_no_pass(axis: str) -> None:
    tame = [point for point in points() if point[axis] == 1.0]
    [gate] = [gate for gate in judge_gates(replace(GOOD, surface=tame)) if gate.name == SURFACE]
    assert (gate.verdict, gate.why) == (INSUFFICIENT, f"no point of it is worse in {axis} at 0 bp")


def test_a_point_of_the_surface_that_is_no_number_is_no_pass() -> None:
    for place in range(24):
        holed = [point | ({"net_bp": math.nan} if at == place else {}) for at, point in enumerate(points())]
        found = harsher_points(points(), 0.0)
        expected = INSUFFICIENT if points()[place] in found else PASSED
        assert verdicts(replace(GOOD, surface=holed))[SURFACE] == expected


def test_a_short_test_says_nothing_of_profit_but_of_speed_and_parity_it_does() -> None:
    short = verdicts(replace(GOOD, days=19.9))
    assert {name for name, verdict in short.items() if verdict == PASSED} == {LATENCY, PARITY}
    assert {name for name, verdict in short.items() if verdict == INSUFFICIENT} == set(GATES) - {LATENCY, PARITY}


@pytest.mark.parametrize("lacking", ["searched", "test"])
def test_what_is_not_there_is_no_pass(lacking: str) -> None:
    found = verdicts(replace(GOOD, **{lacking: None}))
    assert found[BEATS] == INSUFFICIENT
    assert INSUFFICIENT in (found[DEFLATED], found[REGIMES])


@given(st.lists(st.sampled_from([PASSED, FAILED, INSUFFICIENT]), max_size=8))
def test_only_passes_make_a_pass(given_verdicts: list) -> None:
    assert (worst(given_verdicts) == PASSED) == (bool(given_verdicts) and set(given_verdicts) == {PASSED})
    assert (worst(given_verdicts) == FAILED) == (FAILED in given_verdicts)
