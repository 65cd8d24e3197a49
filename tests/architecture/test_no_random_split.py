"""Time is split by time alone: no module knows a tool that splits rows at random, and only chunks change places."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    *("market", "features", "labeling", "modeling", "trading", "backtest", "monitoring"),
    *("storage", "config", "live", "assets", "orchestration", "commands"),
)
SPLITTERS = {
    *("random_split", "SubsetRandomSampler", "RandomSampler", "WeightedRandomSampler"),  # torch
    *("train_test_split", "ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit"),  # scikit-learn
    *("KFold", "StratifiedKFold", "GroupKFold", "RepeatedKFold", "cross_val_score", "cross_val_predict"),
}
MOVERS = {"permutation", "permuted", "shuffle", "sample", "randperm"}
ALLOWED = {("modeling/batches.py", "permutation"): 2}  # the order of parts and of chunks, never of rows


def modules() -> Iterator[Path]:
    for room in ROOMS:
        yield from (ROOT / room).rglob("*.py")


def names_of(tree: ast.AST) -> Iterator[str]:
    """Every name that a module imports, reads or calls."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom():
                yield from (alias.name for alias in node.names)
            case ast.Attribute():
                yield node.attr
            case ast.Name():
                yield node.id


def faults(path: Path, source: str) -> list[str]:
    """What a module does that could split or mix rows at random."""
    tree, found = ast.parse(source), []
    names = list(names_of(tree))
    found += sorted(SPLITTERS & set(names))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "shuffle":
            found.append("shuffle=")
    called = [n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    for name in sorted(MOVERS & set(called)):
        if called.count(name) > ALLOWED.get((str(path), name), 0):
            found.append(name)
    return found


def test_no_module_splits_or_moves_rows_at_random() -> None:
    found = {str(p.relative_to(ROOT)): faults(p.relative_to(ROOT), p.read_text(encoding="utf-8")) for p in modules()}
    assert len(found) > 150
    assert {name: fault for name, fault in found.items() if fault} == {}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("from torch.utils.data import random_split", "random_split"),
        ("import sklearn.model_selection as m; m.train_test_split(rows)", "train_test_split"),
        ("frame.sample(fraction=0.8)", "sample"),
        ("rng.permutation(len(rows))", "permutation"),
        ("DataLoader(rows, shuffle=True)", "shuffle="),
        ("torch.randperm(3)", "randperm"),
    ],
)
def test_a_planted_random_split_is_found(line: str, fault: str) -> None:
    assert faults(Path("modeling/planted.py"), line) == [fault]


def test_the_order_of_chunks_is_the_only_order_that_is_drawn() -> None:
    source = (ROOT / "modeling" / "batches.py").read_text(encoding="utf-8")
    assert faults(Path("modeling/batches.py"), source) == []
    assert faults(Path("modeling/batches.py"), source + "\nrng.permutation(3)\n") == ["permutation"]
