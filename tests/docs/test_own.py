"""The pages on what is yours to add: their code runs, and the names that they send a reader to are there."""

import re
from pathlib import Path

import numpy as np
import pytest

from config.loading import load_settings
from market import sources
from market.events import GAP, LEVEL, SNAPSHOT, TRADE
from market.sources.formats import importer_for
from storage.captures import input_file
from tests.builders_pages import ROOT, fenced

PAGES = [ROOT / "docs" / f"own_{name}.md" for name in ("feature", "label", "network", "venue")]
FRAMES = (
    b'{"type": "book", "ms": 1700000000000, "seq": 3, "bids": [[1.0, 1]], "asks": []}',  # before any snapshot
    b'{"type": "snapshot", "ms": 1700000000001, "seq": 4, "bids": [[1.0, 0.5]], "asks": [[1.02, 0.25]]}',
    b'{"type": "book", "ms": 1700000000002, "seq": 5, "bids": [[1.01, 2]], "asks": []}',
    b'{"type": "trade", "ms": 1700000000003, "seq": 5, "side": "sell", "price": 1.01, "qty": 0.1}',
    b'{"type": "book", "ms": 1700000000004, "seq": 6, "bids": [[1.015, 2]], "asks": []}',  # off the grid
    b'{"type": "book", "ms": 1700000000005, "seq": 7, "bids": [[1.0, 0]], "asks": []}',  # a hole before it
)


def names_in(text: str) -> set[str]:
    """Functions, classes and constants that a page's prose names in backticks."""
    return {name for name in re.findall(r"`([A-Za-z_]+)`", text) if "_" in name or not name.islower()}


def test_the_venue_of_the_page_is_imported_from_a_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code, example] = [said.text for kind in ("python", "yaml") for said in fenced(kind) if "own_venue" in said.page]
    (tmp_path / "own.yaml").write_text(example)
    names: dict[str, type] = {}
    exec(compile(code, "docs/own_venue.md", "exec"), names)
    monkeypatch.setitem(sources.DECODERS, "toy-spot", names["ToyDecoder"])
    lines = (b"%d %s\n" % (1_700_000_000_100_000 + number, frame) for number, frame in enumerate(FRAMES))
    (tmp_path / "abc_20231114.txt").write_bytes(b"".join(lines))
    importer = importer_for("capture", load_settings(path=tmp_path / "own.yaml").instrument("toy-spot-abc"))
    events = np.concatenate(list(importer.batches([input_file(tmp_path / "abc_20231114.txt")])))
    told = events[["kind", "price", "qty"]].tolist()
    assert told == [(SNAPSHOT, 100, 500), (SNAPSHOT, 102, 250), (LEVEL, 101, 2_000), (TRADE, 101, 100), (GAP, 0, 0)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_of_the_page_stand_in_the_files_that_it_sends_to(page: Path) -> None:
    text = page.read_text()
    files = {ROOT / name for name in re.findall(r"`((?:\w+/)+\w+\.py)`", text)}
    sources_of = "".join(path.read_text() for path in files if path.exists()) + "".join(
        re.findall(r"```python.*?```", text, re.DOTALL)
    )
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    named = {name for name in names_in(prose) if not name.startswith("Pooled")}
    assert len(named) > 3
    assert sorted(name for name in named if name not in sources_of) == []
