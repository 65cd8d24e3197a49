"""A day of features through the lake: the same bytes however its events come, restarted anywhere, alone or led."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets.checks import day_start
from assets.features import REGIME, FeatureDay, features, features_hold, features_inputs, leader_days
from assets.partitions import WHOLE, Part, day_key, symbols
from assets.resources import resources_of
from assets.slice_data import compiled_before, slice_data
from assets.tables import passed, publish_frames
from assets.walk_forward_slices import slice_frame
from backtest.engine import Window
from config.loading import load_settings
from config.settings import Paths, Settings
from features.batch import row_batches, rows_to_frame
from features.catalogue import VALID, feature_names
from features.layout import ALONE
from features.step import new_state
from features.stream import dump_state, load_state
from market.errors import ConfigError, DataError, LakeError
from market.events import Events
from market.latency import Legs, constant
from market.schema import events_to_frame, schema_sha
from modeling.walk_forward import Slice, split_validation
from storage.lake import Lake, Manifest
from tests.builders_market import COINM_BTC, COINM_ETH, synthetic_events

DAY, NEXT_DAY = "2024-08-09", "2024-08-10"
LEADER, FOLLOWER = COINM_BTC.name, COINM_ETH.name
LED = {FOLLOWER: LEADER}
MS = 1_000_000


@cache
def coarse_tape() -> Events:
    """Four simulated seconds whose stamps are whole multiples of 5 ms: many events share one, some lie on the grid."""
    events = synthetic_events(4.0)
    events["ingest_ts"] = events["ingest_ts"] // (5 * MS) * (5 * MS)
    return events


def settings_in(folder: Path, leaders: Mapping[str, str]) -> Settings:
    """The dev profile with quick windows, on two symbols."""
    dev = load_settings("dev")
    quick = replace(
        dev.features,
        normalizer_window_s=4,
        normalizer_sample_ms=200,
        normalizer_min_samples=3,
        burst_deviations=0.5,
    )
    tape = folder / "tape"
    tape.mkdir(exist_ok=True)
    (tape / f"tape_{DAY.replace('-', '')}.gz").touch()
    data = replace(
        dev.data,
        symbols=(LEADER, FOLLOWER),
        sources={LEADER: str(tape), FOLLOWER: str(tape)},
        leaders=dict(leaders),
    )
    return replace(dev, paths=Paths(folder), features=quick, data=data)


def write_events(settings: Settings, symbol: str, events: Events, day: str = DAY) -> Lake:
    """A lake with a day of aligned events that passed its checks."""
    lake, frame = Lake(settings.paths.lake), events_to_frame(events)
    lake.write("aligned_events", symbol, day, frame, schema_sha=schema_sha(frame.schema))
    lake.set_verdict("aligned_events", symbol, day, True, {})
    return lake


def written(settings: Settings, lake: Lake, batches: Sequence[Events]) -> Manifest:
    """The features of a day whose events come in these batches."""
    part = Part(LEADER, DAY)
    day = FeatureDay(settings, lake, part)
    publish_frames(lake, "features", part, day.frames(iter(batches), ALONE), day.close, "inputs")
    return lake.manifest("features", *part)


@pytest.fixture(scope="module")
def one_batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Lake, Manifest]:
    settings = settings_in(tmp_path_factory.mktemp("var"), {})
    lake = write_events(settings, LEADER, coarse_tape())
    return settings, lake, written(settings, lake, [coarse_tape()])


@hypothesis_settings(max_examples=12)
@given(st.lists(st.integers(0, coarse_tape().size), max_size=12))
def test_a_day_has_the_same_bytes_in_batches_of_any_size(
    one_batch: tuple[Settings, Lake, Manifest], cuts: list[int]
) -> None:
    settings, lake, whole = one_batch
    again = written(settings, lake, np.split(coarse_tape(), sorted(cuts)))
    assert whole.rows > 150
    assert (again.rows_sha256, again.state_sha256) == (whole.rows_sha256, whole.state_sha256)


def test_a_cut_between_two_events_of_one_instant_changes_nothing(one_batch: tuple[Settings, Lake, Manifest]) -> None:
    settings, lake, whole = one_batch
    tied = np.flatnonzero(np.diff(coarse_tape()["ingest_ts"]) == 0) + 1
    on_the_grid = tied[coarse_tape()["ingest_ts"][tied] % (20 * MS) == 0]
    assert on_the_grid.size > 40
    again = written(settings, lake, np.split(coarse_tape(), on_the_grid[::4]))
    assert (again.rows_sha256, again.state_sha256) == (whole.rows_sha256, whole.state_sha256)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.93])
def test_a_restart_from_a_saved_state_gives_the_rest_of_the_same_bytes(share: float) -> None:
    parameters, events = load_settings("dev").features, coarse_tape()
    parameters = replace(parameters, normalizer_sample_ms=200, normalizer_window_s=4, normalizer_min_samples=3)
    end = int(events["ingest_ts"][-1])
    middle = int(events["ingest_ts"][int(share * events.size)])
    place = int(np.searchsorted(events["ingest_ts"], middle, side="right"))

    def frames(tape: Events, state: tuple[np.ndarray, ...], until: int) -> list[bytes]:
        made = [
            rows_to_frame(rows, parameters) for rows in row_batches(np.array_split(tape, 7), state, parameters, until)
        ]
        return [row.tobytes() for frame in made for row in frame.to_numpy()]

    whole_state, first = new_state(parameters), new_state(parameters)
    whole = frames(events, whole_state, end)
    early = frames(events[:place], first, middle)
    second = load_state(dump_state(first))
    assert early + frames(events[place:], second, end) == whole
    assert [array.tobytes() for array in second] == [array.tobytes() for array in whole_state]


def materialize(settings: Settings, symbol: str) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(symbols.name, [LEADER, FOLLOWER])
        return dg.materialize(
            [dg.AssetSpec("aligned_events"), features, features_hold],
            partition_key=day_key(Part(symbol, DAY)),
            resources=resources_of(settings),
            instance=instance,
            raise_on_error=False,
        )


@pytest.fixture(scope="module")
def led(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, dg.ExecuteInProcessResult]]:
    """Twelve seconds of two symbols, the second of which follows the first, through the assets and their checks."""
    settings = settings_in(tmp_path_factory.mktemp("var"), LED)
    for seed, instrument in enumerate((COINM_BTC, COINM_ETH)):
        write_events(settings, instrument.name, synthetic_events(12.0, seed, instrument))
    return settings, {symbol: materialize(settings, symbol) for symbol in (LEADER, FOLLOWER)}


def test_a_follower_and_its_leader_pass_every_check(
    led: tuple[Settings, dict[str, dg.ExecuteInProcessResult]],
) -> None:
    settings, results = led
    for symbol, result in results.items():
        checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
        assert set(checks) == {"finite", "varied", "causality", "parity"}
        assert [(name, check.metadata) for name, check in checks.items() if not check.passed] == []
        assert passed(Lake(settings.paths.lake), "features", Part(symbol, DAY)) is not None


def test_a_follower_shows_its_leader_in_columns_of_its_own(
    led: tuple[Settings, dict[str, dg.ExecuteInProcessResult]],
) -> None:
    settings = led[0]
    lake = Lake(settings.paths.lake)
    frames = {symbol: lake.scan("features", symbol, [DAY]).collect() for symbol in (LEADER, FOLLOWER)}
    shown = [name for name in frames[FOLLOWER].columns if name.startswith("raw_leader_")]
    assert len(shown) == 2 + len(settings.features.windows_ms)
    assert set(frames[FOLLOWER].columns) - set(frames[LEADER].columns) == {
        *shown,
        *(name.removeprefix("raw_") for name in shown),
    }
    both = frames[FOLLOWER].join(frames[LEADER], on="row_ts", suffix="_seen").filter(status=VALID, status_seen=VALID)
    assert both.height > 300
    assert min(both[name].n_unique() for name in shown) > 5
    assert both["raw_leader_imbalance"].to_numpy() == pytest.approx(both["raw_queue_imbalance_seen"].to_numpy())


def test_other_rows_of_the_leader_make_a_follower_out_of_date(tmp_path: Path) -> None:
    settings, part = settings_in(tmp_path, LED), Part(FOLLOWER, DAY)
    lake, inputs = write_events(settings, FOLLOWER, coarse_tape()), []
    for events in (coarse_tape(), coarse_tape()[:-4_000]):
        write_events(settings, LEADER, events)
        written(settings, lake, [events])
        lake.set_verdict("features", LEADER, DAY, True, {})
        inputs.append(features_inputs(settings, lake, part))
    assert inputs[0] != inputs[1]
    assert inputs[1] == features_inputs(settings, lake, part)


def test_a_follower_before_its_leader_is_refused_in_one_line(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, LED)
    write_events(settings, FOLLOWER, coarse_tape())
    assert not materialize(settings, FOLLOWER).success
    with pytest.raises(LakeError, match=f"no partition features/{LEADER}/{DAY}"):
        leader_days(settings, Lake(settings.paths.lake), FOLLOWER, [DAY])
    with pytest.raises(ConfigError, match=f"leaders.{FOLLOWER}={LEADER} must stand before it") as refused:
        replace(settings.data, symbols=(FOLLOWER, LEADER))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("change", [{"trend_enter": 0.55}, {"memory_s": 7_000}, {"span_s": 61}], ids=str)
def test_a_day_does_not_go_on_from_regimes_of_other_settings(tmp_path: Path, change: dict[str, Any]) -> None:
    settings = settings_in(tmp_path, {})
    lake = write_events(settings, LEADER, coarse_tape())
    written(settings, lake, [coarse_tape()])
    lake.set_verdict("features", LEADER, DAY, True, {})
    write_events(settings, LEADER, coarse_tape(), NEXT_DAY)
    FeatureDay(settings, lake, Part(LEADER, NEXT_DAY))
    other = replace(settings, regimes=replace(settings.regimes, **change))
    with pytest.raises(DataError, match=f"features/{LEADER}/{DAY} was made under other regimes") as refused:
        FeatureDay(other, lake, Part(LEADER, NEXT_DAY))
    assert "\n" not in str(refused.value)


def test_days_of_another_catalogue_are_neither_trained_on_nor_followed(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, LED)
    lake = write_events(settings, LEADER, coarse_tape())
    written(settings, lake, [coarse_tape()])
    lake.set_verdict("features", LEADER, DAY, True, {})
    assert leader_days(settings, lake, FOLLOWER, [DAY])[0].size > 150
    other = replace(settings, features=replace(settings.features, normalizer_clip=5.0))
    refusal = f"features/{LEADER}/{DAY} is of another feature catalogue"
    with pytest.raises(LakeError, match=refusal) as refused:
        leader_days(other, lake, FOLLOWER, [DAY])
    assert "\n" not in str(refused.value)
    start = day_start(DAY)
    piece = Slice("20240809T000000Z-k0", (start, start + 1), (start + 2, start + 30), (start + 40, start + 41))
    piece = replace(piece, parts=split_validation(piece.val, 0.5, 0.5, 2))
    frame = slice_frame([piece])
    lake.write("walk_forward_slices", LEADER, WHOLE, frame, schema_sha=schema_sha(frame.schema))
    lake.set_verdict("walk_forward_slices", LEADER, WHOLE, True, {})
    with pytest.raises(LakeError, match=refusal):
        slice_data(other, lake, Part(LEADER, piece.key), context_rows=0)


def test_a_backtest_of_a_follower_that_opens_cold_sees_the_rows_of_the_day(
    led: tuple[Settings, dict[str, dg.ExecuteInProcessResult]],
) -> None:
    settings, lake = led[0], Lake(led[0].paths.lake)
    stored = lake.scan("features", FOLLOWER, [DAY]).collect()
    middle, end = (int(stored["row_ts"][place]) for place in (stored.height // 2, -1))
    compiled = compiled_before(settings, lake, FOLLOWER, Window(middle, end), warm_rows=stored.height)
    rows, names = compiled.rows, feature_names(settings.features_of(FOLLOWER))
    within = stored.filter(pl.col("row_ts").is_between(rows.row_ts[0], rows.row_ts[-1]))
    assert rows.row_ts.size > 400
    assert np.array_equal(rows.row_ts, within["row_ts"].to_numpy())
    assert np.array_equal(rows.values, within.select(names).to_numpy())
    assert np.array_equal(rows.regime, within[REGIME].to_numpy())
    row_ns = settings.features.row_interval_ms * 1_000_000
    assert 0 < rows.row_ts[0] - compiled.tape["ingest_ts"][0] <= row_ns  # the first row closes over the first event


def test_a_feed_leg_that_is_drawn_anew_moves_the_tape_and_what_the_rows_know(
    led: tuple[Settings, dict[str, dg.ExecuteInProcessResult]],
) -> None:
    settings, lake = led[0], Lake(led[0].paths.lake)
    row_ts = lake.scan("features", FOLLOWER, [DAY]).select("row_ts").collect()["row_ts"]
    span = Window(int(row_ts[row_ts.len() // 2]), int(row_ts[-1]))
    late = constant(Legs(60 * MS, 0, 0, 0))
    kept, moved = (compiled_before(settings, lake, FOLLOWER, span, 50, table) for table in (None, late))
    assert np.median(moved.tape["delay_ns"]) == 60 * MS
    assert moved.tape.size == kept.tape.size
    assert set(moved.rows.row_ts) <= set(kept.rows.row_ts)
    assert moved.rows.row_ts[-1] == kept.rows.row_ts[-1]
    assert np.isfinite(moved.rows.values).all()
    shared = kept.rows.values[-moved.rows.row_ts.size :]
    assert (moved.rows.values != shared).any(axis=1).mean() > 0.5
