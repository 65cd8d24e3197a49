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
    *("shutil.unpack_archive", "pd.read_pickle", "pandas.read_pickle", "mlflow.pyfunc.load_model"),
}
LAST_WORDS: Final = {"extractall", *(name.rpartition(".")[2] for name in FORBIDDEN_ATTRIBUTES)}
SAFE_LOADERS: Final = {"yaml.SafeLoader", "yaml.CSafeLoader", "SafeLoader"}


def faults(source: str) -> Iterator[str]:
    """What a module does that could run what it reads."""
    tree = ast.parse(source)
    loaders = {*SAFE_LOADERS, *(node.name for node in ast.walk(tree) if _derives_from_a_safe_loader(node))}
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES)
            case ast.ImportFrom():
                yield from ([node.module] if (node.module or "").partition(".")[0] in FORBIDDEN_MODULES else [])
            case ast.Attribute() if node.attr in LAST_WORDS and (
                node.attr == "extractall" or ast.unparse(node) in FORBIDDEN_ATTRIBUTES
            ):
                yield ast.unparse(node)
            case ast.Call():
                yield from _call_faults(node, loaders)


def _derives_from_a_safe_loader(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(ast.unparse(base) in SAFE_LOADERS for base in node.bases)


def _call_faults(call: ast.Call, loaders: set[str]) -> Iterator[str]:
    if isinstance(call.func, ast.Name) and call.func.id in FORBIDDEN_CALLS:
        yield call.func.id
    reads = isinstance(call.func, ast.Attribute) and call.func.attr == "load"
    if not reads and not any(word.arg in ("shell", None) for word in call.keywords):
        return
    name, given = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
        yield f"{name} without allow_pickle=False"
    if name == "yaml.load" and (given.get("Loader") or ast.unparse(call.args[-1])) not in loaders:
        yield "yaml.load without a safe loader"
    if given.get("shell", "False") != "False":
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
        ("np.load(path)", "np.load without allow_pickle=False"),
        ("np.load(path, allow_pickle=True)", "np.load without allow_pickle=False"),
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
    safe = "class Own(yaml.SafeLoader): ...\nyaml.load(text, Loader=Own)\nnp.load(path, allow_pickle=False)\nnet.eval()"
    assert list(faults(safe)) == []
