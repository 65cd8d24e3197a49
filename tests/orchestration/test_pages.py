"""The pages listen on loopback, on free ports, and end together."""

import dataclasses
import socket
import sys
from pathlib import Path

import pytest

from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import ConfigError, TickloopError
from orchestration import pages


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((pages.LOOPBACK, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    known = load_settings("dev")
    free = {key: _free_port() for key in ("dagster_port", "mlflow_port", "metrics_port")}
    ports = dataclasses.replace(known.orchestration, **free)
    return dataclasses.replace(known, paths=Paths(tmp_path), orchestration=ports)


def test_both_pages_listen_on_loopback_and_nowhere_else(settings: Settings) -> None:
    for command in pages.commands(settings).values():
        assert command[command.index("--host") + 1] == "127.0.0.1"


def test_a_registry_with_a_server_needs_no_page_of_ours(settings: Settings) -> None:
    there = dataclasses.replace(settings, registry=dataclasses.replace(settings.registry, url="http://mlflow:5000"))
    assert set(pages.commands(settings)) - set(pages.commands(there)) == {"mlflow"}


def test_a_taken_port_is_one_line_that_names_the_key(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind((pages.LOOPBACK, settings.orchestration.mlflow_port))
        other.listen()
        with pytest.raises(ConfigError, match=f"mlflow_port={settings.orchestration.mlflow_port} is taken"):
            pages.serve_pages(settings)


def test_a_page_that_ends_takes_the_other_with_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = settings.paths.var / "alive"
    waits = f"import pathlib, time; pathlib.Path({str(alive)!r}).touch(); time.sleep(600)"
    ends = f"import pathlib, time\nwhile not pathlib.Path({str(alive)!r}).exists(): time.sleep(0.01)"
    both = {"dagster": [sys.executable, "-c", waits], "mlflow": [sys.executable, "-c", ends]}
    monkeypatch.setattr(pages, "commands", lambda _: both)
    with pytest.raises(TickloopError, match="the page of mlflow ended by itself"):
        pages.serve_pages(settings)
    assert (settings.paths.mlflow / "mlflow.db").exists()
    assert (settings.paths.dagster / "dagster.yaml").exists()
