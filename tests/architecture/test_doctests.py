"""Examples stand in rooms that pytest does not gather as well: these are run here, or nobody would."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = ("assets", "live", "orchestration", "tools", "benchmarks")  # pyproject's testpaths has the other rooms
SHOWING = sorted(
    path.relative_to(ROOT).with_suffix("")
    for room in ELSEWHERE
    for path in (ROOT / room).rglob("*.py")
    if re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.mark.parametrize("path", SHOWING, ids=str)
def test_examples_come_out_as_they_are_written(path: Path) -> None:
    found = doctest.testmod(import_module(".".join(path.parts)))
    assert found.attempted > 0
    assert found.failed == 0
