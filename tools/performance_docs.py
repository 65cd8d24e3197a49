"""Writes docs/performance.md and its pictures: what the benchmarks' history says, machine by machine.

python -m tools.performance_docs
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import HISTORY, Figure, shown

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "docs" / "performance.md"
INTRODUCTION: Final = """\
# Performance

`make bench ARGS=--save` runs every benchmark beside its peer in the same run and keeps the figures in
`benchmarks/history`, a file for each kind of machine. This page is written from those files by
`tools/performance_docs.py`; a test compares the two. A figure that was measured several times stands here with its
newest value, and what it was before.

A ratio is ours over the peer's. Ratios travel between machines, other figures do not: they hold on the machine named.
A bar with `x` is one of the ratio, one with `%` of what ours exceeds the peer's by, any other of ours alone.
"""
_WIDTH, _LINE, _LEFT, _RIGHT = 860, 16, 470, 60  # pixels
_MOST: Final = 10.0  # times a bar, beyond which a picture shows no difference
_COLOURS: Final = {True: "#2b8a3e", False: "#c92a2a"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of one kind of machine: its newest value, and what it was before."""

    figure: Figure
    date: str
    before: tuple[tuple[str, Figure], ...]


def page(folder: Path = HISTORY) -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(_machine(file) for file in sorted(folder.glob("*.jsonl")))])


def pictures(folder: Path = HISTORY) -> dict[str, str]:
    """Name and content of an SVG file for each machine."""
    return {_picture_name(file): margins_of(measured_in(_runs(file))) for file in sorted(folder.glob("*.jsonl"))}


def measured_in(runs: Iterable[dict[str, Any]]) -> list[Measured]:
    """Each figure of a machine's runs, oldest run first, in the order in which they were first measured."""
    found: dict[tuple[str, str], list[tuple[str, Figure]]] = {}
    for run in runs:
        for line in run["figures"]:
            figure = Figure(**{key: value for key, value in line.items() if key not in ("ratio", "met")})
            found.setdefault((figure.benchmark, figure.name), []).append((run["date"], figure))
    return [Measured(told[-1][1], told[-1][0], tuple(told[:-1])) for told in found.values()]


def margin(figure: Figure) -> float | None:
    """How many times better than its bar a figure is, above 1 if it is met; None where it is not judged, or 0.

    >>> margin(Figure("import", 600.0, 100.0, "messages/s", ">= 3x"))
    2.0
    >>> margin(Figure("peak memory", 105.0, 100.0, "MB", "< 10 %"))
    1.0476190476190477
    """
    if figure.met is None or figure.bar is None:
        return None
    sign, limit, of = re.findall(r"([<>]=?) ?([0-9.]+) ?(x|%)?", figure.bar)[0]
    value = figure.ratio if of and figure.ratio is not None else figure.ours
    asked = 1 + float(limit) / 100 if of == "%" else float(limit)
    if not value or not asked:
        return None
    return value / asked if sign.startswith(">") else asked / value


def margins_of(found: Sequence[Measured]) -> str:
    """SVG: a bar for each figure that is judged, from 1, its limit, to how many times better or worse it is."""
    judged = [(one.figure, times) for one in found if (times := margin(one.figure))]
    height = _LINE * (len(judged) + 2)
    lines = "".join(_bar(place, *one) for place, one in enumerate(judged))
    middle = _across(1.0)
    axis = f'<line x1="{middle}" x2="{middle}" y1="{_LINE}" y2="{height}" stroke="#888"/>'
    marks = "".join(
        f'<text x="{_across(at)}" y="12" text-anchor="middle" fill="#666">{at:g}x</text>' for at in (0.5, 1, 2, 5, 10)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="10"><rect width="{_WIDTH}" height="{height}" fill="#fff"/>{marks}{axis}{lines}</svg>\n'
    )


def _bar(place: int, figure: Figure, times: float) -> str:
    top = _LINE * (place + 1) + 4
    start, end = sorted((_across(1.0), _across(times)))
    colour = _COLOURS[times >= 1]
    name = f"{figure.benchmark.removeprefix('bench_')}: {figure.name}"
    label = name if len(name) <= 72 else f"{name[:70]}..."
    return (
        f'<text x="{_LEFT - 60}" y="{top + 9}" text-anchor="end" fill="#222">{escape(label)}</text>'
        f'<rect x="{start}" y="{top}" width="{max(1, end - start)}" height="{_LINE - 6}" fill="{colour}"/>'
    )


def _across(times: float) -> int:
    """Pixels from the left of a number of times, on a logarithmic axis from a half to ``_MOST``."""
    low, high = math.log(0.5), math.log(_MOST)
    share = (min(max(math.log(times), low), high) - low) / (high - low)
    return round(_LEFT - 50 + share * (_WIDTH - _LEFT - _RIGHT + 50))


def unmeasured(found: Sequence[Measured]) -> str:
    """A line that names the benchmarks of which a machine holds no figure."""
    without = {path.stem for path in HISTORY.parent.glob("bench_*.py")} - {one.figure.benchmark for one in found}
    told = ", ".join(f"`{name}`" for name in sorted(without))
    return f"No figure was saved here of {told}." if told else "Every benchmark has a figure here."


def _machine(file: Path) -> str:
    runs = _runs(file)
    found, newest = measured_in(runs), runs[-1]
    judged = [one.figure.met for one in found if one.figure.met is not None]
    versions = ", ".join(f"{name} {version}" for name, version in newest["versions"].items() if version)
    head = [
        f"## {newest['cpu']}, {newest['cores']} cores\n",
        f"{len(found)} figures, runs: {len(runs)}, {sum(judged)} of {len(judged)} bars met. Newest run: {versions}.\n",
        f"![how many times better than its bar each figure is](images/{_picture_name(file)})\n",
        "How many times better than its bar each judged figure is, to ten times; red: the bar is not met.\n",
        unmeasured(found),
    ]
    names = dict.fromkeys(one.figure.benchmark for one in found)
    tables = (_table(name, [one for one in found if one.figure.benchmark == name]) for name in names)
    return "\n".join([*head, *tables])


def _table(benchmark: str, found: Sequence[Measured]) -> str:
    lines = [
        f"\n### {f'`benchmarks/{benchmark}.py`' if benchmark else 'Run alone'}\n",
        "| figure | ours | peer | unit | ratio | bar | met | on | before |",
        "| --- | ---: | ---: | --- | ---: | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(_row, found)])


def _row(measured: Measured) -> str:
    figure = measured.figure
    peer = "" if figure.peer is None else shown(figure.peer)
    met = {None: "", True: "yes", False: "**no**"}[figure.met]
    before = ", ".join(f"{_ratio(old) or shown(old.ours)} ({date})" for date, old in measured.before[-2:])
    cells = (figure.name, shown(figure.ours), peer, figure.unit, _ratio(figure), figure.bar or "", met, measured.date)
    return f"| {' | '.join(cells)} | {before} |"


def _ratio(figure: Figure) -> str:
    return "" if figure.ratio is None else f"{figure.ratio:.2f}x"


def _runs(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _picture_name(file: Path) -> str:
    return f"performance-{file.stem}.svg"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    for name, content in pictures().items():
        (TARGET.parent / "images" / name).write_text(content, encoding="utf-8")
