"""Every setting and environment variable that a page names is one that is read, and every example of settings loads."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from config.loading import load_settings
from config.settings import Settings
from tests.builders_pages import PAGES, ROOT, Said, fenced, inline_code, name_of

SECTIONS = {field.name for field in fields(Settings)}
KEY = re.compile(rf"((?:{'|'.join(SECTIONS)})(?:\.[\w*-]+)+)(?:[:=] ?\S.*)?")
SHORT = re.compile(r"(\w+)\.([\w*.-]+)(?:[:=] ?\S.*)?")
SUFFIXES = ("py", "jsonl", "yaml", "yml", "md", "json", "sql")
SOURCES = "".join(
    path.read_text()
    for pattern in ("*.py", "*.sh", ".env*", "Makefile")
    for path in ROOT.rglob(pattern)
    if not {".venv", ".make", "var"} & set(path.relative_to(ROOT).parts)
)


def below(kind: Any, parts: list[str]) -> bool:
    """Whether a setting of this name, which may hold a star, lies below a type."""
    if not parts:
        return True
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return any(below(hint, parts[1:]) for name, hint in hints.items() if fnmatchcase(name, parts[0]))
    held = [hint for hint in get_args(kind) if is_dataclass(hint) or get_args(hint)]
    if str(kind).startswith("dict"):
        return below(get_args(kind)[1], parts[1:])
    return any(below(hint, parts) for hint in held)


def names_of(said: Said) -> list[str]:
    """The dotted setting that a piece of code is, or none; a module of a room of the same name is not meant."""
    found = KEY.fullmatch(said.text)
    if not found or found[1].rpartition(".")[2] in SUFFIXES:
        return []
    room, module = found[1].split(".")[:2]
    return [] if (ROOT / room / f"{module}.py").exists() else [found[1]]


def test_settings_that_pages_name_exist() -> None:
    named = {(said.page, key) for said in inline_code() for key in names_of(said)}
    assert len(named) > 60
    assert sorted((page, key) for page, key in named if not below(Settings, key.split("."))) == []


def groups(kind: Any) -> Iterator[tuple[str, Any]]:
    """Name and type of every group of settings inside of another one, as ``risk`` of ``trading``."""
    for name, hint in get_type_hints(kind).items():
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner):
                yield name, inner
                yield from groups(inner)


def test_settings_that_pages_name_by_their_group_alone_exist() -> None:
    inner = [(name, kind) for name, kind in groups(Settings) if name not in SECTIONS]
    named = {(said.page, found[1], found[2]) for said in inline_code() if (found := SHORT.fullmatch(said.text))}
    shown = [said for said in named if said[1] in dict(inner) and said[2].rpartition(".")[2] not in SUFFIXES]
    assert len(shown) > 10
    there = [said for said in shown if any(below(k, said[2].split(".")) for name, k in inner if name == said[1])]
    assert sorted(set(shown) - set(there)) == []


@pytest.mark.parametrize(
    ("key", "there"),
    [("live.symbol", True), ("live.symbl", False), ("reports.surface_*", True), ("reports.sruface_*", False)],
)
def test_a_setting_that_is_none_is_found(key: str, there: bool) -> None:
    assert below(Settings, key.split(".")) is there


@pytest.mark.parametrize("example", fenced("yaml"), ids=lambda said: said.page)
def test_examples_of_settings_load(example: Said, tmp_path: Path) -> None:
    text = example.text if "extends:" in example.text else f"extends: dev\n{example.text}"
    (tmp_path / "own.yaml").write_text(text)
    assert load_settings(path=tmp_path / "own.yaml")


def test_variables_that_pages_name_are_read() -> None:
    named = {(name_of(page), name) for page in PAGES for name in re.findall(r"\bTICKLOOP_[A-Z_]+\b", page.read_text())}
    assert len({name for _, name in named}) > 10
    assert sorted((page, name) for page, name in named if name not in SOURCES) == []
