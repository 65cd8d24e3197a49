"""An interrupt inside a step ends the chain as an interrupt, and a full disk under Dagster is one clear line."""

import dataclasses
import logging
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy.exc
from dagster._core.errors import DagsterExecutionInterruptedError

from config.loading import load_settings
from config.settings import Paths
from market.errors import TickloopError
from orchestration import running
from orchestration.instance import open_instance
from orchestration.progress import Underway
from storage.progress import LastLine

FULL = sqlite3.OperationalError("database or disk is full")
BOTH = [FULL, sqlalchemy.exc.OperationalError("INSERT INTO event_logs\nVALUES (?)", {}, FULL)]


class _Job:
    """In the place of a job and of the definitions that hold it."""

    def __init__(self, fault: BaseException) -> None:
        self.fault = fault

    def resolve_job_def(self, _: str) -> "_Job":
        return self

    def execute_in_process(self, **_: object) -> None:
        raise self.fault


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Executes the stage ``broken`` of the definitions that it is given."""
    settings = dataclasses.replace(load_settings("dev"), paths=Paths(tmp_path))
    with open_instance(settings.paths.dagster) as instance:

        def run(definitions: dg.Definitions | _Job) -> None:
            monkeypatch.setattr(running, "build_definitions", lambda *_: definitions)
            running.Chain(settings, instance, lambda _: None, Underway(LastLine()))._execute("data", ["broken"], None)

        yield run


def _definitions(act: Callable[[], None]) -> dg.Definitions:
    @dg.asset
    def broken() -> None:
        act()

    @dg.logger
    def silent(_: dg.InitLoggerContext) -> Any:
        return logging.getLogger("silent")

    loggers: Mapping[str, dg.LoggerDefinition] = {"steps": silent}
    return dg.Definitions([broken], jobs=[dg.define_asset_job("data", [broken])], loggers=loggers)


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("act", [_interrupt, lambda: os.kill(os.getpid(), signal.SIGINT)])
def test_an_interrupt_inside_a_step_is_an_interrupt(execute: Callable[[Any], None], act: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        execute(_definitions(act))


def test_dagsters_own_interrupt_is_an_interrupt(execute: Callable[[Any], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        execute(_Job(DagsterExecutionInterruptedError()))


@pytest.mark.parametrize("fault", BOTH)
def test_a_full_disk_under_a_run_is_one_line(execute: Callable[[Any], None], fault: Exception) -> None:
    with pytest.raises(TickloopError, match=r"^Dagster cannot use .*dagster: database or disk is full$"):
        execute(_Job(fault))


@pytest.mark.parametrize("fault", BOTH)
def test_a_full_disk_under_a_new_home_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(_: str) -> None:
        raise fault

    monkeypatch.setattr(dg.DagsterInstance, "from_config", refuse)
    refused = pytest.raises(TickloopError, match=r"^Dagster cannot use .*dagster: database or disk is full$")
    with refused, open_instance(tmp_path / "dagster"):
        pass
