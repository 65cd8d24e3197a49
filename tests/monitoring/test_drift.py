"""Stationary features hardly ever drift, shifted ones do, and too little data says so."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control, ks_2samp

from market.errors import ConfigError, NotEnoughData
from monitoring.drift import DriftReport, Reference, Sample, drift_report, judged_window, should_retrain
from monitoring.parameters import DriftParameters
from tests.builders_drift import DAY_NS, PARAMETERS, ROWS, ar1, columns, sample

NAMES = ("slow", "fast")
PHIS = (0.95, 0.5)
LENIENT = replace(PARAMETERS, min_shift=0.001, tolerance=0.0)
THREE = 3 * ROWS + 1  # rows, so that three windows are whole


def reports_of(
    generator: np.random.Generator, shift: float, windows: int = 3, parameters: DriftParameters = PARAMETERS
) -> DriftReport:
    """Three windows of which the last ones are shifted in the fast feature."""
    live = columns(generator, THREE, PHIS)
    live[(3 - windows) * ROWS :, 1] += np.float32(shift)
    return drift_report(NAMES, sample(live), sample(columns(generator, 8_000, PHIS)), parameters)


def test_stationary_autocorrelated_features_are_rejected_seldom() -> None:
    generator = np.random.default_rng(5)
    reports = [reports_of(generator, 0.0, parameters=LENIENT) for _ in range(12)]
    windows = [window for report in reports for window in report.windows]
    assert all(window.judged == 2 for window in windows)
    assert sum(window.verdict == "drift" for window in windows) <= 2
    assert [report.verdict for report in reports] == ["stable"] * 12


def test_the_plain_test_would_have_rejected_them() -> None:
    generator = np.random.default_rng(6)
    pairs = [(ar1(generator, 5_000, 0.95), ar1(generator, 5_000, 0.95)) for _ in range(20)]
    assert sum(ks_2samp(*pair).pvalue < 0.01 for pair in pairs) >= 10


def test_a_planted_shift_is_found_and_named() -> None:
    report = reports_of(np.random.default_rng(7), 1.0, 2)
    assert (report.verdict, report.drifted, report.worst.name) == ("drift", ("fast",), "fast")
    assert [window.verdict for window in report.windows] == ["stable", "drift", "drift"]
    assert report.newest.features[1].p == pytest.approx(1 / 401)  # twice as fine as a hundredth of two features
    said = should_retrain(report, PARAMETERS)
    assert said == "1 of 2 features drifted: fast; in 2 of the last 3 windows of 3600 s"


def test_one_window_of_three_is_no_drift() -> None:
    report = reports_of(np.random.default_rng(7), 1.0, 1)
    assert report.newest.verdict == "drift"
    assert (report.verdict, report.drifted) == ("stable", ())
    assert should_retrain(report, PARAMETERS) is None


def test_one_feature_in_many_can_pass_the_correction() -> None:
    """With a fixed number of exchanges the least p-value was above what the correction asks of a single feature."""
    generator = np.random.default_rng(9)
    live, reference = (generator.standard_normal((rows, 40)).astype(np.float32) for rows in (ROWS + 1, 4_000))
    live[:, 17] += 1.0
    report = drift_report(tuple(map(str, range(40))), sample(live), sample(reference), PARAMETERS)
    assert [shift.name for shift in report.newest.features if shift.drifted] == ["17"]


def test_a_feature_counts_by_its_p_value_among_those_of_all_others() -> None:
    generator = np.random.default_rng(21)
    live, reference = (generator.standard_normal((rows, 12)).astype(np.float32) for rows in (ROWS + 1, 2_000))
    live[:, 3] += 1.0
    features = drift_report(tuple(map(str, range(12))), sample(live), sample(reference), PARAMETERS).newest.features
    p_values = [shift.p for shift in features]
    assert [shift.q for shift in features] == pytest.approx(false_discovery_control(p_values).tolist())
    assert features[3].q > features[3].p  # type: ignore[operator]


def test_a_shift_below_the_floor_is_certain_and_of_no_consequence() -> None:
    generator = np.random.default_rng(8)
    live, reference = (generator.standard_normal((THREE, 1)).astype(np.float32) for _ in range(2))
    report = drift_report(("x",), sample(live + np.float32(0.15)), sample(reference), PARAMETERS)
    assert all(window.features[0].q is not None and window.features[0].q <= 0.01 for window in report.windows)
    assert report.verdict == "stable"


def test_a_crowd_on_one_value_that_moves_by_a_hair_has_not_drifted() -> None:
    generator = np.random.default_rng(16)
    crowd = [np.where(generator.random(THREE) < 0.9, np.float32(0), ar1(generator, THREE, 0.0)) for _ in range(2)]
    report = drift_report(("x",), sample((crowd[0] + np.float32(0.05))[:, None]), sample(crowd[1][:, None]), PARAMETERS)
    assert report.worst.ks > 0.8
    assert report.worst.shift < 0.05
    assert report.verdict == "stable"


def test_another_hour_and_another_mix_of_regimes_are_no_drift() -> None:
    """Six days of a feature that follows the hour and the regime; live, one night of mostly the other regime."""
    generator, rules = np.random.default_rng(19), replace(PARAMETERS, sample_ms=30_000, window_s=21_600.0)
    row_ts = np.arange(7 * 2_880, dtype=np.int64) * 30_000_000_000
    night = row_ts % DAY_NS < DAY_NS // 4
    regimes = (generator.random(row_ts.size) < np.where(row_ts >= 6 * DAY_NS, 0.8, 0.3)).astype(np.int8)
    values = (1.5 * night + 1.5 * regimes + generator.standard_normal(row_ts.size)).astype(np.float32)[:, None]
    whole = Sample(row_ts, regimes, values)
    live, reference = whole.between(6 * DAY_NS, 7 * DAY_NS), whole.between(0, 6 * DAY_NS)
    found = {}
    for parts in (1, 24):
        known = Reference(reference, 2, replace(rules, day_parts=parts))
        found[parts] = judged_window(("x",), live, 6 * DAY_NS, known)
    assert found[24].verdict == "stable"
    assert found[24].features[0].shift < 0.1 < found[24].features[0].ks
    assert found[1].features[0].shift > 0.3  # and the hour itself is an autocorrelation that outlasts the window
    assert found[1].verdict == "insufficient"


def test_rows_whose_regime_training_never_saw_are_not_compared() -> None:
    generator = np.random.default_rng(20)
    regimes = np.ones(ROWS + 1, np.int8)
    regimes[:1_800] = 3
    live = columns(generator, ROWS + 1, (0.0,))
    live[:1_800] += 5
    found = drift_report(("x",), sample(live, 0, regimes), sample(columns(generator, 6_000, (0.0,))), PARAMETERS)
    assert found.worst.ks > 0.4
    assert found.worst.shift < 0.1
    none = drift_report(("x",), sample(live, 0, np.full(ROWS + 1, 3, np.int8)), sample(live), PARAMETERS)
    assert (none.verdict, none.newest.features[0].p) == ("insufficient", None)


def test_a_window_of_few_autocorrelation_times_is_insufficient() -> None:
    generator = np.random.default_rng(9)
    live, reference = (columns(generator, 2_000, (0.99,)) for _ in range(2))
    rules = replace(PARAMETERS, window_s=1_999.0)
    report = drift_report(("x",), sample(live + np.float32(3.0)), sample(reference), rules)
    assert report.verdict == "insufficient"
    assert report.newest.features[0].p is None
    assert report.worst.ks > 0.5
    assert should_retrain(report, rules) is None


def test_a_window_that_is_still_filling_is_looked_at_and_has_no_vote() -> None:
    generator = np.random.default_rng(21)
    live = columns(generator, 3_000, PHIS) + np.float32(1.0)
    report = drift_report(NAMES, sample(live), sample(columns(generator, 8_000, PHIS)), PARAMETERS)
    assert [(window.whole, window.verdict) for window in report.windows] == [(False, "drift")]
    assert report.verdict == "insufficient"


def test_a_constant_says_nothing_of_another_constant_and_equals_itself() -> None:
    ones, twos = np.ones((THREE, 1), np.float32), np.full((THREE, 1), 2, np.float32)
    assert drift_report(("x",), sample(ones), sample(twos), PARAMETERS).verdict == "insufficient"
    assert drift_report(("x",), sample(ones), sample(ones), PARAMETERS).verdict == "stable"


def test_no_rows_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="0 live"):
        drift_report(("x",), sample(np.empty((0, 1), np.float32)), sample(np.ones((5, 1), np.float32)), PARAMETERS)


def test_the_report_is_the_same_twice_and_its_sha_is_of_its_content() -> None:
    first, second = (reports_of(np.random.default_rng(10), 0.3) for _ in range(2))
    assert first == second
    assert first.sha256 == second.sha256 != reports_of(np.random.default_rng(11), 0.3).sha256
    assert len(first.rows()) == 6


@pytest.mark.parametrize(
    ("key", "value"), [("level", 0.0), ("min_blocks", 4), ("day_parts", 7), ("window_s", 0.0), ("votes", 4)]
)
def test_a_parameter_out_of_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{key}="):
        replace(PARAMETERS, **{key: value})
