"""What the A/B of the live symbol starts: the end of a challenger that does harm, the page of one that is decided."""

import time
from typing import Any, Final

import dagster as dg

from config.settings import Settings
from monitoring.ab import HARM, WINNERS
from orchestration import jobs
from orchestration.attempts import Clock, attempts
from orchestration.drift_sensors import Monitor, newest_report
from orchestration.switches import sensor_status

Answers = list[dg.RunRequest] | dg.SkipReason

MOST_ATTEMPTS: Final = 8  # of a contest, over 21 hours; its key holds no day, so that no later A/B asks for it anew
AB: Final = Monitor("ab_test", "judged_as_stated")


def harmful_challenger(settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """Has a challenger barred once its A/B was stopped for harm; asks until it is."""

    @dg.sensor(job=jobs.harm, minimum_interval_seconds=60, default_status=sensor_status(settings))
    def harmful_challenger(context: dg.SensorEvaluationContext) -> Answers:
        found = _verdict_of(context, (HARM,))
        if isinstance(found, dg.SkipReason):
            return found
        key = f"harm|{settings.live.symbol}|{found['challenger_sha'][:12]}|{found['report_sha'][:12]}"
        request = dg.RunRequest(key, tags={"harm/reason": str(found["said"])})
        return attempts(context.instance, [request], clock)

    return harmful_challenger


def decided_contest(settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """Has the challenger's page written anew once its A/B names a winner; the gates, or a person, promote."""

    @dg.sensor(job=jobs.registry, minimum_interval_seconds=60, default_status=sensor_status(settings))
    def decided_contest(context: dg.SensorEvaluationContext) -> Answers:
        found = _verdict_of(context, WINNERS)
        if isinstance(found, dg.SkipReason):
            return found
        arms = "|".join(str(found[f"{arm}_sha"])[:12] for arm in ("champion", "challenger"))
        key = f"contest|{settings.live.symbol}|{arms}|{found['verdict']}"
        request = dg.RunRequest(key, tags={"contest/reason": str(found["said"])})
        return attempts(context.instance, [request], clock, MOST_ATTEMPTS)

    return decided_contest


def _verdict_of(context: dg.SensorEvaluationContext, wanted: tuple[str, ...]) -> dict[str, Any] | dg.SkipReason:
    """The newest A/B, where it says one of these; else what it says, or why it may not be read."""
    found = newest_report(context.instance, AB)
    if isinstance(found, str):
        return dg.SkipReason(found)
    return found if found["verdict"] in wanted else dg.SkipReason(f"ab_test says {found['said']}")
