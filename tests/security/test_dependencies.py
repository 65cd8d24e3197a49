"""What is installed: from a registry, with hashes, at versions that are stated, under licences that bind nobody."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from tools.licences import TARGET, installed_licences, line_of

ROOT: Final = Path(__file__).parents[2]
LOCKED: Final[list[dict[str, Any]]] = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())
WEAK: Final = {"psycopg2-binary", "hypothesis", "orjson", "tqdm", "certifi", "pathspec"}  # LGPL, MPL: used, not changed
SILENT: Final = {"aiofastnet", "huey", "picows"}  # their metadata names none; their repositories say MIT
STRONG: Final = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)
WEAKER: Final = re.compile(r"LGPL|Lesser|MPL|Mozilla", re.IGNORECASE)


def test_every_package_is_of_a_registry_and_every_file_has_a_hash() -> None:
    foreign = [package for package in LOCKED if package["name"] != "tickloop"]
    assert len(foreign) > 200
    assert {tuple(package["source"]) for package in foreign} == {("registry",)}
    files = [
        file
        for package in foreign
        for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    ]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files)
    without = [package["name"] for package in foreign if not package.get("wheels") and "sdist" not in package]
    assert without == []


def test_every_dependency_of_ours_has_a_version_that_it_needs() -> None:
    groups = PROJECT["dependency-groups"]
    named = [*PROJECT["project"]["dependencies"], *(line for group in groups.values() for line in group)]
    assert [line for line in named if not re.search(r"[<>=]=", line)] == []


def test_no_licence_binds_what_is_built_on_it() -> None:
    told = installed_licences()
    assert len(told) > 150
    assert {name for name, licence in told.items() if not licence} <= SILENT
    assert {name: licence for name, licence in told.items() if STRONG.search(licence)} == {}
    assert {name for name, licence in told.items() if WEAKER.search(licence)} <= WEAK
    assert STRONG.search("License :: OSI Approved :: GNU General Public License v3 (GPLv3)")
    assert STRONG.search("AGPL-3.0-only")


def test_the_page_of_licences_names_what_is_installed() -> None:
    """Write it anew with ``make docs`` after ``make peers``."""
    lines = TARGET.read_text().splitlines()
    assert [line for line in (line_of(*item) for item in installed_licences().items()) if line not in lines] == []
