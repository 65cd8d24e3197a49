"""Class shares that moved within a regime are found within two days; a market as it was is left alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bench_label_shift import (
    DAY_ROWS,
    LIVE_DAYS,
    PARAMETERS,
    REGIMES,
    TRAINING_DAYS,
    alarms_in,
    changed,
    daily,
    delay_of,
    judged,
    moved,
    simulated,
    stationary,
)
from market.errors import ConfigError, DataError
from monitoring.label_shift import (
    DailyCounts,
    bootstrap_noise,
    day_to_day_points,
    label_shift_report,
    should_retrain,
)


def test_a_stationary_market_of_sixty_days_is_left_alone() -> None:
    report = stationary(1)
    assert sum(not day.reason for day in report.days) > 2.5 * LIVE_DAYS
    assert alarms_in(report) == 0
    assert report.verdict == "stable"
    assert should_retrain(report) is None


@pytest.mark.parametrize(("regime", "points"), [(0, 20.0), (1, 20.0), (2, 30.0)])
def test_a_planted_change_is_found_on_the_second_day(regime: int, points: float) -> None:
    """High volatility is rare, and its days differ by 20 points of themselves: there it takes more."""
    assert delay_of(1, regime, points) == 2
    report = changed(1, regime, points)
    assert report.verdict == "shift"
    reason = should_retrain(report)
    assert reason is not None
    assert reason.startswith(f"{REGIMES[regime]}: ")
    assert "of the last 3 days" in reason


def test_another_mix_of_regimes_fires_the_naive_rule_alone() -> None:
    counts = simulated(1)
    calm, wild = counts[TRAINING_DAYS:].sum(axis=0), counts[:TRAINING_DAYS]
    mixed = np.repeat((calm * [[0.2], [0.1], [6.0]] / LIVE_DAYS).astype(np.int64)[None], 5, axis=0)
    report = judged(mixed, wild)
    assert report.verdict == "stable"
    assert report.naive_fires
    assert report.naive_points > 15


def test_the_naive_figure_is_that_of_all_rows_together() -> None:
    training = np.array([[[10, 80, 10], [0, 0, 0], [30, 40, 30]]] * 6) * 100
    live = np.array([[[10, 80, 10], [0, 0, 0], [90, 120, 90]]]) * 100
    report = judged(live, training, replace(PARAMETERS, min_day_share=0.0))
    assert report.naive_points == pytest.approx(100 * (120 / 200 - 200 / 400))
    assert not report.naive_fires


def test_a_change_by_hand() -> None:
    quiet, other = [20, 60, 20], [22, 58, 20]
    training = np.array([[quiet] * 3, [other] * 3] * 5) * 50
    live = np.array([[[22, 39, 39], quiet, quiet]] * 2) * 50
    report = judged(live, training)
    day = report.days[3]
    assert (day.day, day.regime, day.kind, day.rows) == ("2024-01-12", "trend", "no trade", 5_000)
    assert (day.share, day.training_share) == (pytest.approx(0.39), pytest.approx(0.59))
    assert (day.change_points, day.training_points) == (pytest.approx(-20.0), pytest.approx(2.0))
    assert -23 < day.low_points < -20 < day.high_points < -17
    assert [day.verdict for day in report.days] == ["insufficient"] * 3 + ["shift", "stable", "stable"]


def test_a_shift_that_training_days_show_as_well_is_none() -> None:
    training = np.array([[[10, 80, 10]] * 3, [[25, 50, 25]] * 3] * 5) * 50
    report = judged(np.array([[[28, 44, 28]] * 3] * 3) * 50, training)
    assert all(abs(day.change_points) > PARAMETERS.min_points for day in report.days)
    assert report.verdict == "stable"


def test_one_day_is_no_shift_and_neither_are_two_far_apart() -> None:
    training = np.array([[[20, 60, 20]] * 3] * 8) * 50
    usual, odd = [[20, 60, 20]] * 3, [[45, 35, 20]] * 3
    assert judged(np.array([usual, usual, odd]) * 50, training).verdict == "stable"
    apart = judged(np.array([odd, usual, usual, odd]) * 50, training)
    assert sum(day.exceeds for day in apart.days) == 6
    assert apart.verdict == "stable"
    assert judged(np.array([odd, usual, odd]) * 50, training).verdict == "shift"


SMALL = replace(PARAMETERS, min_day_share=0.0)
EVEN = [20, 60, 20]
ONE_ODD = [EVEN] * 60 + [[27, 45, 28]]  # 3 % of the pairs of days differ by 15 points, under 2 % of the days do
ONE_HEAVY = [[400, 1_000, 600], EVEN, EVEN, EVEN, EVEN]  # of five days the one that weighs most differs by 10


@pytest.mark.parametrize(
    ("training", "live", "missed"),
    [
        ([EVEN] * 8, [25, 51, 24], "points"),
        (ONE_ODD, [26, 48, 26], "day to day"),
        (ONE_HEAVY, [15, 65, 20], "interval"),
        ([EVEN] * 8, [26, 48, 26], ""),
        (ONE_ODD, [29, 42, 29], ""),
        (ONE_HEAVY, [5, 85, 10], ""),
    ],
)
def test_a_day_exceeds_only_where_all_three_conditions_hold(
    training: list[list[int]], live: list[int], missed: str
) -> None:
    days = [np.array([day] * 3) * 50 for day in (live, *training)]
    day = judged(np.stack(days[:1]), np.stack(days[1:]), SMALL).days[0]
    failed = {
        "points": abs(day.change_points) <= SMALL.min_points,
        "day to day": abs(day.change_points) <= day.training_points,
        "interval": day.low_points <= 0 <= day.high_points,
    }
    assert [name for name, fails in failed.items() if fails] == ([missed] if missed else [])
    assert day.exceeds == (not missed)


def test_days_that_moved_another_class_or_the_other_way_do_not_vote_together() -> None:
    training = np.array([[EVEN] * 3] * 8) * 50
    fewer, more, other = [[45, 35, 20]] * 3, [[5, 90, 5]] * 3, [[50, 40, 10]] * 3
    for first, second in ((fewer, more), (more, other)):
        report = judged(np.array([first, second]) * 50, training)
        assert all(day.exceeds for day in report.days)
        assert report.verdict == "stable"
    assert judged(np.array([fewer, more, fewer]) * 50, training).verdict == "shift"


def test_a_training_day_counts_for_a_regime_only_with_enough_rows_of_it() -> None:
    few, many = PARAMETERS.min_rows - 5, PARAMETERS.min_rows
    training = np.array([[[0, rows, 0], [0, 8_000, 0], [0, 8_000, 0]] for rows in [few] * 3 + [many] * 6])
    report = judged(training[-1:], training)
    assert [day.training_days for day in report.days] == [6, 9, 9]
    assert report.days[0].training_rows == 6 * many


@pytest.mark.parametrize(
    ("live", "training", "reason"),
    [
        ([[[0, 100, 0], [4000, 4000, 0], [0, 100, 0]]], 8, "100 rows of it, 200 needed"),
        ([[[0, 400, 0], [0, 400, 0], [0, 400, 0]]], 8, "labels cover 13.9% of the day, 50% needed"),
        ([[[0, 3000, 0]] * 3], 4, "training has 4 whole days of it, 5 needed"),
        ([[[0, 3000, 0]] * 3], 8, "1 days, 2 needed"),
    ],
)
def test_too_little_is_insufficient_and_says_why(live: list[list[list[int]]], training: int, reason: str) -> None:
    report = judged(np.array(live), np.array([[[500, 1500, 500]] * 3] * training))
    assert report.verdict == "insufficient"
    assert report.regimes[0].reason == reason
    assert should_retrain(report) is None


def test_days_and_regimes_must_fit_together() -> None:
    counts = np.ones((2, 3, 3), np.int64)
    with pytest.raises(DataError, match="counts of 3 regimes stand beside 2 names"):
        label_shift_report(daily(counts, 0), daily(counts, 0), REGIMES[:2], PARAMETERS)
    with pytest.raises(DataError, match="no day of live labels"):
        judged(counts[:0], counts)
    with pytest.raises(DataError, match="must rise"):
        DailyCounts(("2024-01-02", "2024-01-01"), counts, DAY_ROWS)
    with pytest.raises(DataError, match="not those of 1 days"):
        DailyCounts(("2024-01-02",), counts, DAY_ROWS)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"votes": 4}, "votes=4; allowed: 1 to of_days=3"),
        ({"min_points": 100.0}, "min_points=100.0"),
        ({"interval": 1.0}, "interval=1.0"),
        ({"min_training_days": 2}, "min_training_days=2; allowed: at least 3"),
        ({"min_day_share": 1.5}, "min_day_share=1.5"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(PARAMETERS, **setting)  # type: ignore[arg-type]


@given(st.integers(0, 2**32), st.integers(3, 12))
def test_the_bootstrap_is_centred_and_of_the_days_own_scatter(seed: int, days: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.stack([rng.multinomial(5_000, rng.dirichlet([20, 60, 20])) for _ in range(days)])
    noise = bootstrap_noise(counts, 4_000, rng)
    scatter = (counts / 5_000).std(axis=0)
    assert np.allclose(noise.sum(axis=1), 0)
    assert np.all(np.abs(noise.mean(axis=0)) < 6 * scatter * np.sqrt((1 + 1 / days) / 4_000) + 1e-12)
    assert noise.std(axis=0) == pytest.approx(scatter * np.sqrt(1 + 1 / days), rel=0.1)


@given(st.lists(st.lists(st.integers(1, 1_000), min_size=3, max_size=3), min_size=2, max_size=9))
def test_day_to_day_shifts_are_those_of_the_plain_double_loop(counts: list[list[int]]) -> None:
    shares = [[count / sum(day) for count in day] for day in counts]
    shifts = sorted(
        max(abs(a - b) for a, b in zip(first, second, strict=True))
        for place, first in enumerate(shares)
        for second in shares[place + 1 :]
    )
    at = -(-99 * (len(shifts) - 1) // 100)
    assert day_to_day_points(np.array(counts), 0.99) == pytest.approx(100 * shifts[at])


def test_the_verdict_knows_no_later_day() -> None:
    counts = simulated(1)
    live = counts[TRAINING_DAYS:].copy()
    live[40:] = moved(live[40:], 1, 30.0)
    whole = judged(live, counts[:TRAINING_DAYS]).rows()
    assert repr(judged(live[:42], counts[:TRAINING_DAYS]).rows()) == repr(whole[: 3 * 42])


def test_a_report_is_named_by_what_it_says() -> None:
    counts = simulated(1)
    first, second = (judged(counts[TRAINING_DAYS : 40 + days], counts[:TRAINING_DAYS]) for days in (0, 1))
    assert first.sha256 == judged(counts[TRAINING_DAYS:40], counts[:TRAINING_DAYS]).sha256 != second.sha256
