"""The demo's live half as a person runs it: 120 real seconds at their own speed, a kill on the way, and once more."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import recording

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
DAYS = ("binance/coinm/btcusd_perp_20240808.gz", "binance/coinm/btcusd_perp_20240809.gz")
CHAIN_AND_REPLAY_S = 900.0
FILLS = 50


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in DAYS:
        recording(name)
    return tmp_path_factory.mktemp("var")


def _demo(var: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "TICKLOOP_VAR": str(var)}
    command = [sys.executable, "main.py", "demo"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _lines(demo: "subprocess.Popen[str]") -> Iterator[str]:
    assert demo.stdout is not None
    yield from demo.stdout


def _children(var: Path) -> list[int]:
    """Processes whose command line names a settings file of this run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:  # it has just ended
                continue
            if str(var / "live").encode() in command:
                found.append(int(entry.name))
    return found


def test_a_demo_killed_while_it_trades_leaves_no_process_behind(var: Path) -> None:
    demo = _demo(var)
    for line in _lines(demo):
        if "fills:" in line:
            break
    assert len(_children(var)) == 2
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    deadline = time.monotonic() + 30
    while _children(var) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _children(var) == []


def test_the_demo_after_it_trades_with_the_approved_bundle_and_parity_is_exact(var: Path) -> None:
    demo = _demo(var)
    said, _ = demo.communicate(timeout=CHAIN_AND_REPLAY_S)
    assert demo.returncode == 0, said[-2000:]
    assert said.count("equal bit for bit") == 2
    [fills] = [line for line in said.splitlines() if "lost by sequence" in line]
    assert "lost by sequence 0" in fills
    assert int(fills.split("probe ")[1].split(")")[0].split(",")[0]) >= FILLS
    [champion] = [line.split()[-1] for line in said.splitlines() if line.startswith("  champion")]
    assert f"the runner answered with bundle {champion}" in said
    assert _children(var) == []
    journals = list((var / "live").glob("*/journal"))
    parity = subprocess.run([sys.executable, "main.py", "parity", str(journals[0])], cwd=ROOT, capture_output=True)
    assert parity.returncode == 0, parity.stderr
