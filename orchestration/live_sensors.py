"""What an approval and a finished journal segment start."""

import time

import dagster as dg

from assets.registered_model import model_name
from config.settings import Settings
from orchestration import jobs
from orchestration.attempts import Clock, attempts
from orchestration.switches import sensor_status
from storage.journal import finished_segments
from storage.promotions import Promotion
from storage.registry import CHALLENGER, CHAMPION, Registry

Answer = dg.RunRequest | dg.SkipReason
Answers = list[dg.RunRequest] | dg.SkipReason


def new_approval(settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """Deploys whatever the promotion ledger names as champion of each live symbol, each of its lines until it ran."""

    @dg.sensor(job=jobs.deployment, minimum_interval_seconds=60, default_status=sensor_status(settings))
    def new_approval(context: dg.SensorEvaluationContext, registry: dg.ResourceParam[Registry]) -> Answers:
        return _deploying(settings, context.instance, registry, CHAMPION, clock)

    return new_approval


def new_challenger(settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """Deploys whatever the ledger names as challenger of each live symbol, where live.challenger gives it a desk."""

    @dg.sensor(job=jobs.deployment, minimum_interval_seconds=60, default_status=sensor_status(settings))
    def new_challenger(context: dg.SensorEvaluationContext, registry: dg.ResourceParam[Registry]) -> Answers:
        if not settings.live.challenger:
            return dg.SkipReason("live.challenger is off: the runner has no desk for one")
        return _deploying(settings, context.instance, registry, CHALLENGER, clock)

    return new_challenger


def finished_journal(settings: Settings) -> dg.SensorDefinition:
    """Brings the runner's journal into the lake whenever a segment of it is finished."""

    @dg.sensor(job=jobs.live, minimum_interval_seconds=60, default_status=sensor_status(settings))
    def finished_journal() -> Answer:
        folder = settings.paths.journal(settings.live.symbol)
        finished = finished_segments(folder)
        if not finished:
            return dg.SkipReason(f"no finished segment in {folder}")
        newest = finished[-1]
        stat = newest.stat()
        return dg.RunRequest(f"journal|{newest.name}|{stat.st_size}|{stat.st_mtime_ns}")

    return finished_journal


def _deploying(
    settings: Settings, instance: dg.DagsterInstance, registry: Registry, role: str, clock: Clock
) -> Answers:
    names = {symbol: model_name(settings, symbol) for symbol in settings.live.floor}
    found = {symbol: registry.ledger.newest(name, role) for symbol, name in names.items()}
    asked = [_pushing(symbol, role, approval) for symbol, approval in found.items() if approval is not None]
    if not asked:
        return dg.SkipReason(f"the promotion ledger names no {role} of {', '.join(names.values())}")
    return attempts(instance, asked, clock)


def _pushing(symbol: str, role: str, approval: Promotion) -> dg.RunRequest:
    asked = {"ops": {"live_deployment": {"config": {"symbol": symbol, "role": role}}}}
    return dg.RunRequest(_approval_key(approval), run_config=asked, tags={"deploy/reason": approval.reason})


def _approval_key(approval: Promotion) -> str:
    """Dagster remembers a run key for ever: one for each line of the ledger, not for each model."""
    return f"approval|{approval.model}|{approval.when}|{approval.to_version}|{approval.bundle_sha[:12]}"
