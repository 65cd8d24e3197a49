"""The whole chain on a synthetic minute: every table is made, nothing of the future is seen, no secret is kept."""

import json

import dagster as dg
import pytest

from assets.partitions import Part
from assets.tables import passed
from commands.command import json_of
from orchestration.facts import demo_facts
from orchestration.instance import CHAIN_TAG, open_instance
from orchestration.summary import demo_summary
from orchestration.tapes import SYNTHETIC
from storage.lake import Lake
from tests.builders_chain import DAYS, Built

TABLES = ("raw_ticks", "aligned_events", "features", "labels")


def test_every_table_is_made_and_passes_its_checks(built: Built) -> None:
    settings, report = built
    lake = Lake(settings.paths.lake)
    for day in DAYS:
        assert [name for name in TABLES if passed(lake, name, Part(SYNTHETIC, day)) is None] == []
    assert {name.split()[0] for name in report.made} == {
        *TABLES,
        *("warehouse_events", "walk_forward_slices", "search", "models", "backtests", "evaluation"),
        *("registered_model", "promotion"),
    }
    assert lake.verify() == []


def test_no_secret_of_the_environment_is_in_anything_that_the_chain_wrote(built: Built) -> None:
    var = built[0].paths.var
    files = [path for path in var.rglob("*") if path.is_file()]
    assert {"mlflow.db", "dagster.yaml", "trials.jsonl"} <= {path.name for path in files}
    assert any("history" in path.parts for path in files)  # Dagster's event logs
    holding = [path for path in files if b"planted" in path.read_bytes()]
    assert holding == []


def test_the_second_day_goes_on_from_the_first(built: Built) -> None:
    lake = Lake(built[0].paths.lake)
    cold = [lake.manifest("features", SYNTHETIC, day).metadata["cold_start"] for day in DAYS]
    assert cold == [True, False]
    row_ts = lake.scan("features", SYNTHETIC).select("row_ts").collect()["row_ts"]
    assert (row_ts.diff().drop_nulls() == 20_000_000).all()


def test_the_last_labels_of_a_day_look_into_the_next(built: Built) -> None:
    labels = Lake(built[0].paths.lake).scan("labels", SYNTHETIC, DAYS[:1]).collect()
    assert (labels["status_1000"][-40:] == 0).all()


def test_the_held_back_seconds_are_never_seen(built: Built) -> None:
    lake = Lake(built[0].paths.lake)
    first, last = (lake.manifest("raw_ticks", SYNTHETIC, day) for day in DAYS)
    assert (last.last_ts - first.first_ts) / 1e9 == pytest.approx(60, abs=0.5)


def test_the_summary_fits_on_a_screen_and_names_the_bundle(built: Built) -> None:
    facts = demo_facts(built[0])
    [symbol], [decision] = (json.loads(json_of(facts))[name] for name in ("symbols", "decisions"))
    summary = demo_summary(facts)
    row = Lake(built[0].paths.lake).scan("registered_model", "all", ["all"]).collect().row(0, named=True)
    assert row["bundle_sha"] in summary
    assert decision["bundle_sha"] == row["bundle_sha"]
    assert {"class_prior", "model"} < {score["model"] for score in symbol["scores"]}
    assert all(word in summary for word in ("class_prior", "median_band", "probe", ".html", "make ui"))
    assert len(summary.splitlines()) <= 40
    assert max(map(len, summary.splitlines())) <= 140


def test_the_runs_stand_under_named_jobs(built: Built) -> None:
    with open_instance(built[0].paths.dagster) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={CHAIN_TAG: "yes"}))
    assert {run.job_name for run in runs} == {"data", "slices", "training", "registry"}
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {run.tags[".dagster/repository"] for run in runs} == {"__repository__@tickloop"}
