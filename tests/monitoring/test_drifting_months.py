"""The bars of docs/drift.md in short: a few seeds, and two days of windows; tests/acceptance has all of them."""

import numpy as np
import pytest

from benchmarks.bench_drift import (
    CAUSES,
    LIVE_DAYS,
    PLANTED,
    delay_of,
    drift_days,
    requests,
    windows_of,
)
from benchmarks.drifting_months import DAILY_IR, Change, Market, features_of, profits_of
from monitoring.distances import autocorrelation_time
from monitoring.ir_decay import matched_irs

QUICK = [cause for cause in CAUSES if cause != "drift"]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_stationary_month_asks_for_nothing(seed: int) -> None:
    month = {cause: CAUSES[cause](seed, Change(), 0, LIVE_DAYS) for cause in QUICK}
    month["drift"] = drift_days(seed, Change(), 0, 1)
    assert requests(month) == []
    assert all(window.verdict == "stable" for window in windows_of(seed, Change(), 0, 1))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_change_is_found_within_its_delay(name: str) -> None:
    delay = delay_of(name, 3)
    assert delay is not None
    assert delay <= PLANTED[name][1]


def test_requests_keep_to_the_cooldown_and_the_budget() -> None:
    month = {"a": [1.0, 2.0, 9.0], "b": [1.0, 1.5], "c": [1.0, 2.5]}
    assert [(request.cause, request.at / 86_400) for request in requests(month)] == [
        ("a", 1.0),
        ("b", 1.0),
        ("c", 2.5),
        ("a", 9.0),
    ]


def test_the_simulated_months_are_what_the_page_says_of_them() -> None:
    market = Market(2, 40)
    live, training = features_of(market)
    times = [autocorrelation_time(column - column.mean()) for column in training.values[:2_880].T]
    assert min(times) > 1.0
    assert set(np.unique(live.regimes)) == {0, 1, 2}
    _, base = profits_of(market)
    ir, _ = matched_irs(base.sums.sum(axis=0), base.sums.sum(axis=0))
    assert float(ir) == pytest.approx(DAILY_IR, abs=0.6)
