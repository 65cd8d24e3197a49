"""A run that fails is a line in a file, with what went wrong in words."""

import json
from dataclasses import replace
from pathlib import Path

import dagster as dg

from config.loading import load_settings
from config.settings import Paths
from orchestration.failures import failures_by_job, failures_file, run_failures
from orchestration.instance import open_instance

TAGS = {"retrain/reason": "3 features drifted"}


@dg.op
def breaks() -> None:
    raise ValueError("no capture of today\nand more lines")


@dg.job
def slices() -> None:
    breaks()


def test_a_failed_run_is_written_down_and_counted(tmp_path: Path) -> None:
    settings = replace(load_settings("dev"), paths=Paths(tmp_path))
    assert failures_by_job(failures_file(settings)) == {}
    with open_instance(settings.paths.dagster) as instance:
        result = slices.execute_in_process(instance=instance, raise_on_error=False, tags=TAGS)
        [failed] = [event for event in result.all_events if event.event_type == dg.DagsterEventType.PIPELINE_FAILURE]
        context = dg.build_run_status_sensor_context("run_failures", failed, instance, result.dagster_run)
        skipped = run_failures(settings)(context.for_run_failure())
    [line] = map(json.loads, failures_file(settings).read_text().splitlines())
    assert (line["job"], line["run_id"], line["retrain_reason"]) == ("slices", result.run_id, "3 features drifted")
    assert "breaks" in line["error"]
    assert "\n" not in line["error"]
    assert str(skipped.skip_message).startswith(f"written down: slices run {result.run_id}: breaks: ")
    assert failures_by_job(failures_file(settings)) == {"slices": 1}
