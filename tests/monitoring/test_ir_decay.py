"""What a model earned for its risk: by hand, at the mix of regimes that it meets, and what too little data says."""

from dataclasses import replace

import numpy as np
import pytest

from market.errors import ConfigError, DataError
from monitoring.ir_decay import DailyNet, daily_net, ir_report, matched_irs, should_retrain
from monitoring.parameters import IrDecayParameters

PARAMETERS = IrDecayParameters(
    window_days=30, min_days=20, max_decline=0.3, interval=0.95, draws=1_000, min_minutes=1_000, seed=23
)
MINUTES = 1_440


def days_of(generator: np.random.Generator, irs: list[float], share: float = 0.5, second: float = 1.0) -> DailyNet:
    """Days of normal minutes at these daily IRs, a share of them in the first of two regimes.

    second : profit of the second regime over that of the first, whose minutes move alike
    """
    names, kinds, net = [], [], []
    for day, ir in enumerate(irs):
        regimes = (np.arange(MINUTES) >= share * MINUTES).astype(np.int64)
        mean = ir / MINUTES**0.5 * np.where(regimes == 1, second, 1.0)
        names.append(np.full(MINUTES, f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}"))
        kinds.append(regimes)
        net.append(mean + generator.standard_normal(MINUTES))
    return daily_net(np.concatenate(names), np.concatenate(kinds), np.concatenate(net), 2)


def test_sums_and_ratio_are_those_by_hand() -> None:
    found = daily_net(np.array(["b", "a", "a", "b"]), np.array([0, 1, 1, 1]), np.array([5.0, 1.0, -3.0, 2.0]), 2)
    assert found.days == ("a", "b")
    assert found.sums.tolist() == [[[0, 0, 0], [2, -2, 10]], [[1, 5, 25], [1, 2, 4]]]
    live, _ = matched_irs(found.sums.sum(axis=0), found.sums.sum(axis=0))
    net = np.array([5.0, 1.0, -3.0, 2.0])
    assert live == pytest.approx(net.mean() / net.std() * 1_440**0.5)


def test_the_ir_of_unchanged_profits_is_stable() -> None:
    generator = np.random.default_rng(1)
    report = ir_report(days_of(generator, [2.0] * 30), days_of(generator, [2.0] * 30), PARAMETERS)
    assert report.verdict == "stable"
    assert should_retrain(report) is None
    assert report.base_ir == pytest.approx(2.0, abs=0.6)


def test_an_ir_that_is_lost_is_decay_and_says_how_much() -> None:
    generator = np.random.default_rng(2)
    report = ir_report(days_of(generator, [0.3] * 30), days_of(generator, [2.0] * 30), PARAMETERS)
    assert report.verdict == "decay"
    assert (report.decline or 0.0) > 0.3
    assert (report.low or 0.0) > 0
    assert "lost (95% interval" in str(should_retrain(report))


def test_a_loss_that_chance_explains_is_no_decay() -> None:
    generator = np.random.default_rng(8)
    base, live = days_of(generator, [0.6] * 60), days_of(generator, [0.35] * 20)
    reports = [ir_report(live, base, replace(PARAMETERS, interval=level, max_decline=0.01)) for level in (0.05, 0.9999)]
    assert reports[1].verdict != "decay"
    assert reports[0].decline == reports[1].decline


def test_another_mix_of_regimes_is_no_decay() -> None:
    """The second regime earns nothing; live it is nine tenths of the time. The naive ratio of ratios would fall."""
    generator = np.random.default_rng(4)
    live, base = days_of(generator, [4.0] * 30, 0.1, 0.0), days_of(generator, [4.0] * 60, 0.9, 0.0)
    plain = [matched_irs(side.sums.sum(axis=0), side.sums.sum(axis=0))[0] for side in (live, base)]
    assert plain[0] < 0.3 * plain[1]
    assert ir_report(live, base, PARAMETERS).verdict != "decay"


@pytest.mark.parametrize(
    ("live", "base", "why"),
    [
        ([2.0] * 19, [2.0] * 30, "19 live days, 20 needed"),
        ([2.0] * 30, [2.0] * 5, "5 base days, 20 needed"),
        ([2.0] * 30, [0.0] * 30, "not above zero"),
    ],
)
def test_too_little_is_insufficient_and_says_what(live: list[float], base: list[float], why: str) -> None:
    generator = np.random.default_rng(5)
    report = ir_report(days_of(generator, live), days_of(generator, base), PARAMETERS)
    assert report.verdict == "insufficient"
    assert why in report.reason


def test_only_the_newest_month_is_judged() -> None:
    generator = np.random.default_rng(6)
    report = ir_report(days_of(generator, [2.0] * 40 + [0.0] * 30), days_of(generator, [2.0] * 30), PARAMETERS)
    assert (report.live_days, report.verdict) == (30, "decay")


def test_profits_that_never_move_and_regimes_that_do_not_fit_say_so() -> None:
    flat = DailyNet(tuple(f"2024-01-{day:02d}" for day in range(1, 31)), np.tile([1_440.0, 0, 0], (30, 1, 1)))
    moving = days_of(np.random.default_rng(7), [2.0] * 30)
    assert "never move" in ir_report(flat, flat, PARAMETERS).reason
    with pytest.raises(DataError, match="1 live regimes"):
        ir_report(flat, moving, PARAMETERS)


@pytest.mark.parametrize(("key", "value"), [("max_decline", 1.0), ("draws", 10), ("window_days", 19)])
def test_a_parameter_out_of_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{key}="):
        replace(PARAMETERS, **{key: value})
