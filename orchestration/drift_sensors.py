"""What the verdicts of the monitors start; each sensor reads one asset's metadata, and the check that stands on it."""

import time
from typing import Any, Final, NamedTuple

import dagster as dg

from assets.partitions import symbols
from config.settings import Settings
from orchestration import jobs
from orchestration.retraining import Clock, Wish, ask
from orchestration.switches import sensor_status

Evaluation = list[dg.RunRequest] | dg.SkipReason


class Monitor(NamedTuple):
    """An asset with a verdict: ``verdict``, ``said``, ``retrain_reason``, ``report_sha``, ``champion_slice``."""

    asset: str
    check: str  # that has to have passed on the newest report


MONITORS: Final = {
    "feature_drift": Monitor("drift", "every_feature_judged_once"),
    "shifted_labels": Monitor("label_shift", "every_day_judged_once"),
    "decayed_ir": Monitor("ir_decay", "every_day_summed_once"),
    "drifted_execution": Monitor("execution_drift", "every_day_measured_once"),
}


def monitor_sensors(settings: Settings, clock: Clock = time.time) -> list[dg.SensorDefinition]:
    """One sensor a monitor."""
    return [monitor_sensor(name, monitor, settings, clock) for name, monitor in MONITORS.items()]


def monitor_sensor(name: str, monitor: Monitor, settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """Asks for new slices where the asset gives a reason; new_slices then trains what is new."""

    @dg.sensor(
        name=name,
        job=jobs.slices,
        minimum_interval_seconds=60,
        default_status=sensor_status(settings),
        description=f"Asks for new walk-forward slices where {monitor.asset} gives a reason.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> Evaluation:
        found = newest_report(context.instance, monitor)
        if isinstance(found, str):
            return dg.SkipReason(found)
        if not found["retrain_reason"]:
            return dg.SkipReason(f"{monitor.asset} says {found['verdict']}: {found['said']}")
        context.instance.add_dynamic_partitions(symbols.name, [settings.live.symbol])
        return ask(context.instance, settings, [wish_of(monitor, settings.live.symbol, found)], clock).for_dagster

    return sensor


def wish_of(monitor: Monitor, symbol: str, found: dict[str, Any]) -> Wish:
    """The request that a report gives a reason for; Dagster remembers its key for ever: one for each report."""
    key = f"{monitor.asset}|{symbol}|{found['champion_slice']}|{str(found['report_sha'])[:12]}"
    return Wish(monitor.asset, key, symbol, str(found["retrain_reason"]))


def newest_report(instance: dg.DagsterInstance, monitor: Monitor) -> dict[str, Any] | str:
    """Metadata of the newest report; in words why there is none that may be read."""
    event = instance.get_latest_materialization_event(dg.AssetKey(monitor.asset))
    if event is None or event.asset_materialization is None:
        return f"the asset {monitor.asset} was never made"
    key = dg.AssetCheckKey(dg.AssetKey(monitor.asset), monitor.check)
    record = instance.get_latest_asset_check_evaluation_record(key)
    evaluation = record.event.dagster_event.asset_check_evaluation_data if record and record.event else None
    if record is None or evaluation is None or record.event.timestamp < event.timestamp:
        return f"the newest {monitor.asset} has not been checked yet"
    if not evaluation.passed:
        return f"the newest {monitor.asset} did not pass its check {monitor.check}"
    return {name: entry.value for name, entry in event.asset_materialization.metadata.items()}
