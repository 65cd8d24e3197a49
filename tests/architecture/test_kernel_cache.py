"""A kernel is never taken from a cache that other sources filled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from market.kernel_cache import ROOT, cache_folder, kernel_sha, kernel_sources, reachable, use_kernel_cache, var_folder

CODE = """
import {first}, {second}
from market.book import quantity
print(quantity.stats.cache_path)
"""


def _rooms(root: Path) -> None:
    (root / "market").mkdir()
    (root / "market" / "codes.py").write_text("BUY = 1\n")
    (root / "market" / "sizes.py").write_text("LOT = 1\n")
    (root / "market" / "book.py").write_text("from numba import njit\nfrom market.codes import BUY\n")
    (root / "market" / "touch.py").write_text(
        "import numba\nfrom market import (\n    book as ladder,\n    sizes,\n)\n"
    )
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


def test_a_file_reaches_what_its_imports_import(tmp_path: Path) -> None:
    _rooms(tmp_path)
    found = reachable(tmp_path, [tmp_path / "market" / "touch.py"])
    assert [path.stem for path in found] == ["book", "codes", "sizes", "touch"]


def test_an_edit_moves_the_folders_of_the_files_that_reach_it_alone(tmp_path: Path) -> None:
    _rooms(tmp_path)

    def folders() -> list[str]:
        cache_folder.cache_clear()
        return [cache_folder(tmp_path / "market" / f"{name}.py", tmp_path) for name in ("book", "touch")]

    book, touch = folders()
    (tmp_path / "market" / "sizes.py").write_text("LOT = 2\n")
    assert folders()[0] == book
    assert folders()[1] != touch
    (tmp_path / "market" / "codes.py").write_text("BUY = 2\n")
    assert folders()[0] != book


@pytest.mark.parametrize("order", [("market", "numba"), ("numba", "market")])
def test_numba_keeps_our_kernels_in_our_folder_whoever_comes_first(order: tuple[str, str], tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_CACHE")}
    code = CODE.format(first=order[0], second=order[1])
    environment["TICKLOOP_VAR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "numba" / cache_folder(ROOT / "market" / "book.py")), done.stderr


def test_an_edit_behind_an_import_is_compiled_in_though_the_caller_is_cached(tmp_path: Path) -> None:
    market, environment = tmp_path / "market", {**os.environ, "TICKLOOP_VAR": str(tmp_path), "PYTHONPATH": ""}
    market.mkdir()
    for name in ("__init__.py", "kernel_cache.py"):
        (market / name).write_text((ROOT / "market" / name).read_text())
    kernel = "from numba import njit\n{imported}\n@njit(cache=True)\ndef {name}():\n    return {value}\n"
    (market / "outer.py").write_text(
        kernel.format(imported="from market.inner import inner", name="outer", value="inner() + 1")
    )
    environment.pop("NUMBA_CACHE_DIR")
    said = []
    for value in ("1", "1", "5"):
        (market / "inner.py").write_text(kernel.format(imported="", name="inner", value=value))
        code = "from market.outer import outer as o; print(o(), len(o.stats.cache_hits))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        said.append(done.stdout.strip() or done.stderr)
    assert said == ["2 0", "2 1", "6 0"]


def test_a_folder_named_in_the_environment_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ["NUMBA_CACHE_DIR"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", folder)
    assert use_kernel_cache() == folder


def test_what_the_program_writes_may_lie_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TICKLOOP_VAR", str(tmp_path))
    assert var_folder() == tmp_path
    monkeypatch.delenv("TICKLOOP_VAR")
    assert var_folder() == ROOT / "var"
