"""What is read from outside is data and never code: no pickle, no unsafe YAML, no shell, no eval, in any room."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from market.kernel_cache import KERNEL_ROOMS

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = (*KERNEL_ROOMS, "storage", "config", "live", "assets", "orchestration", "commands")
FORBIDDEN_MODULES: Final = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "tarfile",
}
FORBIDDEN_CALLS: Final = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES: Final = {
    *("torch.load", "torch.save", "np.fromregex", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load"),
    *("yaml.unsafe_load_all", "yaml.full_load_all", "yaml.load_all", "torch.jit.load", "runpy.run_path"),
    *("shutil.unpack_archive", "pandas.read_pickle", "mlflow.pyfunc.load_model", "subprocess.getoutput"),
    *("builtins.eval", "builtins.exec"),
}
CHECKED: Final = {"yaml.load", "numpy.load"}  # by what they are given, where they are called by their whole name
SAFE_LOADERS: Final = {"yaml.SafeLoader", "yaml.CSafeLoader"}


def faults(source: str) -> Iterator[str]:
    """What a module does that could run what it reads."""
    tree = ast.parse(source)
    names = _imported(tree)
    loaders = {*SAFE_LOADERS, *(node.name for node in ast.walk(tree) if _derives_from_a_safe_loader(node, names))}
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES)
            case ast.ImportFrom():
                yield from _import_faults(node)
            case ast.Attribute() if node.attr == "extractall" or _whole(node, names) in FORBIDDEN_ATTRIBUTES:
                yield _whole(node, names)
            case ast.Call():
                yield from _call_faults(node, names, loaders)


def _imported(tree: ast.AST) -> dict[str, str]:
    """The whole name of whatever a module calls by a shorter one: np -> numpy, SafeLoader -> yaml.SafeLoader."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname: alias.name for alias in node.names if alias.asname})
        if isinstance(node, ast.ImportFrom):
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def _whole(node: ast.AST, names: dict[str, str]) -> str:
    first, dot, rest = ast.unparse(node).partition(".")
    return names.get(first, first) + dot + rest


def _import_faults(node: ast.ImportFrom) -> Iterator[str]:
    if (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
        yield str(node.module)
        return
    named = {f"{node.module}.{alias.name}" for alias in node.names}
    yield from sorted(named & (FORBIDDEN_ATTRIBUTES | CHECKED))


def _derives_from_a_safe_loader(node: ast.AST, names: dict[str, str]) -> bool:
    return isinstance(node, ast.ClassDef) and any(_whole(base, names) in SAFE_LOADERS for base in node.bases)


def _call_faults(call: ast.Call, names: dict[str, str], loaders: set[str]) -> Iterator[str]:
    if isinstance(call.func, ast.Name) and call.func.id in FORBIDDEN_CALLS:
        yield call.func.id
    reads = isinstance(call.func, ast.Attribute) and call.func.attr == "load"
    if not reads and not any(word.arg in ("shell", None) for word in call.keywords):
        return
    name, given = _whole(call.func, names), {word.arg: word.value for word in call.keywords}
    if name == "numpy.load" and ast.unparse(given.get("allow_pickle", call)) != "False":
        yield "numpy.load without allow_pickle=False"
    if name == "yaml.load" and _whole(given.get("Loader") or call.args[-1], names) not in loaders:
        yield "yaml.load without a safe loader"
    if "shell" in given and ast.unparse(given["shell"]) != "False":
        yield "shell="


def test_no_room_can_run_what_it_reads() -> None:
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(paths) > 300
    assert "yaml.load(" in (ROOT / "config" / "loading.py").read_text()  # there is something to be careful with
    found = {str(path.relative_to(ROOT)): set(faults(path.read_text())) for path in paths}
    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "joblib"),
        ("import torch\ntorch.load(path)", "torch.load"),
        ("import torch as t\nt.load(path)", "torch.load"),
        ("import numpy as np\nnp.load(path)", "numpy.load without allow_pickle=False"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "numpy.load without allow_pickle=False"),
        ("from numpy import load", "numpy.load"),
        ("from yaml import load", "yaml.load"),
        ("from yaml import unsafe_load as safe", "yaml.unsafe_load"),
        ("from os import system", "os.system"),
        ("import pandas as pd\npd.read_pickle(path)", "pandas.read_pickle"),
        ("yaml.load(text, Loader=yaml.Loader)", "yaml.load without a safe loader"),
        ("yaml.load(text, yaml.FullLoader)", "yaml.load without a safe loader"),
        ("class Own(yaml.Loader): ...\nyaml.load(text, Loader=Own)", "yaml.load without a safe loader"),
        ("yaml.unsafe_load(text)", "yaml.unsafe_load"),
        ("zipfile.ZipFile(path).extractall()", "zipfile.ZipFile(path).extractall"),
        ("eval(text)", "eval"),
        ("subprocess.run(text, shell=True)", "shell="),
        ("shutil.unpack_archive(path)", "shutil.unpack_archive"),
    ],
)
def test_a_planted_way_to_run_something_is_found(line: str, fault: str) -> None:
    assert list(faults(line)) == [fault]


def test_what_is_safe_is_not_found() -> None:
    safe = "from yaml import SafeLoader\nimport yaml, numpy as np\nclass Own(SafeLoader): ...\n"
    safe += "yaml.load(text, Loader=Own)\nnp.load(path, allow_pickle=False)\nnet.eval()"
    assert list(faults(safe)) == []
