"""The rooms' names are plain words, so prove that nothing else owns them, and that every folder is shipped."""

import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_distribution_installs_this_name(room: str) -> None:
    owners = set(packages_distributions().get(room, [])) - {PROJECT["project"]["name"]}
    assert not owners
    assert room not in sys.stdlib_module_names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_imported_from_this_repository(room: str) -> None:
    spec = find_spec(room)
    assert spec is not None
    assert spec.origin == str(ROOT / room / "__init__.py")


def test_every_package_folder_is_shipped_and_layered() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    layered = {room.strip() for layer in layers for room in layer.split("|")}
    assert folders == set(ROOMS) == set(PROJECT["tool"]["importlinter"]["root_packages"]) == layered


def test_no_module_at_the_root_bears_the_name_of_a_dependency() -> None:
    modules = {path.stem for path in ROOT.glob("*.py")}
    assert modules.isdisjoint(packages_distributions())
    assert modules.isdisjoint(sys.stdlib_module_names)


def test_no_room_is_called_data() -> None:
    assert not (ROOT / "data").exists()
