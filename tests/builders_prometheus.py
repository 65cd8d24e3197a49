"""A real Prometheus and its promtool: a database of its own on a free port, gone when the test is over."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from tests.builders_processes import until

ROOT: Final = Path(__file__).parents[1]
DEPLOY: Final = ROOT / "deploy"


def program(name: str) -> str:
    """Path of a program of Debian's package ``prometheus``.

    Skips the test without it; fails it where ``TICKLOOP_REQUIRE_SERVICES=1``.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    missing = f"{name} is not installed; it comes with Debian's package prometheus"
    if os.environ.get("TICKLOOP_REQUIRE_SERVICES") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


class Prometheus:
    """Questions to a running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query; fails on an expression that Prometheus refuses."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def healthy_targets(self) -> set[str]:
        """Jobs whose newest scrape went well."""
        targets = httpx.get(f"{self.url}/api/v1/targets").json()["data"]["activeTargets"]
        return {target["labels"]["job"] for target in targets if target["health"] == "up"}

    def rules(self) -> dict[str, str]:
        """Health of each alert rule after its newest evaluation."""
        groups = httpx.get(f"{self.url}/api/v1/rules").json()["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


@contextmanager
def prometheus(folder: Path, ports: Mapping[str, int]) -> Iterator[Prometheus]:
    """A server under our own configuration, with the ports of this run and a scrape a second."""
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / "*.yml")]
    for job in config["scrape_configs"]:
        job.pop("scrape_interval", None)
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = _free_port()
    options = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder / 'tsdb'}", "--log.level=error"]
    server = subprocess.Popen([program("prometheus"), f"--config.file={folder / 'prometheus.yml'}", *options])
    try:
        until(lambda: _ready(port))
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait()


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
