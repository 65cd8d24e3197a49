"""The check of variety goes red on what is stuck, null or not a number, and names what was silent."""

import numpy as np
import polars as pl
import pytest

from assets.feature_checks import ALWAYS, NULL_LIMIT, Varied
from features.catalogue import VALID, WARMING_UP, catalogue, feature_names
from tests.builders_trading import FEATURES

NAMES = feature_names(FEATURES)
SILENT_ALL_DAY = ("funding_rate", "time_to_funding", "basis", "session_open", "volume_burst")


def day(rows: int = 400) -> pl.DataFrame:
    """Rows of which every feature varies, all valid after a warm-up."""
    random = np.random.default_rng(0)
    columns = {f"raw_{name}": random.normal(size=rows).astype(np.float32) for name in NAMES}
    columns |= {name: random.normal(size=rows).astype(np.float32) for name in NAMES}
    status = np.full(rows, VALID, np.uint8)
    status[: rows // 4] = WARMING_UP
    return pl.DataFrame({"status": status, **columns})


def spoiled(frame: pl.DataFrame, column: str, row: int, value: float) -> pl.DataFrame:
    values = frame[column].to_numpy().copy()
    values[row] = value
    return frame.with_columns(pl.Series(column, values))


def judged(*frames: pl.DataFrame) -> Varied:
    varied = Varied(FEATURES)
    for frame in frames:
        varied.add(frame)
    return varied


def test_a_day_on_which_everything_moves_passes() -> None:
    found = judged(day())
    assert found.finite().passed
    assert found.varied().passed
    assert found.varied().facts["null_share"] == 0.0
    assert "| warming up | 0 |" in found.varied().pages["rows"]  # what comes before the first valid row is no fault


def test_a_constant_feature_is_named_and_turns_the_check_red() -> None:
    frame = day().with_columns(raw_spread_ticks=pl.lit(1.0, pl.Float32))
    verdict = judged(frame).varied()
    assert (verdict.passed, verdict.facts["constant"]) == (False, "spread_ticks")


def test_a_feature_that_moves_between_two_batches_alone_is_not_constant() -> None:
    frames = [day()[100:].with_columns(raw_spread_ticks=pl.lit(ticks, pl.Float32)) for ticks in (1.0, 2.0)]
    assert judged(*frames).varied().passed
    assert not judged(frames[0]).varied().passed


@pytest.mark.parametrize("name", SILENT_ALL_DAY)
def test_a_stream_or_a_flag_that_was_silent_all_day_is_named_and_does_not_turn_the_check_red(name: str) -> None:
    verdict = judged(day().with_columns(pl.lit(0.0, pl.Float32).alias(f"raw_{name}"))).varied()
    assert (verdict.passed, verdict.facts["silent"], verdict.facts["constant"]) == (True, name, "")


def test_more_than_one_null_row_in_a_hundred_turns_the_check_red() -> None:
    for share, passed in ((NULL_LIMIT, True), (1.5 * NULL_LIMIT, False)):
        frame = day(800)
        status = frame["status"].to_numpy().copy()
        status[300 : 300 + round(share * 600)] = WARMING_UP
        found = judged(frame.with_columns(status=pl.Series(status))).varied()
        assert found.passed is passed
        assert found.facts["null_share"] == pytest.approx(share)


@pytest.mark.parametrize("column", ["raw_momentum_50ms", "momentum_50ms"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_number_that_is_none_is_named_and_turns_the_check_red(column: str, value: float) -> None:
    verdict = judged(day(), spoiled(day(), column, 200, value)).finite()
    assert (verdict.passed, verdict.facts["not_finite"]) == (False, column)


def test_a_day_without_a_valid_row_does_not_pass() -> None:
    found = judged(day().with_columns(status=pl.lit(WARMING_UP, pl.UInt8)))
    assert not found.finite().passed
    assert not found.varied().passed


def test_every_feature_is_of_a_stream_that_must_speak_or_of_one_that_may_be_silent() -> None:
    assert {feature.stream for feature in catalogue(FEATURES)} == {
        *ALWAYS,
        *("funding", "mark and index", "liquidations", "calendar"),
    }
