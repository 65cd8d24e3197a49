"""What must not stand in a tracked file, and what must."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from market.kernel_cache import KERNEL_ROOMS
from tools import configuration_docs, metrics_docs
from tools.index_addresses import offending_lines, tracked_files
from tools.strip_lock import strip

ROOT = Path(__file__).parents[2]
HOST = "https://" + "mirror.example"
ANNOTATED = (*KERNEL_ROOMS, "storage", "config", "live", "assets", "orchestration", "commands")


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_tracked_file_names_a_package_index_or_a_machine() -> None:
    assert [line for path in tracked_files() for line in offending_lines(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        f'registry = "{HOST}/simple"',
        f'    {{ url = "{HOST}/a.whl", hash = "sha256:00" }},',
        f"--extra-index-url {HOST}/simple",
        "see https://pypi." + "org/simple/uv",
        "cd /" + "home/somebody/tickloop",
    ],
)
def test_an_index_address_or_a_path_of_one_machine_is_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "file"
    path.write_text(f"fine\n{line}\n")
    assert len(list(offending_lines(path))) == 1


def test_stripping_a_lock_leaves_names_and_hashes_and_is_done_once() -> None:
    lock = (
        '[[package]]\nname = "a"\nsource = { registry = "' + HOST + '/simple" }\n'
        'wheels = [\n    { url = "' + HOST + '/x/a-1.whl", hash = "sha256:0a" },\n]\n\n'
        '[[package]]\nname = "tickloop"\n\n[package.metadata]\nrequires-dist = [{ name = "a" }]\n\n'
        '[package.metadata.requires-dev]\ndev = []\n\n[[package]]\nname = "z"\n'
    )
    stripped = strip(lock)
    assert stripped == strip(stripped)
    assert "mirror" not in stripped
    assert "metadata" not in stripped
    assert '{ filename = "a-1.whl", hash = "sha256:0a" }' in stripped
    assert stripped.count("[[package]]") == 3


def test_the_committed_lock_is_stripped_and_hashed() -> None:
    lock = (ROOT / "uv.lock").read_text()
    assert strip(lock) == lock
    assert lock.count('filename = "') <= lock.count('hash = "sha256:')


@pytest.mark.parametrize("module", ["main", "commands.chain", "commands.stored", "commands.judged", "commands.floor"])
def test_commands_only_wire(module: str) -> None:
    path = (ROOT / module.replace(".", "/")).with_suffix(".py")
    for function in _functions(path):
        statements = sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1
        assert statements <= 12, f"{module}.{function.name} holds {statements} statements"
    tree = ast.parse(path.read_text())
    arithmetic = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Pow)
    assert not [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, arithmetic)
    ]
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.While | ast.ClassDef)]


def test_every_function_but_a_kernel_is_annotated() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for room in ANNOTATED
        for path in (ROOT / room).rglob("*.py")
        for function in _functions(path)
        if not _compiled(function) and not _annotated(function)
    ]
    assert bare == []


def _compiled(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(re.match(r"(numba\.)?(njit|vectorize|guvectorize|intrinsic|overload)\b", ast.unparse(decorator))
               for decorator in function.decorator_list)  # fmt: skip


def _annotated(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    named = [argument for argument in arguments if argument.arg not in ("self", "cls")]
    return function.returns is not None and all(argument.annotation for argument in named)


def test_the_page_of_the_configuration_is_the_one_that_the_settings_give() -> None:
    assert configuration_docs.TARGET.read_text() == configuration_docs.page(), "run make docs"


def test_the_metrics_page_is_what_the_list_of_metrics_says() -> None:
    assert metrics_docs.TARGET.read_text() == metrics_docs.page(), "run make docs"


_BY_NAME = ("instruments.", "data.sources.", "features.sessions.")  # their keys are names that the user chose


def test_every_key_of_the_profile_is_on_its_page() -> None:
    sections = dict(re.findall(r"^## `(\S+)`\n(.*?)(?=^## |\Z)", configuration_docs.TARGET.read_text(), re.M | re.S))
    profile = yaml.safe_load((ROOT / "config" / "dev.yaml").read_text())
    leaves = [key for key in _leaves(profile, "") if not key.startswith(_BY_NAME)]
    assert len(leaves) > 80
    assert [key for key in leaves if f"| `{key.rpartition('.')[2]}` |" not in sections[key.rpartition(".")[0]]] == []


def _leaves(values: dict[str, Any], above: str) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
