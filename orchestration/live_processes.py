"""The venue and the runner of the demo as processes of their own, which end with us however we end."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from config.settings import Settings
from market.errors import VenueError
from market.kernel_cache import ROOT

READY_S: Final = 240.0  # a cold start compiles every kernel of the live path
STOP_S: Final = 15.0  # from SIGTERM to SIGKILL
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Child:
    """A process that has said that it is ready."""

    process: subprocess.Popen[bytes]
    said: dict[str, Any]  # its ready file
    log: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def require_good_end(self) -> None:
        """Raise VenueError with its last line unless it has ended with status 0."""
        if self.process.poll() != 0:
            raise VenueError(f"{self.log.stem} ended with status {self.process.poll()}: {last_line(self.log)}")


@contextlib.contextmanager
def started(name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Child]:
    """``main.py`` with a settings file of ``folder``, from when it is ready until the block ends.

    Raises VenueError with its last line if it ends before it is ready, or is not ready in time.
    """
    ready, log = folder / f"{name}.ready.json", folder / f"{name}.log"
    command = [sys.executable, str(ROOT / "main.py"), "--config", str(folder / f"{name}.yaml"), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--tethered", "--ready-file", str(ready)],
            stdin=subprocess.PIPE,  # closes when we are gone, and with it the child
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
        )
    try:
        yield Child(process, _when_ready(process, ready, log), log)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process: ask first, and insist after a while."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()


def settings_file(settings: Settings, path: Path) -> None:
    """All settings but the paths, for a child to read."""
    content = asdict(settings)
    del content["paths"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False))  # JSON has no tuples


def last_line(log: Path) -> str:
    """What a process said last."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _when_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + READY_S
    while not ready.exists():
        if process.poll() is not None:
            raise VenueError(f"{log.stem} ended before it was ready: {last_line(log)}")
        if time.monotonic() > deadline:
            raise VenueError(f"{log.stem} was not ready within {READY_S:g} s; {log} holds what it said")
        time.sleep(POLL_S)
    said: dict[str, Any] = json.loads(ready.read_text())
    return said
