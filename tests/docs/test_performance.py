"""The page of figures is what the benchmarks' history says."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.harness import HISTORY, Figure, history_line, save
from tools import performance_docs
from tools.performance_docs import margins_of, measured_in, page, pictures, unmeasured


def test_the_page_and_its_pictures_are_those_of_the_history() -> None:
    again = "python -m tools.performance_docs"
    assert performance_docs.TARGET.read_text() == page(), again
    images = {path.name: path.read_text() for path in (performance_docs.TARGET.parent / "images").glob("performance-*")}
    assert images == pictures(), again


def test_a_figure_measured_again_stands_with_its_newest_value_and_what_it_was() -> None:
    runs = [history_line([Figure("read", ours, 10.0, "s", "<= 3x", "bench_lake")]) for ours in (20.0, 50.0)]
    [found] = measured_in(json.loads(json.dumps(runs)))
    assert (found.figure.ours, found.figure.met) == (50.0, False)
    assert [figure.ours for _, figure in found.before] == [20.0]


def test_a_page_says_how_many_bars_are_met_and_marks_those_that_are_not(tmp_path: Path) -> None:
    save([Figure("read", 20.0, 10.0, "s", "<= 3x", "bench_lake"), Figure("write", 9.0, None, "s", "< 8")], tmp_path)
    [*head, row] = page(tmp_path).splitlines()
    assert any("2 figures, runs: 1, 1 of 2 bars met" in line for line in head)
    assert row.startswith("| write | 9 |  | s |  | < 8 | **no** |")
    [picture] = pictures(tmp_path).values()
    bars = [bar for bar in ElementTree.fromstring(picture).iter() if bar.get("fill") in ("#2b8a3e", "#c92a2a")]
    assert [bar.get("fill") for bar in bars] == ["#2b8a3e", "#c92a2a"]


def test_benchmarks_without_a_figure_are_named() -> None:
    runs = [history_line([Figure("events", 20.0, 10.0, "s", None, "bench_lake")])]
    [found] = measured_in(json.loads(json.dumps(runs)))
    names = {path.stem for path in HISTORY.parent.glob("bench_*.py")}
    assert set(re.findall(r"`(\w+)`", unmeasured([found]))) == names - {"bench_lake"}
    every = [replace(found, figure=replace(found.figure, benchmark=name)) for name in names]
    assert unmeasured(every) == "Every benchmark has a figure here."


def test_a_figure_without_a_bar_is_in_no_picture() -> None:
    runs = [history_line([Figure("events", 20.0, 10.0, "s", None, "bench_lake")])]
    assert "events" not in margins_of(measured_in(json.loads(json.dumps(runs))))
