"""The process that compiles beside the chain: it goes when the chain goes, and says so when it could not."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from config.loading import load_settings
from config.settings import Settings
from orchestration import compiling
from orchestration.compiling import compiled_ahead
from tests.builders_processes import until

WAITS = """
import os, pathlib, sys
pathlib.Path(sys.argv[2]).with_name("pid").write_text(str(os.getpid()))
print("waiting", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load_settings()
    return replace(found, paths=replace(found.paths, var=tmp_path))


def _program(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    (folder / "main.py").write_text(source)
    monkeypatch.setattr(compiling, "ROOT", folder)


def test_one_that_is_still_at_it_ends_with_the_chain(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(monkeypatch, tmp_path, WAITS)
    said: list[str] = []
    with compiled_ahead(settings, said.append):
        until(lambda: "waiting" in (settings.paths.dagster / "kernels" / "kernels.log").read_text())
        pid = int((settings.paths.dagster / "kernels" / "pid").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert said == []


def test_one_that_could_not_compile_is_reported_in_a_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(monkeypatch, tmp_path, "raise SystemExit('no compiler')")
    said: list[str] = []
    with compiled_ahead(settings, said.append) as process:
        process.wait(60)
    assert said == ["kernels were not compiled ahead, status 1: no compiler"]
