"""A kernel is never taken from a cache that other sources filled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from market.kernel_cache import ROOT, kernel_sha, kernel_sources, use_kernel_cache, var_folder

CODE = "import {first}, {second}; from numba import config; print(config.CACHE_DIR)"


def _rooms(root: Path) -> None:
    (root / "market").mkdir()
    (root / "market" / "codes.py").write_text("BUY = 1\n")
    (root / "market" / "book.py").write_text("from numba import njit\nfrom market.codes import BUY\n")
    (root / "market" / "schema.py").write_text("import polars\n")


def test_the_sha_follows_kernels_and_the_constants_that_they_freeze(tmp_path: Path) -> None:
    _rooms(tmp_path)
    before = kernel_sha(tmp_path)
    (tmp_path / "market" / "codes.py").write_text("BUY = 2\n")
    changed = kernel_sha(tmp_path)
    (tmp_path / "market" / "schema.py").write_text("import pyarrow\n")
    assert before != changed == kernel_sha(tmp_path)


def test_kernel_sources_are_found_in_the_rooms() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in kernel_sources()}
    assert {"market/book.py", "market/events.py"} <= names


@pytest.mark.parametrize("order", [("market", "numba"), ("numba", "market")])
def test_numba_writes_to_our_folder_whoever_comes_first(order: tuple[str, str], tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    code = CODE.format(first=order[0], second=order[1])
    environment["TICKLOOP_VAR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "numba" / kernel_sha())


def test_a_folder_named_in_the_environment_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ["NUMBA_CACHE_DIR"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", folder)
    assert use_kernel_cache() == folder


def test_what_the_program_writes_may_lie_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKLOOP_VAR", str(tmp_path))
    assert var_folder() == tmp_path
    monkeypatch.delenv("TICKLOOP_VAR")
    assert var_folder() == ROOT / "var"
