"""Deflated Sharpe against the paper's own example, PBO against a plain second implementation, both on noise."""

import math
from itertools import combinations

import numpy as np
import pytest

from backtest.overfitting import deflated_sharpe, expected_best_sharpe, overfitting, probabilistic_sharpe
from market.errors import ConfigError, DataError
from tests.builders_statistics import overlapping


def test_the_papers_example_is_met() -> None:
    """Bailey & Lopez de Prado (2014): 100 trials of variance 1/2 a year, five years of days, ratio 2.5 a year."""
    hurdle = expected_best_sharpe(100, 0.5 / 250)
    assert hurdle == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(2.5 / math.sqrt(250), hurdle, 1_250, -3, 10) == pytest.approx(0.9004, abs=5e-5)


def test_the_expected_best_is_what_draws_show() -> None:
    drawn = np.random.default_rng(0).normal(scale=0.1, size=(20_000, 50)).max(axis=1).mean()
    assert expected_best_sharpe(50, 0.01) == pytest.approx(drawn, rel=0.02)  # the formula is asymptotic
    assert expected_best_sharpe(1, 0.01) == 0.0


def test_a_deflated_sharpe_is_the_formula_on_the_series() -> None:
    series = np.random.default_rng(1).normal(0.2, 1.0, size=2_000)
    found = deflated_sharpe(series, np.array([0.2, 0.0, -0.1]), 40, 0)
    sharpe = series.mean() / series.std()
    scaled = (series - series.mean()) / series.std()
    hurdle = expected_best_sharpe(40, float(np.var([0.2, 0.0, -0.1], ddof=1)))
    assert found.effective is not None
    expected = probabilistic_sharpe(sharpe, hurdle, found.effective, np.mean(scaled**3), np.mean(scaled**4))
    assert (found.sharpe, found.hurdle, found.probability) == (pytest.approx(sharpe), hurdle, pytest.approx(expected))
    assert found.p == pytest.approx(1 - expected)
    assert found.sentence.startswith("deflated Sharpe: ")


def test_more_trials_and_longer_holdings_make_it_harder() -> None:
    series = overlapping(3_000, 10, 2) + 0.3
    sharpes = np.array([0.1, 0.05, 0.0])
    few, many = (deflated_sharpe(series, sharpes, trials, 10).probability for trials in (3, 300))
    assert few is not None
    assert many is not None
    assert many < few
    assert deflated_sharpe(series, sharpes, 3, 10).effective == pytest.approx(300, rel=0.35)


def test_it_is_not_sure_of_the_best_of_many_noises() -> None:
    found = []
    for seed in range(100):
        trials = np.random.default_rng(seed).normal(size=(500, 30))
        sharpes = trials.mean(axis=0) / trials.std(axis=0)
        found.append(deflated_sharpe(trials[:, sharpes.argmax()], sharpes, 30, 0).probability)
    assert 0.4 < np.mean(found) < 0.6
    assert np.mean(np.array(found) > 0.95) <= 0.05


def _plain_pbo(table: np.ndarray, splits: int) -> tuple[float, float]:
    length = len(table) // splits
    parts = [table[len(table) - (splits - at) * length :][:length] for at in range(splits)]
    below, losing = [], []
    for chosen in combinations(range(splits), splits // 2):
        inside = np.concatenate([parts[at] for at in chosen])
        outside = np.concatenate([parts[at] for at in range(splits) if at not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0)))
        later = outside.mean(axis=0) / outside.std(axis=0)
        rank = 1 + sum(one < later[best] for one in later)
        share = rank / (table.shape[1] + 1)
        below.append(math.log(share / (1 - share)) <= 0)
        losing.append(later[best] < 0)
    return float(np.mean(below)), float(np.mean(losing))


@pytest.mark.parametrize(("size", "splits"), [(62, 6), (100, 10)])
def test_a_plain_second_implementation_finds_the_same(size: int, splits: int) -> None:
    table = np.random.default_rng(3).normal(0.1, 1.0, size=(size, 7))
    found = overfitting(table, 10)
    assert (found.splits, found.block, found.halvings) == (splits, 10, math.comb(splits, splits // 2))
    assert (found.pbo, found.loss_share) == pytest.approx(_plain_pbo(table, splits))


def test_noise_is_at_a_half_and_a_winner_near_zero() -> None:
    noise = [np.random.default_rng(seed).normal(size=(320, 10)) for seed in range(20)]
    assert np.mean([overfitting(table, 40).pbo for table in noise]) == pytest.approx(0.5, abs=0.1)
    lifted = noise[0] + np.array([0.6, *[0.0] * 9])
    found = overfitting(lifted, 20)
    assert found.pbo is not None
    assert found.pbo < 0.05
    assert found.verdict == "carries over"
    assert found.sentence.startswith("PBO: carries over, ")


def test_the_best_of_the_past_that_always_turns_is_overfit() -> None:
    generator = np.random.default_rng(4)
    signs = np.where(np.arange(12)[:, None] == np.arange(12), 3.0, -3.0 / 11)  # each trial has its one good split
    found = overfitting(np.repeat(signs, 20, axis=0) + 0.1 * generator.normal(size=(240, 12)), 20)
    assert found.pbo == 1.0
    assert found.loss_share == 1.0
    assert found.verdict == "overfit"


def test_an_idle_trial_has_ratio_zero_and_one_with_holes_is_judged_by_what_it_has() -> None:
    table = np.random.default_rng(5).normal(size=(320, 4)) - 1.0
    table[:, 0] = 0.0
    assert overfitting(table, 20).pbo == 0.0  # standing aside beats three losers, every time
    table[::3, 1] = np.nan
    table[:40, 2] = np.nan
    holed = overfitting(table, 20)
    assert (holed.pbo, holed.trials, holed.left_out) == (0.0, 3, 1)


def test_too_little_is_said_and_bad_input_refused() -> None:
    noise = np.random.default_rng(6).normal(size=(100, 3))
    assert overfitting(noise, 20).note == "100 buckets are fewer than 6 splits of 20"
    assert overfitting(np.zeros((100, 3)), 10).verdict == "insufficient"
    assert overfitting(noise[:, :1], 10).verdict == "insufficient"
    assert overfitting(np.empty((0, 0)), 10).verdict == "insufficient"
    sharpes = np.array([0.1, 0.2])
    assert deflated_sharpe(np.ones(100), sharpes, 5, 0).note == "all 100 buckets are equal"
    assert deflated_sharpe(np.arange(20.0), sharpes, 5, 0).note == "20 buckets are fewer than 30"
    assert deflated_sharpe(noise[:, 0], sharpes[:1], 5, 0).note == "1 of 5 trials have a Sharpe ratio: no variance"
    few = deflated_sharpe(overlapping(300, 60, 1), sharpes, 5, 60)
    assert (few.probability, few.verdict) == (None, "insufficient")
    assert "independent ones, fewer than 30" in few.sentence
    with pytest.raises(DataError, match="2 Sharpe ratios of 1 trials"):
        deflated_sharpe(noise[:, 0], sharpes, 1, 0)
    with pytest.raises(DataError, match="holds nan"):
        deflated_sharpe(np.full(50, np.nan), sharpes, 5, 0)
    with pytest.raises(DataError, match="finite columns"):
        overfitting(np.full((100, 3), np.inf), 10)
    with pytest.raises(ConfigError, match="variance=-1"):
        expected_best_sharpe(3, -1)
