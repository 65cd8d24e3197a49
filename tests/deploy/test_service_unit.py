"""The runner's systemd unit: what systemd itself says of it, and that it starts our command with our variables."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from commands.line import command_line
from live.lines import secrets_from

ROOT: Final = Path(__file__).parents[2]
UNIT: Final = ROOT / "deploy" / "systemd" / "tickloop-runner.service"
MOST_EXPOSED: Final = 2.0  # of 10, as systemd-analyze security counts


class _Lines(configparser.RawConfigParser):
    """A unit file; of a key that stands twice the last counts here."""

    optionxform = staticmethod(str)  # type: ignore[assignment]


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    """The [Service] section."""
    unit = _Lines(strict=False)
    unit.read(UNIT)
    return unit["Service"]


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says. Skips the test without it; fails it where TICKLOOP_REQUIRE_SERVICES=1."""
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("TICKLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail("no systemd-analyze; apt-get install systemd")
        pytest.skip("no systemd-analyze; apt-get install systemd")
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True)


def test_systemd_takes_every_line_of_it(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("ExecStart=/opt/tickloop/.venv/bin/python", f"ExecStart={sys.executable}")
    (tmp_path / UNIT.name).write_text(text.replace("file:/opt/tickloop/", f"file:{ROOT}/"))
    done = analyze("verify", "--man=no", tmp_path / UNIT.name)
    ours = [line for line in done.stderr.splitlines() if "tickloop" in line]
    assert (done.returncode, ours) == (0, [])
    (tmp_path / UNIT.name).write_text(text + "Restrat=always\n")
    assert "Restrat" in analyze("verify", "--man=no", tmp_path / UNIT.name).stderr


def test_little_of_the_machine_is_open_to_it() -> None:
    done = analyze("security", "--offline=true", f"--threshold={round(10 * MOST_EXPOSED)}", UNIT)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_it_starts_our_command_without_root_and_comes_back(service: configparser.SectionProxy) -> None:
    python, main, *words = service["ExecStart"].split()
    assert (python, main) == (f"{service['WorkingDirectory']}/.venv/bin/python", "main.py")
    arguments = command_line().parse_args(words)
    assert (arguments.command.__name__, arguments.profile) == ("live", "prod")
    assert service["User"] == service["Group"] == "tickloop"
    assert service["Restart"] == "on-failure"
    assert service["StateDirectory"] == "tickloop"
    assert "TICKLOOP_VAR=/var/lib/tickloop" in service["Environment"].split()


def test_its_keys_come_from_files_that_hold_the_names_we_read(service: configparser.SectionProxy) -> None:
    example = (UNIT.parent / "runner.env.example").read_text().splitlines()
    values = {line.removesuffix("="): "set to this" for line in example if not line.startswith("#")}
    assert all(vars_of(secrets_from(values)))
    named = [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith("EnvironmentFile=")]
    assert named == ["/etc/tickloop/runner.env", "-/etc/tickloop/live.env"]


def vars_of(secrets: object) -> list[object]:
    """Every secret of a runner."""
    return [
        getattr(secrets, name) for name in ("read_token", "deploy_token", "deploy_key", "kill_token", "metrics_token")
    ]
