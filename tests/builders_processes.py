"""Venue and runner as processes of their own, started from the command line as a person would."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from market.sources.capture import capture_line
from storage.captures import capture_lines
from tests.builders import recording
from tests.builders_runner import START, synthetic_frames

ROOT: Final = Path(__file__).parents[1]
SYMBOL: Final = "binance-coinm-btcusd_perp"
PATIENCE_S: Final = 240.0  # a cold cache of kernels on a loaded machine takes minutes
SETTINGS: Final = """extends: dev
data: {{sources: {{binance-coinm-btcusd_perp: {source}}}}}
features: {{normalizer_min_samples: 2}}
trading: {{routing: {{max_decision_lag_ms: 1000}}}}
live: {{ws_url: "ws://127.0.0.1:{ws}", rest_url: "http://127.0.0.1:{rest}", api_port: {api}, venue_patience_s: {wait},
  snapshot_min: 0.02}}
"""


def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fails after a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


class Process:
    """A command of ``main.py``, its output in a file, and what it wrote when it was ready."""

    def __init__(self, folder: Path, name: str, arguments: list[str], **environment: str) -> None:
        self.log = folder / f"{name}.log"
        self._ready = folder / f"{name}.json"
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, "main.py", "--config", str(folder / "settings.yaml"), *arguments]
        with self.log.open("w") as log:
            self.popen = subprocess.Popen(
                [*command, *(["--ready-file", str(self._ready)] if arguments[0] != "parity" else [])],
                cwd=ROOT,
                env={**os.environ, "TICKLOOP_VAR": str(folder / "var"), **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> dict[str, Any]:
        """Ports and pid, once it listens."""
        until(lambda: self._ready.exists() or self.popen.poll() is not None)
        assert self._ready.exists(), self.log.read_text()
        content: dict[str, Any] = json.loads(self._ready.read_text())
        return content

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Exit status after a signal."""
        self.popen.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Exit status once it has ended."""
        return self.popen.wait(PATIENCE_S)

    def lines(self) -> list[str]:
        """What it has printed so far."""
        return self.log.read_text().splitlines()


@contextmanager
def ended_at_last(process: Process) -> Iterator[Process]:
    """The process, killed when the test is over."""
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.end(signal.SIGKILL)


def settings_file(folder: Path, ws: int = 1, rest: int = 1, api: int = 0, wait: float = 30, **more: object) -> None:
    """Settings whose symbol plays the tape in ``folder``, and whose runner trades at these ports."""
    source = more.get("source", folder / "tape")
    content = SETTINGS.format(source=json.dumps(source, default=str), ws=ws, rest=rest, api=api, wait=wait)
    (folder / "settings.yaml").write_text(content)


def synthetic_tape(folder: Path, seconds: float) -> None:
    """A capture of the simulator as the symbol's source."""
    (folder / "tape").mkdir()
    lines = [capture_line(ts, frame) for ts, frame in synthetic_frames(seconds)]
    (folder / "tape" / "btcusd_perp_20240809.txt").write_bytes(b"".join(lines))


def venue_process(folder: Path, start: str = str(START + 500_000_000), *more: str, **environment: str) -> Process:
    """A replay venue on free ports, and settings that point at it."""
    settings_file(folder)
    arguments = ["exchange", "--symbol", SYMBOL, "--start", start, *more]
    return Process(folder, "venue", [*arguments, "--ws-port", "0", "--rest-port", "0"], **environment)


def journal_of(folder: Path) -> Path:
    """Where the runner of a folder keeps its journal."""
    return folder / "var" / "live" / SYMBOL / "journal"


def runner_at(folder: Path, venue: Process, name: str = "runner", *more: str) -> Process:
    """A runner that trades at a venue."""
    ports = venue.ready()
    settings_file(folder, ports["ws_port"], ports["rest_port"])
    return Process(folder, name, ["live", *more])


def first_lines(folder: Path, count: int) -> Path:
    """A folder that holds the first lines of a real capture as a symbol's source, under ``tape``."""
    (folder / "tape").mkdir()
    lines = capture_lines(recording("binance/coinm/btcusd_perp_20240808.gz"))
    with gzip.open(folder / "tape" / "btcusd_perp_20240808.gz", "wb", compresslevel=1) as file:
        file.writelines(islice(lines, count))
    return folder
