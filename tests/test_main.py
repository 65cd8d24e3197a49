"""A person at the command line sees one line and an exit status, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.refusals import refusals_in
from config.settings import Paths
from tests.builders import recording

ROOT = Path(__file__).parents[1]
NAME = "binance/coinm/btcusd_perp_20240808.gz"


def _run(*arguments: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    command = [sys.executable, "main.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def _assert_one_line(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.startswith("tickloop: ")
    assert len(done.stderr.splitlines()) == 1


def test_fetch_without_a_name_lists_the_catalogue() -> None:
    done = _run("fetch")
    assert done.returncode == 0
    assert NAME in done.stdout
    assert "MIT" in done.stdout


def test_fetch_puts_a_recording_below_var_and_says_where(tmp_path: Path) -> None:
    source = recording(NAME)
    done = _run("fetch", NAME, TICKLOOP_VAR=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == source.read_bytes()


def test_a_recording_that_nobody_knows_is_one_line(tmp_path: Path) -> None:
    _assert_one_line(_run("fetch", "binance/nothing.gz", TICKLOOP_VAR=tmp_path), "no recording 'binance/nothing.gz'")


@pytest.mark.parametrize(
    ("text", "said"),
    [("extends: dev\nfeature: {}\n", "did you mean features?"), ("extends: dev\ndata: {symbols: [x]}\n", "names x")],
)
def test_a_wrong_configuration_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    _assert_one_line(_run("--config", tmp_path / "own.yaml", "fetch"), said)


def test_a_start_that_is_refused_for_a_secret_is_one_line_and_counted(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("extends: dev\nlive: {orders: {api_key: abc123}}\n")
    for _ in range(2):
        done = _run("--config", tmp_path / "own.yaml", "live", TICKLOOP_VAR=tmp_path / "var")
        _assert_one_line(done, "api_key is a secret; secrets come from the environment or .env, never from YAML")
        assert "abc123" not in done.stderr
    assert refusals_in(Paths(tmp_path / "var").refused_starts) == {"secret in YAML": 2}


@pytest.mark.parametrize("name", ["READ_TOKEN", "DEPLOY_TOKEN", "DEPLOY_KEY", "KILL_TOKEN", "METRICS_TOKEN"])
def test_a_short_token_is_refused_in_one_line_and_counted(tmp_path: Path, name: str) -> None:
    for told in ("planted", "p", "plantéd"):
        done = _run("live", TICKLOOP_VAR=tmp_path, **{f"TICKLOOP_{name}": told})
        _assert_one_line(done, f"TICKLOOP_{name} has {len(told)} characters; 8 are the fewest")
        assert told == "p" or told not in done.stderr
    assert refusals_in(Paths(tmp_path).refused_starts) == {"short secret": 3}


def test_an_unknown_profile_is_one_line() -> None:
    _assert_one_line(_run("fetch", APP_ENV="staging"), "APP_ENV='staging' is not one of dev, prod")


def test_a_profile_against_a_contrary_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("extends: dev\n")
    done = _run("--config", tmp_path / "own.yaml", "live", "--profile", "prod")
    _assert_one_line(done, "own.yaml is laid over dev, and the profile that was asked for is prod")
