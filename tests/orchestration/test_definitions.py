"""The graph that Dagster shows, its clockwork, and what loading it costs."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.partitions import WHOLE, symbols
from assets.registered_model import model_name
from assets.resources import resources_of
from config.loading import load_settings
from config.settings import Paths, Settings
from market.schema import schema_sha
from orchestration.definitions import build_definitions
from orchestration.instance import open_instance
from orchestration.schedules import daily_data, monitors, weekly_slices
from storage.lake import Lake

SNAPSHOT = Path(__file__).with_name("asset_graph.json")
HEAVY = ("torch", "lightning", "pytorch_lightning", "mlflow", "evidently", "sklearn", "arch", "optuna", "plotly")
JOBS = ("data", "slices", "training", "registry", "deployment", "live", "monitoring", "ladder", "contest", "harm")
SENSORS = (
    "decayed_ir",
    "decided_contest",
    "drifted_execution",
    "evaluated_model",
    "feature_drift",
    "finished_journal",
    "harmful_challenger",
    "new_approval",
    "new_challenger",
    "new_slices",
    "run_failures",
    "shifted_labels",
)
SCHEDULES = ("daily_ab", "daily_data", "daily_parity", "monitors", "weekly_slices")
DAY = "2024-08-08"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(load_settings("dev"), paths=Paths(tmp_path))


def asset_graph(definitions: dg.Definitions) -> dict[str, object]:
    """Group, upstream, checks and dimensions of every asset; jobs with their assets; what starts by itself."""
    graph = definitions.resolve_asset_graph()
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        partitions = node.partitions_def
        multi = isinstance(partitions, dg.MultiPartitionsDefinition)
        single = ["symbol"] if partitions is not None else []
        specs = [graph.get_check_spec(check) for check in sorted(node.check_keys)]
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "upstream": sorted(parent.to_user_string() for parent in node.parent_keys),
            "blocking_checks": {spec.name: spec.description for spec in specs if spec.blocking},
            "partitions": [d.name for d in partitions.partitions_defs] if multi else single,
        }
    jobs = {
        name: sorted(
            key.to_user_string() for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys
        )
        for name in JOBS
    }
    return {"assets": assets, "jobs": jobs, "schedules": list(SCHEDULES), "sensors": list(SENSORS)}


def test_the_asset_graph_is_the_one_that_was_agreed(settings: Settings) -> None:
    """After a change on purpose, write the new graph: ``python -m tests.orchestration.test_definitions``."""
    assert asset_graph(build_definitions(settings)) == json.loads(SNAPSHOT.read_text())


def test_every_check_says_in_a_line_what_holds(settings: Settings) -> None:
    graph = build_definitions(settings).resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert specs
    assert [spec.name for spec in specs if not spec.description or "\n" in spec.description] == []


def test_the_code_location_loads_and_every_job_resolves(settings: Settings) -> None:
    repository = build_definitions(settings).get_repository_def()
    repository.load_all_definitions()  # a job that shares an asset's name passes everything but this
    assert set(repository.job_names) >= set(JOBS)
    assert {schedule.name for schedule in repository.schedule_defs} == set(SCHEDULES)
    assert {sensor.name for sensor in repository.sensor_defs} == set(SENSORS)


def test_nothing_starts_by_itself_in_dev_and_all_of_it_in_prod() -> None:
    for profile, running in (("dev", "STOPPED"), ("prod", "RUNNING")):
        repository = build_definitions(load_settings(profile)).get_repository_def()
        started = [*repository.schedule_defs, *repository.sensor_defs]
        assert {definition.default_status.value for definition in started} == {running}


def test_sensors_wait_at_least_a_minute(settings: Settings) -> None:
    sensors = build_definitions(settings).get_repository_def().sensor_defs
    assert all((sensor.minimum_interval_seconds or 0) >= 60 for sensor in sensors)


def test_in_an_empty_house_every_sensor_says_what_is_missing(settings: Settings) -> None:
    symbol, said = settings.live.symbol, dict[str, str]()
    with open_instance(settings.paths.dagster) as instance:
        for sensor in build_definitions(settings).get_repository_def().sensor_defs:
            if sensor.has_jobs:
                with dg.build_sensor_context(instance, resources=resources_of(settings)) as context:
                    answer = sensor.evaluate_tick(context)
                assert not answer.run_requests
                said[sensor.name] = answer.skip_message or ""
    assert said == {
        "decayed_ir": "the asset ir_decay was never made",
        "decided_contest": "the asset ab_test was never made",
        "drifted_execution": "the asset execution_drift was never made",
        "evaluated_model": "no model is evaluated",
        "feature_drift": "the asset drift was never made",
        "finished_journal": f"no finished segment in {settings.paths.journal(symbol)}",
        "harmful_challenger": "the asset ab_test was never made",
        "new_approval": f"the promotion ledger names no champion of {model_name(settings, symbol)}",
        "new_challenger": "live.challenger is off: the runner has no desk for one",
        "new_slices": f"every slice that there is of {symbol} has a model; no windows of {symbol} passed their checks",
        "shifted_labels": "the asset label_shift was never made",
    }


def asked(instance: dg.DagsterInstance, when: datetime, **resources: object) -> dg.ScheduleEvaluationContext:
    """What a schedule is asked with; it opens an instance of its own and is left as a context."""
    return dg.build_schedule_context(instance, scheduled_execution_time=when, resources=resources)


def test_the_daily_schedule_asks_for_yesterday_where_there_is_a_capture(settings: Settings) -> None:
    with (
        open_instance(settings.paths.dagster) as instance,
        asked(instance, datetime(2024, 8, 9, 0, 10, tzinfo=UTC)) as context,
    ):
        requests = list(daily_data(settings)(context))
        assert [request.partition_key for request in requests] == [f"{DAY}|{settings.data.symbols[0]}"]
        assert instance.get_dynamic_partitions(symbols.name) == list(settings.data.symbols)


def test_the_daily_schedule_says_which_capture_is_missing(settings: Settings) -> None:
    with (
        open_instance(settings.paths.dagster) as instance,
        asked(instance, datetime(2025, 1, 2, 0, 10, tzinfo=UTC)) as context,
    ):
        [skipped] = list(daily_data(settings)(context))
    assert isinstance(skipped, dg.SkipReason)
    assert "no capture of 2025-01-01" in (skipped.skip_message or "")


def test_slices_are_cut_for_every_symbol_once_a_week(settings: Settings) -> None:
    with (
        open_instance(settings.paths.dagster) as instance,
        asked(instance, datetime(2024, 8, 9, 1, tzinfo=UTC)) as context,
    ):
        requests = list(weekly_slices(settings)(context))
    assert [request.partition_key for request in requests] == list(settings.data.symbols)
    assert len({request.run_key for request in requests}) == len(requests)


def test_the_walk_forward_is_weekly_by_default_and_by_configuration(settings: Settings) -> None:
    assert weekly_slices(settings).cron_schedule == "0 1 * * 1"
    often = replace(settings, orchestration=replace(settings.orchestration, walk_forward_cron="0 1 * * *"))
    assert weekly_slices(often).cron_schedule == "0 1 * * *"


def test_the_monitors_wait_for_a_journal_and_a_champion(settings: Settings) -> None:
    lake = Lake(settings.paths.lake)
    six_thirty = datetime(2024, 8, 9, 6, 30, tzinfo=UTC)
    with open_instance(settings.paths.dagster) as instance, asked(instance, six_thirty, lake=lake) as context:
        said = monitors(settings)(context).skip_message
        assert said == f"no live_journal of {settings.live.symbol} that passed its checks: nothing to compare"
        for table, symbol in (("live_journal", settings.live.symbol), ("registered_model", WHOLE)):
            frame = pl.DataFrame({"x": [1]})
            lake.write(table, symbol, WHOLE, frame, schema_sha=schema_sha(frame.schema))
            lake.set_verdict(table, symbol, WHOLE, True, {})
        assert monitors(settings)(context).run_key == "monitoring|2024-08-09T06:30:00+00:00"


def test_loading_the_definitions_loads_nothing_heavy() -> None:
    code = f"import sys, orchestration.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_workspace_names_this_code_location() -> None:
    root = Path(__file__).parents[2]
    text = (root / "workspace.yaml").read_text()
    assert "module_name: orchestration.definitions" in text
    assert "location_name: tickloop" in text


if __name__ == "__main__":
    graph = asset_graph(build_definitions(load_settings("dev")))
    SNAPSHOT.write_text(json.dumps(graph, indent=1) + "\n")
