"""What every benchmark shares: figures beside a peer's of the same run, the bar that each must meet, and a history."""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Final

Clock = Callable[[], float]
HISTORY: Final = Path(__file__).with_name("history")
FIGURES_FILE: Final = "TICKLOOP_FIGURES"  # environment: where a benchmark leaves its figures for tools/bench.py
PACKAGES: Final = (
    "numpy", "numba", "polars", "pyarrow", "duckdb", "clickhouse-connect", "chdb", "hftbacktest", "torch",
)  # fmt: skip
_WATCH: Final = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""  # a small process between: a child's peak is never below that of whoever forked it
_BAR: Final = re.compile(r"(<=|>=|<|>) ?([0-9.]+) ?(x|%)?")
_TESTS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement and, where there is one, the peer's from the same run.

    A bar reads ">= 3x" (of the ratio), "< 10 %" (of what ours exceeds the peer's by) or "< 300" (of ours alone).

    >>> Figure("import", 600.0, 200.0, "k messages/s", ">= 3x").met
    True
    >>> Figure("peak memory, tape x 20", 108.0, 100.0, "MB", "< 5 %").met
    False
    """

    name: str
    ours: float
    peer: float | None
    unit: str
    bar: str | None = None
    benchmark: str = ""  # the file that measured it, where ``tools/bench.py`` ran it

    def __post_init__(self) -> None:
        if self.bar is not None and not _BAR.fullmatch(self.bar):
            raise ValueError(f"bar={self.bar!r} of {self.name} must read like '>= 3x', '< 10 %' or '< 300'")

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's, None without a peer."""
        return self.ours / self.peer if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is no bar, or it asks for a peer and there is none."""
        parts = _BAR.fullmatch(self.bar or "")
        if parts is None:
            return None
        sign, limit, of = parts.groups()
        judged = {"x": self.ratio, "%": None if self.ratio is None else (self.ratio - 1) * 100}.get(of, self.ours)
        return None if judged is None else _TESTS[sign](judged, float(limit))


def print_figures(figures: Sequence[Figure]) -> None:
    """Print a benchmark's figures as a table, and leave them for ``tools/bench.py`` where that asked for them."""
    print(table(figures), flush=True)
    if path := os.environ.get(FIGURES_FILE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(figure)) + "\n" for figure in figures)


def table(figures: Iterable[Figure]) -> str:
    """Name, ours, peer, ratio, bar, and whether it is met, in columns."""
    rows = [("", "ours", "peer", "", "ratio", "bar", "met"), *map(_cells, figures)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(_set(row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def verdict(figures: Sequence[Figure]) -> str:
    """How many bars are met, and which are not, in one line.

    >>> verdict([Figure("import", 6.0, 2.0, "s", ">= 3x"), Figure("lake", 2.0, 1.0, "MB", "<= 0.85x")])
    '1 of 2 bars met; missed: lake'
    """
    judged = [figure for figure in figures if figure.met is not None]
    missed = ", ".join(figure.name for figure in judged if not figure.met)
    return f"{sum(figure.met is True for figure in judged)} of {len(judged)} bars met; missed: {missed or 'none'}"


def shown(value: float) -> str:
    """A figure as tables write it: four digits, or all of those before the point.

    >>> shown(0.123456), shown(1234567.8)
    ('0.1235', '1,234,568')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def median_of(run: Callable[[], object], repeats: int = 5) -> float:
    """Median of the seconds that a call takes, after one that is not counted."""
    run()
    return median(_seconds(run) for _ in range(repeats))


def medians_of(
    ours: Callable[[], object], peer: Callable[[], object], repeats: int = 5, clock: Clock = time.perf_counter
) -> tuple[float, float]:
    """Medians of the seconds of two calls made in turn, so that whatever slows the machine slows both.

    clock : ``time.process_time`` for the processor's seconds, which other processes do not lengthen
    """
    ours(), peer()
    pairs = [(_seconds(ours, clock), _seconds(peer, clock)) for _ in range(repeats)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def peak_mb(command: Sequence[str]) -> float:
    """Largest resident memory of a command, MB. Raises SystemExit with one line if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "peak"
        done = subprocess.run([sys.executable, "-IS", "-c", _WATCH, str(found), *command])
        if done.returncode:
            raise SystemExit(f"{' '.join(command[:4])} ended with status {done.returncode}")
        return int(found.read_text()) * 1024 / 1e6


def peer_module(name: str) -> ModuleType:
    """The peer to measure against. Raises SystemExit with one line if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        raise SystemExit(f"the peer {name} is not installed ({missing}): `make bench` installs it") from None


def history_line(figures: Sequence[Figure]) -> dict[str, object]:
    """What is kept of a run: date, processor, versions, figures; nothing that names the machine's owner."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "figures": [asdict(figure) | {"ratio": figure.ratio, "met": figure.met} for figure in figures],
    }


def save(figures: Sequence[Figure], folder: Path = HISTORY) -> Path:
    """Append a run to the history of machines like this one; returns the file."""
    line = history_line(figures)
    machine = re.sub(r"[^a-z0-9]+", "-", f"{line['cpu']} {line['cores']} cores".lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{machine}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return path


def _cells(figure: Figure) -> tuple[str, ...]:
    peer = "-" if figure.peer is None else shown(figure.peer)
    ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}x"
    met = {None: "", True: "yes", False: "NO"}[figure.met]
    return figure.name, shown(figure.ours), peer, figure.unit, ratio, figure.bar or "", met


def _set(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Texts to the left, numbers to the right."""
    numbers = (1, 2, 4)
    return [
        cell.rjust(width) if column in numbers else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _seconds(run: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    start = clock()
    run()
    return clock() - start


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return found[1].strip() if found else platform.machine() or sys.platform


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
