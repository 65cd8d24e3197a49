"""Dagster's and MLflow's own pages and research's metrics, on loopback only, because none has a login."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

from assets.resources import lake_of, registry_of
from config.settings import Settings
from market.errors import ConfigError, TickloopError
from market.kernel_cache import ROOT
from orchestration.exporter import metrics_page
from orchestration.failures import failures_file
from orchestration.instance import open_instance
from storage.registry import create_database

LOOPBACK: Final = "127.0.0.1"
POLL_S: Final = 0.5
STOP_S: Final = 10.0  # seconds that a page has to end before it is killed


def commands(settings: Settings) -> dict[str, list[str]]:
    """The command of each page, by the name of its server; a registry that has a server needs none of ours."""
    ports = settings.orchestration
    workspace = str(ROOT / "workspace.yaml")
    dagster = [sys.executable, "-m", "dagster", "dev", *_listen(ports.dagster_port), "--workspace", workspace]
    if settings.registry.url:
        return {"dagster": dagster}
    store = ["--backend-store-uri", registry_of(settings).uri, "--workers", "1"]
    return {
        "dagster": dagster,
        "mlflow": [sys.executable, "-m", "mlflow", "server", *_listen(ports.mlflow_port), *store],
    }


def serve_pages(settings: Settings) -> None:
    """Serve both pages, and the metrics, until one page ends or the caller is interrupted; then end both.

    Raises ConfigError if a port is taken, TickloopError if a page ends by itself.
    """
    for key in ("dagster_port", "mlflow_port", "metrics_port"):
        _require_free(key, getattr(settings.orchestration, key))
    with open_instance(settings.paths.dagster):  # creates the home
        if not settings.registry.url:
            create_database(settings.paths.mlflow / "mlflow.db")
    with contextlib.ExitStack() as running:
        running.enter_context(_metrics_of(settings))
        pages = {
            name: running.enter_context(_running(command, settings)) for name, command in commands(settings).items()
        }
        while not (ended := [name for name, page in pages.items() if page.poll() is not None]):
            time.sleep(POLL_S)
    raise TickloopError(f"the page of {ended[0]} ended by itself; its last lines say why")


def serve_metrics(settings: Settings) -> None:
    """Serve research's metrics alone, until the caller is interrupted. Raises ConfigError if the port is taken."""
    _require_free("metrics_port", settings.orchestration.metrics_port)
    with _metrics_of(settings):
        signal.pause()


def _metrics_of(settings: Settings) -> contextlib.AbstractContextManager[int]:
    port = settings.orchestration.metrics_port
    return metrics_page(lake_of(settings), failures_file(settings), settings.live.symbol, LOOPBACK, port)


@contextlib.contextmanager
def _running(command: list[str], settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A page in a process group of its own: its server starts others, and all of them have to end with it."""
    ours = {"DAGSTER_HOME": str(settings.paths.dagster.resolve()), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    page = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ours}, start_new_session=True)
    try:
        yield page
    finally:
        _signal(page.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            page.wait(STOP_S)
        _signal(page.pid, signal.SIGKILL)
        page.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of them have ended
        os.killpg(group, number)


def _listen(port: int) -> list[str]:
    return ["--host", LOOPBACK, "--port", str(port)]


def _require_free(key: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as taken:
            raise ConfigError(f"orchestration.{key}={port} is taken; choose another") from taken
