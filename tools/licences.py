"""Write docs/licences.md: the licence of every locked package that is installed here, in its own words.

python -m tools.licences
"""

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from tools.audit import locked_packages

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "docs" / "licences.md"
LONGEST: Final = 100  # characters of a licence; some packages put the whole text there
FIELDS: Final = ("License-Expression", "License")
INTRODUCTION: Final = """\
# Licences

What every locked package says of its own licence, by its metadata; written by `make docs`. None binds what is built on
it ([security](security.md)). An empty one is explained in `tests/security/test_dependencies.py`.

| package | licence |
| --- | --- |
"""


def licence_of(found: Distribution) -> str:
    """What a distribution says of its licence, in its classifiers first; empty if nothing."""
    classed = [line for line in found.metadata.get_all("Classifier") or () if line.startswith("License ::")]
    told = [text for field in FIELDS for text in found.metadata.get_all(field) or ()]
    return "; ".join([*classed, *(text.splitlines()[0] for text in told if text.strip())])


def installed_licences() -> dict[str, str]:
    """Licences of what is locked and installed here, by name, in order."""
    names = {name for name, _ in locked_packages((ROOT / "uv.lock").read_text())}
    found = {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): licence_of(one) for one in distributions()}
    return {name: found[name] for name in sorted(names & found.keys())}


def line_of(name: str, licence: str) -> str:
    """A package's line of the page."""
    told = re.sub(r"License :: (OSI Approved :: )?", "", licence).replace("|", "/")
    return f"| {name} | {told if len(told) <= LONGEST else f'{told[:LONGEST]}...'} |"


if __name__ == "__main__":
    TARGET.write_text(INTRODUCTION + "".join(f"{line_of(*item)}\n" for item in installed_licences().items()))
