"""Requests for new models: each written down in Dagster's event log before it is made, within one shared budget."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG

from config.settings import Settings
from monitoring.retraining import Request, reason_to_wait
from storage.files import locked

Clock = Callable[[], float]

REQUESTS: Final = dg.AssetKey("retraining")  # whose observations are the requests
NEW_SLICES: Final = "new_slices"  # the cause that trains; all others ask for slices to train on
REMEMBERED: Final = 500  # newest requests that are looked through

retraining = dg.AssetSpec(
    REQUESTS,
    deps=["drift", "label_shift", "ir_decay", "execution_drift"],
    group_name="retraining",
    description="Not a table: its observations are the models that monitors and schedules asked for, and why.",
)


class Asked(NamedTuple):
    """A request as the event log has it."""

    request: Request
    run_key: str


class Wish(NamedTuple):
    """A request that a sensor would like to make."""

    cause: str
    run_key: str
    partition_key: str
    reason: str

    @property
    def run_request(self) -> dg.RunRequest:
        """The same for Dagster; cause and reason are tags of the run."""
        tags = {"retrain/cause": self.cause, "retrain/reason": self.reason}
        return dg.RunRequest(self.run_key, partition_key=self.partition_key, tags=tags)


class Answer(NamedTuple):
    """What became of a sensor's wishes: those that may be made, and why the others may not."""

    granted: list[dg.RunRequest]
    refused: list[str]

    @property
    def for_dagster(self) -> list[dg.RunRequest] | dg.SkipReason:
        """The requests, or the reasons where there is none."""
        return self.granted or dg.SkipReason("; ".join(self.refused))


def ask(instance: dg.DagsterInstance, settings: Settings, wishes: Sequence[Wish], clock: Clock = time.time) -> Answer:
    """Grant the wishes, in order, that were not granted before and that cooldown and budget allow.

    A request that was written down and never became a run, because the process ended between the two, is made again.
    """
    answer = Answer([], [])
    with locked(settings.paths.dagster.with_name(f".{settings.paths.dagster.name}.retraining.lock")):
        earlier = asked(instance)
        for wish in wishes:
            before = next((found for found in earlier if found.run_key == wish.run_key), None)
            why_not = _made_into(instance, before) if before else _wait(wish, clock(), earlier, settings)
            if why_not is not None:
                answer.refused.append(f"{wish.reason}; {why_not}")
                continue
            if before is None:
                earlier.insert(0, _write_down(instance, wish, clock()))
            answer.granted.append(wish.run_request)
    return answer


def asked(instance: dg.DagsterInstance) -> list[Asked]:
    """The requests so far, newest first."""
    found = instance.fetch_observations(REQUESTS, limit=REMEMBERED).records
    facts = [{name: entry.value for name, entry in record.asset_observation.metadata.items()} for record in found]
    return [Asked(Request(str(fact["cause"]), float(fact["at"])), str(fact["run_key"])) for fact in facts]


def _wait(wish: Wish, now: float, earlier: Sequence[Asked], settings: Settings) -> str | None:
    """Why a new wish has to wait: what trains has the budget without a cooldown, for itself."""
    trains = wish.cause == NEW_SLICES
    alike = [found.request for found in earlier if (found.request.cause == NEW_SLICES) == trains]
    rules = replace(settings.retraining, cooldown_s=0.0) if trains else settings.retraining
    return reason_to_wait(wish.cause, now, alike, rules)


def _made_into(instance: dg.DagsterInstance, before: Asked) -> str | None:
    """What became of a request; None if it never became a run."""
    runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: before.run_key}), limit=1)
    if not runs:
        return None
    when = datetime.fromtimestamp(before.request.at, UTC)
    return f"asked for on {when:%Y-%m-%d %H:%M} UTC: run {runs[0].run_id[:8]}, {runs[0].status.value.lower()}"


def _write_down(instance: dg.DagsterInstance, wish: Wish, now: float) -> Asked:
    facts: dict[str, Any] = {"cause": wish.cause, "reason": wish.reason, "run_key": wish.run_key, "at": now}
    instance.report_runless_asset_event(dg.AssetObservation(REQUESTS, metadata=facts))
    return Asked(Request(wish.cause, now), wish.run_key)
