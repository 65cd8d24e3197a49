"""Every answer on the page of threats names a test that is there."""

import re
from typing import Final

from tests.builders_pages import ROOT

PAGE: Final = (ROOT / "docs" / "security.md").read_text()
NAMED: Final = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_test_that_the_page_names_is_there() -> None:
    assert len(NAMED) > 25
    assert [f"{path}::{name}" for path, name in NAMED if f"def {name}(" not in (ROOT / path).read_text()] == []


def test_every_threat_has_an_answer_and_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 15
    assert [row for row in rows if "`tests/" not in row.split(" | ")[2]] == []
