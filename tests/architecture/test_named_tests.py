"""Tests that the documentation names are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if NAMED.search(path.read_text())]


def functions_of(path: Path) -> set[str]:
    """Names of the functions of a file, none where it is not there."""
    if not path.exists():
        return set()
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=[path.name for path in PAGES])
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    named = NAMED.findall(page.read_text())
    gone = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists() or (name and name not in functions_of(ROOT / path))
    ]
    assert gone == []


def test_a_page_names_tests() -> None:
    assert "live.md" in [page.name for page in PAGES]
