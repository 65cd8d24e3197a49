"""The monitors over a journal that a runner has written: rows as the runner made them, verdicts, and their checks."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.backtests import MINUTES, ORDERS
from assets.checks import day_start
from assets.drift import SAMPLES, drift, drift_hold, judged_once
from assets.drift_rows import live_sample, reference_sample
from assets.execution_drift import execution_drift, execution_drift_hold, measured_once
from assets.features import REGIME
from assets.ir_decay import base_net, ir_decay, ir_decay_hold, live_net, summed_once
from assets.journal_tables import EVENTS_TABLE
from assets.live_journal import live_journal, live_journal_hold, live_table
from assets.paid_cost import paid_cost, paid_cost_hold
from assets.partitions import WHOLE, Part
from assets.walk_forward_slices import frame_slices, slice_frame
from config.settings import Paths, Settings
from features.batch import feature_rows, rows_to_frame
from features.catalogue import feature_names
from features.regimes import RANGE
from features.step import new_state
from market.errors import LakeError
from market.schema import frame_to_events, schema_sha
from modeling.walk_forward import Slice, ValParts
from monitoring.ir_decay import MINUTES as COUNT
from storage.lake import Lake
from tests.builders_journal import settings_in, trade
from tests.builders_market import COINM_BTC
from tests.builders_runner import SECOND, START

Judged = tuple[Settings, Lake, dict[str, dict[str, Any]]]

SECONDS = 9.0
SLICE = "20240808T000000Z-k0"
DAY = "2024-08-09"
ASSETS = (
    *(live_journal, live_journal_hold, paid_cost, paid_cost_hold, drift, drift_hold),
    *(ir_decay, ir_decay_hold, execution_drift, execution_drift_hold),
)


def monitored(folder: Path) -> Settings:
    """Settings under which the journal was written; a window of four seconds."""
    found = settings_in(folder)
    rules = replace(found.drift, window_s=4.0, sample_ms=100, page_rows=100)
    return replace(found, features=replace(found.features, normalizer_min_samples=2), drift=rules)


def put(lake: Lake, name: str, symbol: str, key: str, frame: pl.DataFrame, **facts: object) -> None:
    lake.write(name, symbol, key, frame, schema_sha=schema_sha(frame.schema), metadata=facts)
    lake.set_verdict(name, symbol, key, True, {})


def write_champion(lake: Lake) -> None:
    """A registered model, its windows, and what its backtest came to."""
    train = (day_start(DAY), START + 10 * SECOND)
    search, calibration, conformal, test = ((train[1] + at, train[1] + at + 1) for at in (1, 3, 5, 7))
    parts, val = ValParts(search, calibration, conformal), (search[0], conformal[1])
    put(lake, "walk_forward_slices", COINM_BTC.name, WHOLE, slice_frame([Slice(SLICE, train, val, test, parts)]))
    put(lake, "registered_model", WHOLE, WHOLE, pl.DataFrame({"symbol": [COINM_BTC.name], "slice": [SLICE]}))
    orders = pl.DataFrame({"run": ["model", "model", "probe"], "qty": [3, 1, 9], "filled": [2, 1, 0]})
    minutes = pl.DataFrame(
        {"minute": [START, START], "net": [1.5, 9.0], "regime": [RANGE, RANGE], "run": ["model", "probe"]},
        schema_overrides={"regime": pl.Int8},
    )
    put(lake, ORDERS, COINM_BTC.name, SLICE, orders)
    put(lake, MINUTES, COINM_BTC.name, SLICE, minutes)
    put(lake, "backtests", COINM_BTC.name, SLICE, orders, round_trip_ms=20.0)


def write_features(settings: Settings, lake: Lake) -> None:
    """The journal's own rows as Train's: the same pass over the same events."""
    journal = lake.scan("live_journal", COINM_BTC.name, [WHOLE]).collect()
    events = frame_to_events(live_table(lake, COINM_BTC.name, journal, EVENTS_TABLE))
    parameters = settings.features_of(COINM_BTC.name)
    rows = feature_rows(events, new_state(parameters), parameters, int(events["ingest_ts"][-1]))
    frame = rows_to_frame(rows, parameters).with_columns(pl.lit(0, pl.Int8).alias(REGIME))
    put(lake, "features", COINM_BTC.name, DAY, frame)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Everything made once: the settings, the lake and the metadata of each asset."""
    settings = monitored(tmp_path_factory.mktemp("var"))
    trade(settings.paths.journal(COINM_BTC.name).parent, SECONDS)
    lake = Lake(Paths(settings.paths.var).lake)
    write_champion(lake)
    resources = {"settings": settings, "lake": lake}
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(ASSETS[:2], resources=resources, instance=instance)
        write_features(settings, lake)
        result = dg.materialize(ASSETS, resources=resources, instance=instance)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    facts = {
        event.asset_key.to_user_string(): {name: entry.value for name, entry in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }
    return settings, lake, facts


def test_live_rows_are_those_that_training_has(judged: Judged) -> None:
    settings, lake, _ = judged
    live, past = (
        live_sample(settings, lake, COINM_BTC.name),
        reference_sample(settings, lake, Part(COINM_BTC.name, SLICE)),
    )
    assert live.row_ts.size > 20
    assert set(np.diff(live.row_ts)) == {100_000_000}
    same = np.isin(past.row_ts, live.row_ts)
    np.testing.assert_array_equal(past.values[same], live.values)


def test_the_drift_of_a_market_from_itself_is_none(judged: Judged) -> None:
    settings, lake, facts = judged
    names = feature_names(settings.features_of(COINM_BTC.name))
    found = facts["drift"]
    assert (found["retrain_reason"], found["champion_slice"], found["newest_slice"]) == ("", SLICE, SLICE)
    assert found["verdict"] in {"stable", "insufficient"}
    table = lake.scan("drift", COINM_BTC.name, [WHOLE]).collect()
    assert table["start_ts"].n_unique() >= 1
    assert set(table["name"]) == set(names)
    samples = lake.scan(SAMPLES, COINM_BTC.name, [WHOLE]).collect()
    assert set(samples["side"]) == {"live", "reference"}
    assert samples.columns[1:] == list(names)


def test_drift_is_held_against_train_and_nothing_after_it(judged: Judged, tmp_path: Path) -> None:
    shutil.copytree(judged[0].paths.var, tmp_path / "var")
    settings, lake = replace(judged[0], paths=Paths(tmp_path / "var")), Lake(tmp_path / "var" / "lake")
    [piece] = frame_slices(lake.scan("walk_forward_slices", COINM_BTC.name, [WHOLE]).collect())
    shorter = replace(piece, train=(piece.train[0], START + 5 * SECOND))
    put(lake, "walk_forward_slices", COINM_BTC.name, WHOLE, slice_frame([shorter]))
    names = feature_names(settings.features_of(COINM_BTC.name))
    rows = lake.scan("features", COINM_BTC.name, [DAY]).collect()
    moved = pl.when(pl.col("row_ts") < shorter.train[1]).then(pl.col(names[0]) + 50).otherwise(pl.col(names[0]) - 50)
    put(lake, "features", COINM_BTC.name, DAY, rows.with_columns(moved.cast(pl.Float32)))
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([drift], resources={"settings": settings, "lake": lake}, instance=instance)
    facts = lake.manifest("drift", COINM_BTC.name, WHOLE).metadata
    raw = lake.scan("drift", COINM_BTC.name, [WHOLE], unchecked=True).collect().group_by("name").agg(pl.col("ks").max())
    far = dict(raw.rows())
    assert far[names[0]] == 1.0
    assert max(far[name] for name in names[1:]) < 1.0
    assert facts["reference_rows"] == reference_sample(settings, lake, Part(COINM_BTC.name, SLICE)).row_ts.size
    samples = lake.scan(SAMPLES, COINM_BTC.name, [WHOLE], unchecked=True).collect()
    assert samples.filter(side="reference")[names[0]].min() > samples.filter(side="live")[names[0]].max()


def test_a_window_without_a_feature_does_not_hold(judged: Judged) -> None:
    settings, lake, _ = judged
    table, names = (
        lake.scan("drift", COINM_BTC.name, [WHOLE]).collect(),
        feature_names(settings.features_of(COINM_BTC.name)),
    )
    assert judged_once(table, names).passed
    assert not judged_once(table[1:], names).passed
    assert not judged_once(table.with_columns(ks=pl.lit(1.5)), names).passed


def test_nine_seconds_say_nothing_of_ir_and_execution_and_why(
    judged: Judged,
) -> None:
    _, _, facts = judged
    assert facts["ir_decay"]["verdict"] == facts["execution_drift"]["verdict"] == "insufficient"
    assert facts["ir_decay"]["retrain_reason"] == facts["execution_drift"]["retrain_reason"] == ""
    assert "live days, 20 needed" in facts["ir_decay"]["said"]
    assert "hours, 12 needed" in facts["execution_drift"]["said"]


def test_the_base_is_what_the_models_own_run_made(judged: Judged) -> None:
    _, lake, _ = judged
    found = base_net(lake, Part(COINM_BTC.name, SLICE))
    assert found.days == (DAY,)
    assert found.sums[0, RANGE].tolist() == [1.0, 1.5, 2.25]


def test_live_minutes_of_an_unknown_regime_are_left_out(
    judged: Judged,
) -> None:
    settings, lake, _ = judged
    assert live_net(settings, lake, COINM_BTC.name).sums[:, :, COUNT].sum() == 0  # regimes take a minute to be known


def test_execution_is_measured_against_the_champions_backtest(
    judged: Judged,
) -> None:
    _, lake, _ = judged
    table = lake.scan("execution_drift", COINM_BTC.name, [WHOLE]).collect()
    rows = {row["measure"]: row for row in table.iter_rows(named=True)}
    assert rows["latency"]["expected"] == 1.0
    assert rows["fill ratio"]["expected"] == 0.75
    assert rows["paid cost"]["expected"] == 0.0
    assert measured_once(table).passed
    assert not measured_once(pl.concat([table, table])).passed


def test_a_day_that_is_summed_twice_does_not_hold() -> None:
    rows = [{"side": "live", "day": DAY, "regime": name, "minutes": 400.0} for name in ("a", "b", "c")]
    assert summed_once(pl.DataFrame(rows)).passed
    assert not summed_once(pl.DataFrame([*rows, rows[0]])).passed
    assert not summed_once(pl.DataFrame(rows).with_columns(minutes=pl.lit(500.0))).passed


def test_without_a_registered_model_there_is_nothing_to_hold_it_against(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, "registered_model", WHOLE, WHOLE, pl.DataFrame({"symbol": ["other"], "slice": [SLICE]}))
    settings = monitored(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(LakeError, match="nothing to hold it against"):
        dg.materialize([drift], resources={"settings": settings, "lake": lake}, instance=instance)
