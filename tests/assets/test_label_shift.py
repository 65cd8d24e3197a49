"""The days since a champion's Train against those of it: from labels in the lake to a verdict for a sensor."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.checks import DAY_NS, day_start
from assets.label_shift import REGIMES, count_classes, daily_counts, label_shift, label_shift_hold, newest_age
from assets.partitions import WHOLE
from assets.walk_forward_slices import slice_frame
from config.loading import load_settings
from config.settings import Paths, Settings
from features.regimes import HIGH_VOLATILITY, RANGE, TREND, UNKNOWN
from labeling.replay import OK
from labeling.targets import DOWN, NO_CLASS, NO_TRADE, UP
from market.errors import NotEnoughData
from market.schema import schema_sha
from modeling.walk_forward import Slice, ValParts
from monitoring.label_shift import label_shift_report
from storage.lake import PASSED, Lake
from storage.manifest import Manifest

FIRST = date(2024, 8, 1)
TRAINING_DAYS, LIVE_DAYS = 6, 4
SLICE = "20240801T000000Z-k0"
ROW_NS = 60 * 1_000_000_000
ROWS = DAY_NS // ROW_NS
TWO_SPANS = ((day_start("2024-08-07"), None), (day_start("2024-08-01"), day_start("2024-08-07")))
RATIOS = {UP: (1.01, 1.01), NO_TRADE: (0.99, 1.01), DOWN: (0.99, 0.99)}  # of the long and the short round trip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load_settings("dev")
    rules = replace(found.label_shift, min_rows=100, min_day_share=0.5 / 3_000)  # a row in 3,000 stands for all
    return replace(found, paths=Paths(tmp_path), label_shift=rules)


def put(lake: Lake, name: str, symbol: str, key: str, frame: pl.DataFrame) -> Manifest:
    lake.write(name, symbol, key, frame, schema_sha=schema_sha(frame.schema), metadata={})
    return lake.set_verdict(name, symbol, key, True, {})


def write_day(lake: Lake, symbol: str, number: int, up_share: float) -> None:
    """A day whose rows go through three regimes in turn; ``up_share`` of those in a trend go up, a fifth elsewhere."""
    day, horizon = str(FIRST + timedelta(days=number)), 1_000
    row_ts = day_start(day) + np.arange(ROWS) * ROW_NS
    regimes = np.tile([TREND, RANGE, HIGH_VOLATILITY], ROWS // 3).astype(np.int8)
    rank = np.repeat(np.arange(ROWS // 3) / (ROWS // 3), 3)
    up = rank < np.where(regimes == TREND, up_share, 0.2)
    long, short = np.array([RATIOS[UP if rises else NO_TRADE] for rises in up]).T
    put(lake, "features", symbol, day, pl.DataFrame({"row_ts": row_ts, "regime": regimes}))
    values = {
        "long_ratio": long,
        "short_ratio": short,
        "status": np.full(ROWS, OK, np.uint8),
        "funding": np.zeros(ROWS),
    }
    labels = {f"{name}_{horizon}": value for name, value in values.items()}
    put(lake, "labels", symbol, day, pl.DataFrame({"row_ts": row_ts, **labels}))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days of training, then four of which the last two rise far more often while they trend."""
    folder, symbol = tmp_path_factory.mktemp("var"), load_settings("dev").live.symbol
    lake = Lake(Paths(folder).lake)
    for number in range(TRAINING_DAYS + LIVE_DAYS):
        write_day(lake, symbol, number, 0.45 if number >= TRAINING_DAYS + LIVE_DAYS - 2 else 0.2)
    train_end = day_start(str(FIRST + timedelta(days=TRAINING_DAYS)))
    search, calibration, conformal, test = ((train_end + at, train_end + at + 1) for at in (1, 3, 5, 7))
    parts, val = ValParts(search, calibration, conformal), (search[0], conformal[1])
    piece = Slice(SLICE, (day_start(str(FIRST)), train_end), val, test, parts)
    put(lake, "walk_forward_slices", symbol, WHOLE, slice_frame([piece]))
    put(lake, "registered_model", WHOLE, WHOLE, pl.DataFrame({"symbol": [symbol], "slice": [SLICE]}))
    return folder


@pytest.fixture
def lake(settings: Settings, written: Path) -> Lake:
    shutil.copytree(written, settings.paths.var, dirs_exist_ok=True)
    return Lake(settings.paths.lake)


def materialized(settings: Settings, lake: Lake) -> dict[str, object]:
    """Metadata of the asset; its check has to pass."""
    resources = {"settings": settings, "lake": lake}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([label_shift, label_shift_hold], resources=resources, instance=instance)
    [made] = result.get_asset_materialization_events()
    [check] = result.get_asset_check_evaluations()
    assert check.passed
    return {name: value.value for name, value in made.materialization.metadata.items()}


def test_a_shift_in_the_lake_becomes_a_verdict_with_a_reason(settings: Settings, lake: Lake) -> None:
    facts = materialized(settings, lake)
    assert facts["verdict"] == "shift"
    assert str(facts["retrain_reason"]).startswith("trend: ")
    assert "2 of the last 3 days" in str(facts["retrain_reason"])
    assert (facts["trend: verdict"], facts["range: verdict"]) == ("shift", "stable")
    assert facts["naive_points"] == pytest.approx(25.0 / 3, abs=0.1)
    assert (facts["naive_fires"], facts["newest_day"], facts["champion_slice"]) == (False, "2024-08-10", SLICE)
    table = lake.scan("label_shift", settings.live.symbol, [WHOLE]).collect()
    trend = table.filter(pl.col("regime") == "trend")
    assert trend["verdict"].to_list() == ["insufficient", "stable", "stable", "shift"]
    assert trend["exceeds"].to_list() == [False, False, True, True]
    assert lake.manifest("label_shift", settings.live.symbol, WHOLE).verdict == PASSED


def test_what_was_said_of_an_earlier_champion_stays(settings: Settings, lake: Lake) -> None:
    materialized(settings, lake)
    symbol, later = settings.live.symbol, "20240802T000000Z-k1"
    old = lake.scan("walk_forward_slices", symbol, [WHOLE]).collect()
    put(lake, "walk_forward_slices", symbol, WHOLE, old.with_columns(slice=pl.lit(later)))
    put(lake, "registered_model", WHOLE, WHOLE, pl.DataFrame({"symbol": [symbol], "slice": [later]}))
    for _ in range(2):
        materialized(settings, lake)
    table = lake.scan("label_shift", symbol, [WHOLE]).collect()
    assert table["champion_slice"].value_counts(sort=True).rows() == [(SLICE, 12), (later, 12)]


def test_minutes_of_a_day_are_insufficient(settings: Settings, lake: Lake) -> None:
    facts = materialized(replace(settings, label_shift=replace(settings.label_shift, min_day_share=0.5)), lake)
    assert facts["verdict"] == "insufficient"
    assert facts["retrain_reason"] == ""
    assert facts["trend: reason"] == "training has 0 whole days of it, 5 needed"


def test_days_count_from_the_instant_that_train_ends(settings: Settings, lake: Lake) -> None:
    symbol, noon = settings.live.symbol, day_start("2024-08-03") + DAY_NS // 2
    before, after = (daily_counts(settings, lake, symbol, *span) for span in ((0, noon), (noon, None)))
    assert (before.days[-1], after.days[0]) == ("2024-08-03", "2024-08-03")
    assert before.counts[-1].sum() == after.counts[0].sum() == ROWS // 2
    assert before.counts.sum() + after.counts.sum() == ROWS * (TRAINING_DAYS + LIVE_DAYS)


def test_labels_that_failed_or_are_torn_are_not_read_but_counted(settings: Settings, lake: Lake) -> None:
    symbol = settings.live.symbol
    before = materialized(settings, lake)
    lake.set_verdict("labels", symbol, "2024-08-10", False, {})
    next((settings.paths.lake / "labels" / symbol / "2024-08-08").glob("data-*.parquet")).write_bytes(b"torn")
    facts = materialized(settings, lake)
    assert (before["skipped_days"], facts["skipped_days"]) == (0, 2)
    assert (before["newest_day"], facts["newest_day"]) == ("2024-08-10", "2024-08-09")
    assert facts["newest_day_age_days"] == pytest.approx(float(str(before["newest_day_age_days"])) + 1, abs=0.02)
    found = daily_counts(settings, lake, symbol, day_start("2024-08-07"), None)
    assert found.days == ("2024-08-07", "2024-08-08", "2024-08-09")
    assert found.counts.sum(axis=(1, 2)).tolist() == [ROWS, 0, ROWS]


def test_the_age_of_the_newest_day_is_counted_from_its_end(settings: Settings, lake: Lake) -> None:
    live, training = (daily_counts(settings, lake, settings.live.symbol, *span) for span in TWO_SPANS)
    report = label_shift_report(live, training, REGIMES, settings.label_shift)
    assert newest_age(report, day_start("2024-08-12") + DAY_NS // 2) == {"newest_day_age_days": 1.5}


def test_a_date_without_labels_counts_nothing(settings: Settings, lake: Lake) -> None:
    write_day(lake, settings.live.symbol, 12, 0.2)
    found = daily_counts(settings, lake, settings.live.symbol, day_start("2024-08-10"), None)
    assert found.days == ("2024-08-10", "2024-08-11", "2024-08-12", "2024-08-13")
    assert found.counts.sum(axis=(1, 2)).tolist() == [ROWS, 0, 0, ROWS]
    with pytest.raises(NotEnoughData, match="has no day of labels"):
        daily_counts(settings, lake, settings.live.symbol, day_start("2024-09-01"), None)


def test_rows_without_a_regime_or_a_class_do_not_count() -> None:
    regimes = np.array([UNKNOWN, RANGE, RANGE, TREND, HIGH_VOLATILITY], np.int8)
    kinds = np.array([UP, NO_CLASS, DOWN, UP, NO_TRADE], np.int8)
    assert count_classes(regimes, kinds).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
