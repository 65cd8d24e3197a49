"""A day of aligned events goes from the lake into the warehouse, is held against it, and is asked for."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

import main
from assets.partitions import Part, day_key, symbols
from assets.resources import resources_of
from assets.tables import INPUTS, passed
from assets.warehouse import opened, warehouse_events, warehouse_events_hold, warehouse_events_inputs, warehouse_holds
from config.loading import load_settings
from config.settings import Paths, Settings
from market.schema import schema_sha
from orchestration.definitions import build_definitions
from storage.clickhouse import open_warehouse
from storage.lake import Lake
from tests.builders_clickhouse import DATE, SYMBOL, random_tape

PART = Part(SYMBOL, DATE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The dev profile in a folder of its own, with one day of aligned events that passed its checks."""
    found = replace(load_settings("dev"), paths=Paths(tmp_path))
    write_day(Lake(found.paths.lake), seed=1)
    return replace(found, warehouse=replace(found.warehouse, patience_s=0))


def write_day(lake: Lake, seed: int, passing: bool = True) -> None:
    tape = random_tape(np.random.default_rng(seed), 300)
    lake.write("aligned_events", *PART, tape, schema_sha=schema_sha(tape.schema))
    lake.set_verdict("aligned_events", *PART, passing, {"ordered": passing})


def materialize(settings: Settings) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(symbols.name, [SYMBOL])
        return dg.materialize(
            [dg.AssetSpec("aligned_events"), warehouse_events, warehouse_events_hold],
            partition_key=day_key(PART),
            resources=resources_of(settings),
            instance=instance,
            raise_on_error=False,
        )


def facts_of(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (made,) = result.asset_materializations_for_node("warehouse_events")
    return {name: value.value for name, value in made.metadata.items()}


def test_a_day_is_loaded_checked_and_has_a_receipt(settings: Settings) -> None:
    result = materialize(settings)
    assert result.success
    assert facts_of(result)["events"] == 300
    assert facts_of(result)["bytes: events"] > 0  # type: ignore[operator]
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.metadata["rows: events"].value == 300
    assert check.metadata["differing: candles_1s"].value == 0
    receipt = passed(Lake(settings.paths.lake), "warehouse_events", PART)
    assert receipt is not None
    assert receipt.metadata[INPUTS] == warehouse_events_inputs(settings, Lake(settings.paths.lake), PART)


def test_a_receipt_holds_for_its_own_warehouse_and_its_own_events(settings: Settings) -> None:
    materialize(settings)
    lake = Lake(settings.paths.lake)
    before = warehouse_events_inputs(settings, lake, PART)
    assert warehouse_holds(settings, lake, PART)
    write_day(lake, seed=2)
    assert warehouse_events_inputs(settings, lake, PART) != before
    (settings.paths.clickhouse / "identity").write_text("another")
    assert not warehouse_holds(settings, lake, PART)


def test_events_that_did_not_pass_are_not_loaded(settings: Settings) -> None:
    write_day(Lake(settings.paths.lake), seed=1, passing=False)
    assert not materialize(settings).success
    with opened(settings) as warehouse:
        assert warehouse.rows_of("events", *PART) == 0
        assert not getattr(warehouse.day(*PART), "whole", False)


def test_an_expired_day_is_held_to_the_tables_that_keep_it(settings: Settings) -> None:
    short = replace(settings, warehouse=replace(settings.warehouse, ttl_days=1))
    (check,) = materialize(short).get_asset_check_evaluations()
    assert check.passed
    assert {name for name in check.metadata if name.startswith("differing")} == {
        "differing: candles_1s",
        "differing: candles_1m",
    }


def test_the_graph_is_without_a_warehouse_that_is_not_enabled(settings: Settings) -> None:
    for enabled in (True, False):
        chosen = replace(settings, warehouse=replace(settings.warehouse, enabled=enabled))
        keys = build_definitions(chosen).resolve_asset_graph().get_all_asset_keys()
        assert (dg.AssetKey("warehouse_events") in keys) is enabled


@pytest.fixture
def tickloop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """``main.py`` on the fixture's folder."""
    monkeypatch.setattr("commands.line.load_settings", lambda: settings)
    return monkeypatch


def call(tickloop: pytest.MonkeyPatch, *arguments: str) -> int:
    tickloop.setattr("sys.argv", ["main.py", *arguments])
    try:
        return main.main()
    except SystemExit as ended:
        return int(ended.code or 0)


def test_a_day_is_rebuilt_and_asked_for_on_the_command_line(
    tickloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tickloop, "warehouse", "rebuild", SYMBOL, DATE) == 0
    assert capsys.readouterr().out.endswith("s, 0 rows differ\n")
    sql = "SELECT symbol, count() AS n, NULL AS no, toDate(min(ts)) AS day FROM tickloop.events GROUP BY symbol"
    assert call(tickloop, "warehouse", "query", sql) == 0
    assert capsys.readouterr().out == f"symbol\tn\tno\tday\n{SYMBOL}\t300\t\t{DATE}\n"
    assert call(tickloop, "warehouse", "query", sql, "--json") == 0
    assert capsys.readouterr().out == f'[{{"symbol": "{SYMBOL}", "n": 300, "no": null, "day": "{DATE}"}}]\n'


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("query", "DROP DATABASE tickloop"), "readonly"),
        (("rebuild", SYMBOL, "2024-08-09"), f"the lake holds no partition aligned_events/{SYMBOL}/2024-08-09"),
        (("rebuild", SYMBOL, "yesterday"), "'yesterday' is no date of the form"),
        (("rebuild", "nothing", DATE), "unknown symbol 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tickloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    assert call(tickloop, "warehouse", *arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("tickloop: ")
    assert reason in said
    assert said.count("\n") == 1


def test_a_warehouse_in_use_is_said_in_one_line(
    settings: Settings, tickloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_warehouse(settings.warehouse, settings.paths.clickhouse):
        assert call(tickloop, "warehouse", "query", "SELECT 1") == 1
    assert "has one owner at a time" in capsys.readouterr().err
