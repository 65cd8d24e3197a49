"""SPA, Reality Check and StepM: by hand, by a second plain implementation, beside arch, with holes and idle trials."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from backtest.reality import Resamples, reality_check, resample, spa, spa_p_values, stationary_variances, step_m
from backtest.resampling import stationary_indices
from market.errors import ConfigError, DataError
from tests.builders_statistics import overlapping, peer

NAMES = ("a", "b", "c")


def drawn_by_hand(means: list[float], deviations: list[list[float]]) -> Resamples:
    ones = np.ones(len(means))
    size = {"effective": 100 * ones, "observations": 100, "block": 1, "idle": (), "short": (), "note": ""}
    return Resamples(NAMES[: len(means)], np.array(means), ones, np.array(means), np.array(deviations), **size)


def noise(columns: int, size: int = 400, horizon: int = 3, seed: int = 0) -> np.ndarray:
    return np.column_stack([overlapping(size, horizon, 1_000 * seed + column) for column in range(columns)])


def test_hansens_three_p_values_by_hand() -> None:
    # b lies a little below the benchmark, c far below: sqrt(2 log log 100) = 1.75
    drawn = drawn_by_hand([1.0, -0.5, -5.0], [[0.5, 1.2, 5.5], [1.5, 0.0, 0.0], [-1.0, 0.0, 1.1], [0.0, 0.0, 7.0]])
    lower, consistent, upper = spa_p_values(drawn, drawn.errors, drawn.scores)
    assert upper == 5 / 5  # every draw reaches 1: 5.5, 1.5, 1.1, 7
    assert consistent == 4 / 5  # c stays where it is: 1.2 by b, 1.5, none, 2 by c
    assert lower == 3 / 5  # and so does b: 0.7, 1.5, none, 2
    found = spa(drawn)
    assert (found.p, found.p_bounds, found.best, found.statistic) == (0.8, (0.6, 1.0), "a", 1.0)
    assert reality_check(drawn).p == 5 / 5


def test_a_best_that_is_worse_than_the_benchmark_is_no_news() -> None:
    drawn = drawn_by_hand([-1.0, -2.0], [[0.1, 0.2]] * 99)
    assert spa(drawn).p == 1.0
    assert spa(drawn).statistic == 0.0
    assert step_m(drawn).better == ()


def test_step_down_by_hand() -> None:
    deviations = [[4.0, 0.0, 0.0], [0.0, 2.6, 0.0], [0.0, 0.0, 1.0], *[[0.0, 0.0, 0.0]] * 96]
    found = step_m(drawn_by_hand([2.5, 3.0, 0.9], deviations))
    assert [one.name for one in found.alternatives] == ["b", "a", "c"]
    assert [one.p for one in found.alternatives] == pytest.approx([0.02, 0.02, 0.02])  # c's own: 1.0 alone reaches 0.9
    harder = step_m(drawn_by_hand([2.5, 3.0, 0.9], [*deviations[:3], *[[0.0, 2.7, 0.0]] * 10, *[[0.0] * 3] * 86]))
    assert [round(one.p, 2) for one in harder.alternatives] == [0.02, 0.02, 0.02]  # b's draws no longer count for a
    assert found.better == ("b", "a", "c")
    assert found.sentence.startswith("StepM: better are b, a, c, of 3")


def test_the_boot_error_is_the_double_sum_over_lags() -> None:
    series, block = noise(2, 50)[:, :2], 4
    centred = series - series.mean(axis=0)
    for column in range(2):
        total = float(np.mean(centred[:, column] ** 2))
        for lag in range(1, 50):
            kappa = (1 - lag / 50) * (1 - 1 / block) ** lag + lag / 50 * (1 - 1 / block) ** (50 - lag)
            total += 2 * kappa * sum(centred[t, column] * centred[t + lag, column] for t in range(50 - lag)) / 50
        assert stationary_variances(centred, block)[column] == pytest.approx(total, rel=1e-9)


def test_the_boot_error_is_what_draws_show() -> None:
    drawn = resample(NAMES, noise(3), 10, np.random.default_rng(0), 4_000)
    assert drawn.deviations.std(axis=0) == pytest.approx(drawn.errors, rel=0.05)
    assert drawn.deviations.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.1 * drawn.errors.max())


@pytest.mark.parametrize("lift", [0.0, 0.25])
def test_a_plain_second_implementation_finds_the_same(lift: float) -> None:
    series = noise(5, 200) + np.array([lift, 0.0, -0.1, -3.0, 0.05])
    names, block, draws = [f"rule {column}" for column in range(5)], 6, 199
    fast = resample(names, series, block, np.random.default_rng(9), draws)
    generator = np.random.default_rng(9)
    boot = [series[stationary_indices(200, block, generator)].mean(axis=0) for _ in range(draws)]
    means, errors = series.mean(axis=0), fast.errors
    tails = stats.t.sf(means / errors * math.sqrt(1 - block / 200), 200 / block)
    scores = stats.norm.isf(tails)
    assert spa(fast).p == _plain_spa(means, errors, scores, boot, 200)
    assert reality_check(fast).p == (1 + sum(max(drawn - means) >= max(means) for drawn in boot)) / (1 + draws)
    assert set(step_m(fast, 0.05).better) == {names[at] for at in _plain_step_m(scores, (boot - means) / errors, 0.05)}


def _plain_spa(means: np.ndarray, errors: np.ndarray, scores: np.ndarray, boot: list[np.ndarray], size: int) -> float:
    kept = [
        mean if mean >= -error * math.sqrt(2 * math.log(math.log(size))) else 0.0
        for mean, error in zip(means, errors, strict=True)
    ]
    observed = max(0.0, *scores)
    return (1 + sum(max(0.0, *((drawn - kept) / errors)) >= observed for drawn in boot)) / (1 + len(boot))


def _plain_step_m(t: np.ndarray, boot: np.ndarray, level: float) -> set[int]:
    """As the paper has it: a critical value from those that are left, until nothing more is rejected."""
    rejected: set[int] = set()
    while left := [at for at in range(len(t)) if at not in rejected]:
        largest = sorted((max(drawn[left]) for drawn in boot), reverse=True)
        critical = largest[math.floor(level * (1 + len(boot))) - 1]  # at most that many of 1 + draws reach beyond it
        more = {at for at in left if t[at] > critical}
        if not more:
            break
        rejected |= more
    return rejected


def test_without_studentising_the_p_values_are_archs() -> None:
    arch = peer("arch.bootstrap")
    series = noise(4, 500) + np.array([0.1, 0.0, -0.2, -2.0])
    drawn = resample(["a", "b", "c", "d"], series, 9, np.random.default_rng(1), 2_000)
    theirs = arch.SPA(np.zeros(500), -series, block_size=9, reps=2_000, studentize=False, seed=2)
    theirs.compute()
    ours = spa_p_values(drawn, np.ones(4), drawn.means)
    spread = [4 * math.sqrt(2 * p * (1 - p) / 2_000) for p in theirs.pvalues]
    assert all(abs(a - b) < d for a, b, d in zip(ours, theirs.pvalues, spread, strict=True)), (ours, theirs.pvalues)
    assert reality_check(drawn).p == ours[2]
    assert 0.02 < ours[1] < 0.98


def test_studentising_finds_a_steady_winner_beside_a_wild_loser() -> None:
    found = {"SPA": 0, "Reality Check": 0}
    for seed in range(30):
        series = noise(6, 400, 3, seed) * np.array([1, 1, 1, 1, 1, 30]) + np.array([0.45, 0, 0, 0, 0, 0])
        drawn = resample([str(column) for column in range(6)], series, 8, np.random.default_rng(seed), 199)
        found["SPA"] += spa(drawn).verdict == "better"
        found["Reality Check"] += reality_check(drawn).verdict == "better"
    assert found["SPA"] >= 24
    assert found["Reality Check"] <= 6


def test_a_missing_minute_is_neither_zero_nor_a_gain() -> None:
    series = noise(2, 4_000) + 0.4
    half = series.copy()
    half[2_000:, 1] = np.nan
    drawn = resample(["whole", "half"], half, 8, np.random.default_rng(0))
    assert drawn.means[1] == pytest.approx(series[:2_000, 1].mean())  # not half of that
    assert drawn.errors[1] == pytest.approx(math.sqrt(2) * drawn.errors[0], rel=0.15)
    assert drawn.effective[1] < 0.7 * drawn.effective[0]
    zero_filled = resample(["whole", "half"], np.nan_to_num(half), 8, np.random.default_rng(0))
    assert drawn.means[1] == pytest.approx(2 * zero_filled.means[1])


def test_idle_and_short_trials_are_counted_apart() -> None:
    series = np.column_stack([noise(1, 400)[:, 0], np.zeros(400), np.full(400, np.nan), np.full(400, 0.5)])
    series[:20, 2] = 1.0
    drawn = resample(["trades", "stands aside", "died early", "constant"], series, 5, np.random.default_rng(0))
    assert (drawn.names, drawn.idle, drawn.short) == (("trades",), ("stands aside",), ("died early", "constant"))
    found = spa(drawn)
    assert (found.alternatives, found.idle, found.short) == (1, 1, 2)
    assert found.sentence.endswith("blocks of 5; 1 idle, 2 too short")


@pytest.mark.parametrize(
    ("series", "note"),
    [
        (np.zeros((400, 2)), "2 of 2 alternatives never differ from the benchmark"),
        (np.ones((400, 2)), "0 of 2 alternatives never differ from the benchmark, the others have too few"),
        (noise(2, 90), "90 buckets are fewer than 20 blocks of 5"),
        (np.empty((0, 2)), "0 buckets are fewer than 30"),
    ],
)
def test_too_little_is_insufficient_in_every_test(series: np.ndarray, note: str) -> None:
    drawn = resample(["a", "b"], series, 5, np.random.default_rng(0))
    for found in (spa(drawn), reality_check(drawn)):
        assert (found.verdict, found.p, found.statistic) == ("insufficient", None, None)
        assert note in found.sentence
    assert (step_m(drawn).verdict, step_m(drawn).better) == ("insufficient", ())
    assert note in step_m(drawn).sentence


def test_bad_input_is_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(DataError, match="3 names for finite differences of shape"):
        resample(NAMES, np.zeros((50, 2)), 5, generator)
    with pytest.raises(DataError, match="finite differences"):
        resample(("a",), np.full((50, 1), np.inf), 5, generator)
    with pytest.raises(ConfigError, match="draws=10 99 or more"):
        resample(("a",), np.zeros((50, 1)), 5, generator, 10)


def test_equal_generators_give_equal_answers_and_no_p_is_zero() -> None:
    series = noise(3) + np.array([5.0, 0.0, 0.0])
    first, second = (spa(resample(NAMES, series, 5, np.random.default_rng(3), 199)) for _ in range(2))
    assert first == second
    assert first.p == 1 / 200
    assert replace(first, p=None, verdict="insufficient", note="x").sentence == "SPA: insufficient, x"
