"""The Dagster instance under ``var/dagster``: what the chain runs on, and what the UI shows."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dagster as dg
import sqlalchemy.exc
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.objects import ErrorSource

from market.errors import TickloopError
from storage.files import locked

CHAIN_TAG: Final = "tickloop/chain"  # on every run that run_chain starts
REPOSITORY_TAGS: Final = {".dagster/repository": "__repository__@tickloop"}  # by which the UI's job pages find runs
SETTINGS: Final = """\
# Written by tickloop when the folder is created; yours to change from then on.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1  # a day starts from the closing state of the day before
retention:
  sensor:
    purge_after_days: {skipped: 7, failure: 30, success: 90}
  schedule:
    purge_after_days: 90
"""


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a home folder, created whole under a lock when it is new.

    Raises TickloopError if the disk does not take it.
    """
    try:
        with database_faults(home), locked(home.with_name(f".{home.name}.lock")):
            _create(home)
    except OSError as error:
        raise TickloopError(f"cannot create Dagster's home {home}: {os.strerror(error.errno or 0)}") from error
    with database_faults(home), dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@contextmanager
def database_faults(home: Path) -> Iterator[None]:
    """Raises TickloopError, one line, where SQLite under Dagster's home refuses the work: the disk is full, say."""
    try:
        yield
    except (sqlalchemy.exc.OperationalError, sqlite3.OperationalError) as error:
        reason = error.orig if isinstance(error, sqlalchemy.exc.OperationalError) else error
        raise TickloopError(f"Dagster cannot use its database under {home}: {reason}") from error


@contextmanager
def dagster_interrupts() -> Iterator[None]:
    """Raises KeyboardInterrupt where Dagster raises its own error for an interrupt or a request to end."""
    try:
        yield
    except DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error


def interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a step of the run ended by an interrupt or a request to end; Dagster reports it as failed."""
    failures = (event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE)
    return any(event.step_failure_data.error_source == ErrorSource.INTERRUPT for event in failures)


@contextmanager
def sole_driver(home: Path) -> Iterator[None]:
    """Hold the right to drive the chain. Raises TickloopError if another process is driving it."""
    busy = TickloopError(f"another process is running the chain on {home}; wait for it, or stop it")
    with locked(home.with_name(f".{home.name}.driver.lock"), busy=busy):
        yield


def end_interrupted_runs(instance: dg.DagsterInstance) -> int:
    """Report the runs that a killed driver left started as failed; returns how many they were. Call as sole driver."""
    unfinished = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    left = instance.get_runs(dg.RunsFilter(statuses=unfinished, tags={CHAIN_TAG: "yes"}))
    for run in left:
        instance.report_run_failed(run, "the process that drove this run ended before the run did")
    return len(left)


def _create(home: Path) -> None:
    if home.exists():
        return
    half_made = home.with_name(f".{home.name}.tmp")
    shutil.rmtree(half_made, ignore_errors=True)
    half_made.mkdir(parents=True)
    (half_made / "dagster.yaml").write_text(SETTINGS)
    with dg.DagsterInstance.from_config(str(half_made)) as instance:
        instance.get_runs_count()
    half_made.rename(home)
