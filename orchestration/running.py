"""Drives the named jobs in order, in one process, on the instance that the UI shows; what is up to date is reused."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg
from dagster._utils.error import SerializableErrorInfo

from assets.aligned_events import aligned_events_inputs
from assets.backtests import backtests_inputs, report_exists
from assets.captures import capture_dates
from assets.evaluation import evaluation_inputs
from assets.features import features_inputs
from assets.labels import labels_inputs
from assets.models import bundles_intact, models_inputs
from assets.partitions import WHOLE, Part, day_key, slice_key, slices, symbols
from assets.promotion import pages_exist, promotion_inputs
from assets.raw_ticks import raw_ticks_inputs
from assets.registered_model import registered_model_inputs
from assets.resources import lake_of
from assets.search import search_inputs
from assets.tables import INPUTS, passed
from assets.walk_forward_slices import frame_slices, walk_forward_slices_inputs
from assets.warehouse import warehouse_events_inputs, warehouse_holds
from config.settings import Settings
from market.errors import TickloopError
from orchestration.definitions import build_definitions
from orchestration.instance import (
    CHAIN_TAG,
    REPOSITORY_TAGS,
    dagster_interrupts,
    database_faults,
    end_interrupted_runs,
    interrupted,
    sole_driver,
)
from orchestration.progress import Progress, Underway, step_logger
from storage.lake import Lake
from storage.progress import LastLine

Inputs = Callable[[Settings, Lake, Part], str]

DATA: Final[dict[str, Inputs]] = {
    "raw_ticks": raw_ticks_inputs,
    "aligned_events": aligned_events_inputs,
    "features": features_inputs,
    "labels": labels_inputs,
}
WAREHOUSE: Final[dict[str, Inputs]] = {"warehouse_events": warehouse_events_inputs}
SLICES: Final[dict[str, Inputs]] = {"walk_forward_slices": walk_forward_slices_inputs}
MODELS: Final[dict[str, Inputs]] = {
    "search": search_inputs,
    "models": models_inputs,
    "backtests": backtests_inputs,
    "evaluation": evaluation_inputs,
}
REGISTRY: Final[dict[str, Inputs]] = {"registered_model": registered_model_inputs, "promotion": promotion_inputs}
FILES_INTACT: Final[dict[str, Callable[[Settings, Lake, Part], bool]]] = {  # what a stage leaves outside the lake
    "models": bundles_intact,
    "backtests": report_exists,
    "warehouse_events": warehouse_holds,
    "promotion": pages_exist,
}


@dataclass
class ChainReport:
    """Which tables were made and which were found up to date, as ``table symbol key``."""

    made: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)


def run_chain(
    settings: Settings, instance: dg.DagsterInstance, progress: Progress, underway: Underway | None = None
) -> ChainReport:
    """Bring every table from raw ticks to the registered model up to date.

    underway : shows which part of how many it is at; on stderr's last line unless given
    Raises TickloopError, one line that names the step, if a job fails or another process is driving the chain.
    """
    with sole_driver(settings.paths.dagster):
        chain = Chain(settings, instance, progress, underway or Underway(LastLine()))
        chain.clean_up()
        chain.run()
    return chain.report


class Chain:
    """One drive through all jobs."""

    def __init__(
        self, settings: Settings, instance: dg.DagsterInstance, progress: Progress, underway: Underway
    ) -> None:
        self.settings, self.instance, self.underway = settings, instance, underway
        self.progress = underway.above(progress)
        self.lake = lake_of(settings)
        self.report = ChainReport()
        self._definitions = build_definitions(settings, {"steps": step_logger(self.progress, underway.say)})

    def clean_up(self) -> None:
        """Remove what a killed run left behind: half-written files, and runs that still seem to be going on."""
        files, runs = self.lake.sweep(), end_interrupted_runs(self.instance)
        if files or runs:
            self.progress(f"an earlier run was interrupted: swept {files} files, closed {runs} runs")

    def run(self) -> None:
        """All jobs, all symbols."""
        self.instance.add_dynamic_partitions(symbols.name, list(self.settings.data.symbols))
        try:
            for symbol in self.settings.data.symbols:
                self._run_symbol(symbol)
            self._bring_up_to_date("registry", REGISTRY, Part(WHOLE, WHOLE), None)
        finally:
            self.underway.clear()

    def _each(self, what: str, symbol: str, parts: Sequence[Part]) -> Iterator[Part]:
        """Parts of a symbol, one by one, told to whoever waits."""
        chosen = self.settings.data.symbols
        before = f"symbol {chosen.index(symbol) + 1} of {len(chosen)}, " if len(chosen) > 1 else ""
        return self.underway.each(f"{before}{what}", parts, lambda: len(self.report.made))

    def _run_symbol(self, symbol: str) -> None:
        dates = [Part(symbol, date) for date in capture_dates(self.settings, symbol)]
        for part in self._each("day", symbol, dates):
            self._bring_up_to_date("data", DATA, part, day_key(part))
        # the last labels of a day look into the day after, which is here only now
        for part in self._each("labels of day", symbol, dates):
            self._bring_up_to_date("data", {"labels": labels_inputs}, part, day_key(part), again=True)
        for part in self._each("warehouse day", symbol, dates) if self.settings.warehouse.enabled else ():
            self._bring_up_to_date("data", WAREHOUSE, part, day_key(part))
        self._bring_up_to_date("slices", SLICES, Part(symbol, WHOLE), symbol)
        pieces = frame_slices(self.lake.scan("walk_forward_slices", symbol, [WHOLE]).collect())
        self.instance.add_dynamic_partitions(slices.name, [piece.key for piece in pieces])
        for part in self._each("slice", symbol, [Part(symbol, piece.key) for piece in pieces]):
            self._bring_up_to_date("training", MODELS, part, slice_key(part))

    def _bring_up_to_date(
        self, job: str, stages: dict[str, Inputs], part: Part, key: str | None, *, again: bool = False
    ) -> None:
        stale = stale_stages(self.settings, self.lake, stages, part)
        if not again:
            self.report.reused += [_title(name, part) for name in stages if name not in stale]
        if not stale:
            if not again:
                self.progress(f"{_title(job, part)}: up to date")
            return
        self.progress(f"{_title(job, part)}: {', '.join(stale)}")
        start = time.monotonic()
        self._execute(job, stale, key)
        self.progress(f"{_title(job, part)}: done in {time.monotonic() - start:.1f} s")
        self.report.made += [_title(name, part) for name in stale]

    def _execute(self, job: str, stages: Sequence[str], key: str | None) -> None:
        with dagster_interrupts(), database_faults(self.settings.paths.dagster):
            result = self._definitions.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                partition_key=key,
                asset_selection=[dg.AssetKey(name) for name in stages],
                run_config={"loggers": {"steps": {}}},
                tags={CHAIN_TAG: "yes", **REPOSITORY_TAGS},
                raise_on_error=False,
            )
        if interrupted(result):
            raise KeyboardInterrupt
        if not result.success:
            raise TickloopError(failure_line(job, result))


def stale_stages(settings: Settings, lake: Lake, stages: dict[str, Inputs], part: Part) -> list[str]:
    """The stages that have to run: from the first that is missing, torn, refused, or made from something else."""
    for place, (name, inputs_of) in enumerate(stages.items()):
        if not up_to_date(settings, lake, name, inputs_of, part):
            return list(stages)[place:]
    return []


def up_to_date(settings: Settings, lake: Lake, name: str, inputs_of: Inputs, part: Part) -> bool:
    """Whether a stage's partition, and what the stage leaves beside the lake, is whole and made from today's inputs."""
    manifest = passed(lake, name, part)
    if manifest is None or manifest.metadata.get(INPUTS) != inputs_of(settings, lake, part):
        return False
    return name not in FILES_INTACT or FILES_INTACT[name](settings, lake, part)


def failure_line(job: str, result: dg.ExecuteInProcessResult) -> str:
    """What went wrong in a run, in one line: the step, and the reason of the step or the checks that did not pass."""
    refused = [check for check in result.get_asset_check_evaluations() if check.blocking and not check.passed]
    if refused:
        checks = "; ".join(f"{check.check_name} ({_facts(check)})" for check in refused)
        return f"{job}: {refused[0].asset_key.to_user_string()} did not pass its checks: {checks}"
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            return f"{job}: {event.step_key}: {_reason(event.step_failure_data.error)}"
    return f"{job} failed before its first step; see the run in the UI"


def _reason(error: SerializableErrorInfo | None) -> str:
    """First line of our own error, which Dagster wraps and which may wrap the system's."""
    while error is not None and (error.cls_name or "").startswith("Dagster") and error.cause is not None:
        error = error.cause
    return _first_line(error.message) if error else "no reason was recorded"


def _facts(check: dg.AssetCheckEvaluation) -> str:
    values = {name: value.value for name, value in check.metadata.items() if not _is_page(value)}
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _is_page(value: object) -> bool:
    return isinstance(value, dg.MarkdownMetadataValue)


def _first_line(message: str) -> str:
    kind, _, text = message.strip().partition(": ")
    return (text or kind).splitlines()[0]


def _title(name: str, part: Part) -> str:
    return " ".join([name, *(word for word in part if word != WHOLE)])
