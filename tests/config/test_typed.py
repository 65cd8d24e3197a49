"""Values become exactly the declared types."""

from dataclasses import asdict, dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.typed import build
from market.errors import ConfigError


@dataclass(frozen=True)
class Leaf:
    count: int
    ratio: float
    name: str
    kind: Literal["a", "b"]
    limit: float | None


@dataclass(frozen=True)
class Tree:
    leaves: tuple[Leaf, ...]
    pair: tuple[int, str]
    named: dict[str, Leaf]


LEAVES = st.builds(
    Leaf, st.integers(), st.floats(allow_nan=False), st.text(), st.sampled_from(["a", "b"]), st.none() | st.just(1.5)
)
TREES = st.builds(
    Tree,
    st.lists(LEAVES, max_size=3).map(tuple),
    st.tuples(st.integers(), st.text()),
    st.dictionaries(st.text(), LEAVES, max_size=3),
)


def _plain(value: object) -> object:
    """As YAML would hold it: lists for tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


@given(TREES)
def test_plain_values_of_a_dataclass_build_that_dataclass(tree: Tree) -> None:
    assert build(Tree, _plain(asdict(tree)), "") == tree


@given(TREES, st.sampled_from(["leaves", "pair", "named"]))
def test_no_key_may_be_missing_or_added(tree: Tree, key: str) -> None:
    plain = asdict(tree)
    missing = {name: value for name, value in plain.items() if name != key}
    with pytest.raises(ConfigError, match=f"missing: {key}"):
        build(Tree, _plain(missing), "")
    with pytest.raises(ConfigError, match=f"unknown key {key}s; did you mean {key}"):
        build(Tree, _plain(plain | {f"{key}s": 1}), "")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (int, "3", "k must be a whole number, not '3'"),
        (str, 3, "k must be text, not 3"),
        (bool, 1, "k must be true or false, not 1"),
        (tuple[int, str], [1], "k must hold 2 values, not 1"),
        (tuple[int, ...], [1, "x"], r"k\[1\] must be a whole number, not 'x'"),
        (float | None, "x", "k must be a number, not 'x'.* or k must be empty, not 'x'"),
    ],
)
def test_a_wrong_type_is_named_with_its_place(kind: object, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(kind, value, "k")


@dataclass(frozen=True)
class _Circle:
    kind: Literal["circle"]
    radius: float


@dataclass(frozen=True)
class _Square:
    kind: Literal["square"]
    side: float


def test_a_choice_of_dataclasses_goes_by_kind() -> None:
    assert build(_Circle | _Square, {"kind": "square", "side": 2}, "shape") == _Square("square", 2.0)
    with pytest.raises(ConfigError, match=r"^unknown key shape.radius; allowed: kind, side$"):
        build(_Circle | _Square, {"kind": "square", "radius": 2}, "shape")
    with pytest.raises(ConfigError, match=r"^shape.kind='cube' is not one of circle, square$"):
        build(_Circle | _Square, {"kind": "cube", "side": 2}, "shape")
