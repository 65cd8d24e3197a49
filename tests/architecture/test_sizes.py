"""What a newcomer can read in one breath: no file above 400 lines, no function of the program above 30."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tools.index_addresses import tracked_files

ROOT: Final = Path(__file__).parents[2]
LONGEST_FILE: Final = 400
LONGEST_FUNCTION: Final = 30  # lines, its docstring apart
SOURCES: Final = [path for path in tracked_files() if path.suffix == ".py"]
PROGRAM: Final = [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "tests"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def lengths(text: str) -> Iterator[tuple[str, int]]:
    """Each function and its lines, from ``def`` to its end, its docstring apart; what stands inside counts as well."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            yield node.name, _lines(node) - (_lines(node.body[0]) if ast.get_docstring(node) is not None else 0)


def _lines(node: Function | ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_file_is_too_long() -> None:
    assert len(SOURCES) > 500
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > LONGEST_FILE} == {}


def test_no_function_of_the_program_is_too_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {name} has {size} lines"
        for path in PROGRAM
        for name, size in lengths(path.read_text())
        if size > LONGEST_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_docstring_does_not_count_and_what_stands_inside_does(kind: str) -> None:
    inner = "    def inner():\n        return 1\n"
    text = f'@decorated\n{kind} outer(\n    a,\n):\n    """One\n\n    two.\n    """\n{inner}    return inner\n'
    assert dict(lengths(text)) == {"outer": 6, "inner": 2}
