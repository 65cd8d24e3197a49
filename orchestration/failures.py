"""Runs that failed: one line each in a file under Dagster's home, which research's metrics count."""

import json
from collections import Counter
from pathlib import Path
from typing import Final

import dagster as dg

from config.settings import Settings
from orchestration.switches import sensor_status

FILE: Final = "failures.jsonl"


def failures_file(settings: Settings) -> Path:
    """Where the lines are."""
    return settings.paths.dagster / FILE


def run_failures(settings: Settings) -> dg.SensorDefinition:
    """Writes down every run that fails; Dagster keeps the cursor, so none is missed over a restart."""

    @dg.run_failure_sensor(
        name="run_failures",
        minimum_interval_seconds=60,
        default_status=sensor_status(settings),
        description="One line for every run that failed, and a metric of how many there were.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        line = failure_of(context)
        with failures_file(settings).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return dg.SkipReason(f"written down: {line['job']} run {line['run_id']}: {line['error']}")

    return sensor


def failure_of(context: dg.RunFailureSensorContext) -> dict[str, str]:
    """The run, its job and the first line of what went wrong, by step."""
    steps = [
        f"{event.step_key}: {event.step_failure_data.error_display_string.strip().splitlines()[0]}"
        for event in context.get_step_failure_events()
    ]
    run, message = context.dagster_run, (context.failure_event.message or "").splitlines()
    said = "; ".join(steps) or (message[0] if message else "no reason was recorded")
    reason = run.tags.get("retrain/reason", "")
    return {"run_id": run.run_id, "job": run.job_name, "error": said, "retrain_reason": reason}


def failures_by_job(path: Path) -> dict[str, int]:
    """How many runs of each job failed, each counted once."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return dict(Counter({line["run_id"]: line["job"] for line in lines}.values()))
