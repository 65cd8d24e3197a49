"""Days on which orders took longer, filled less or cost more than was assumed, and days that say nothing."""

from dataclasses import replace

import numpy as np
import pytest

from market.errors import ConfigError, DataError
from monitoring.execution_drift import (
    DAY_NS,
    FILL_RATIO,
    HOUR_NS,
    LATENCY,
    PAID_COST,
    Observations,
    execution_report,
    should_retrain,
)
from monitoring.parameters import ExecutionDriftParameters

PARAMETERS = ExecutionDriftParameters(
    latency_ratio=1.25, fill_points=10.0, cost_bp=0.5, min_hours=12, votes=2, of_days=3
)
FIRST_DAY = 19_723  # 2024-01-01


def seen(measure: str, expected: float | None, levels: list[float], spread: float, hours: int = 24) -> Observations:
    """Twenty observations an hour about each day's level."""
    generator, each = np.random.default_rng(3), 20
    ts = [(FIRST_DAY + day) * DAY_NS + np.repeat(np.arange(hours), each) * HOUR_NS for day in range(len(levels))]
    values = np.concatenate([level + spread * generator.standard_normal(hours * each) for level in levels])
    return Observations(measure, expected, np.concatenate(ts), values, np.ones(values.size))


@pytest.mark.parametrize(
    ("measure", "expected", "usual", "off"),
    [(LATENCY, 1.0, 1.1, 1.6), (FILL_RATIO, 0.6, 0.63, 0.4), (PAID_COST, 0.0, 0.3, 1.2)],
)
def test_two_days_of_three_that_are_off_are_drift(measure: str, expected: float, usual: float, off: float) -> None:
    report = execution_report([seen(measure, expected, [usual, off, usual, off], 0.2)], PARAMETERS)
    assert [day.off for day in report.days] == [0, np.sign(off - expected), 0, np.sign(off - expected)]
    assert report.verdict == "drift"
    assert str(should_retrain(report)).startswith(f"{measure} was ")
    quiet = execution_report([seen(measure, expected, [off, usual, usual, off], 0.2)], PARAMETERS)
    assert (quiet.verdict, should_retrain(quiet)) == ("stable", None)


def test_days_that_are_off_in_turn_are_no_drift() -> None:
    assert execution_report([seen(PAID_COST, 0.0, [1.2, -1.2, 1.2][:2], 0.2)], PARAMETERS).verdict == "stable"


def test_a_mean_beyond_the_floor_that_chance_explains_is_not_off() -> None:
    report = execution_report([seen(PAID_COST, 0.0, [0.6, 0.6], 60.0)], PARAMETERS)
    assert [day.off for day in report.days] == [0, 0]


def test_the_mean_is_weighted_and_an_hour_is_one_observation() -> None:
    ts = FIRST_DAY * DAY_NS + np.repeat(np.arange(12), 2) * HOUR_NS
    values, weights = np.tile([1.0, 5.0], 12), np.tile([3.0, 1.0], 12)
    [day] = execution_report([Observations(PAID_COST, 0.0, ts, values, weights)], PARAMETERS).days
    assert (day.day, day.hours, day.mean) == ("2024-01-01", 12, 2.0)
    assert (day.low, day.high) == (2.0, 2.0)  # the hours are all alike, whatever lies within


def test_few_hours_and_no_model_are_insufficient() -> None:
    few = execution_report([seen(PAID_COST, 0.0, [3.0, 3.0], 0.1, hours=11)], PARAMETERS)
    none = execution_report([seen(LATENCY, None, [3.0, 3.0], 0.1)], PARAMETERS)
    assert (few.verdict, few.measures[0].reason) == ("insufficient", "orders in 11 hours, 12 needed")
    assert (none.verdict, none.measures[0].reason) == ("insufficient", "no model in force says what to expect")
    empty = Observations(PAID_COST, 0.0, np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    assert execution_report([empty], PARAMETERS).measures[0].reason == "0 days, 2 needed"


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(DataError, match="unknown measure 'speed'"):
        execution_report([seen("speed", 0.0, [1.0], 0.1)], PARAMETERS)


@pytest.mark.parametrize(("key", "value"), [("latency_ratio", 1.0), ("cost_bp", 0.0), ("min_hours", 9), ("votes", 4)])
def test_a_parameter_out_of_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{key}="):
        replace(PARAMETERS, **{key: value})
