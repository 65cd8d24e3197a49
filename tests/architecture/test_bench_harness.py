"""Benchmarks print their figures beside a peer's, judge them by their bars, and say in one line what they lack."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import Figure, median_of, medians_of, peak_mb, save, table
from tools.bench import main

HARNESS = "from benchmarks.harness import Figure, peer_module, print_figures\n"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("ours", "peer", "bar", "met"),
    [
        (600.0, 200.0, ">= 3x", True),
        (599.0, 200.0, ">= 3x", False),
        (85.0, 100.0, "<= 0.85x", True),
        (86.0, 100.0, "<= 0.85x", False),
        (109.0, 100.0, "< 10 %", True),
        (111.0, 100.0, "< 10 %", False),
        (22.0, None, "< 22", False),
        (21.0, None, "< 22", True),
        (21.0, None, ">= 3x", None),
        (21.0, 7.0, None, None),
    ],
)
def test_a_bar_asks_for_a_ratio_an_excess_or_a_figure(
    ours: float, peer: float | None, bar: str | None, met: bool | None
) -> None:
    assert Figure("f", ours, peer, "ms", bar).met is met


def test_a_bar_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bar='fast' of import must read like"):
        Figure("import", 1.0, None, "s", "fast")


def test_the_table_shows_ratio_bar_and_verdict() -> None:
    rows = table([Figure("import", 6e5, 2e5, "messages/s", ">= 3x"), Figure("lake", 0.9, 1.0, "MB", "<= 0.85x")])
    assert [line.split() for line in rows.splitlines()[1:]] == [
        ["import", "600,000", "200,000", "messages/s", "3.00x", ">=", "3x", "yes"],
        ["lake", "0.9", "1", "MB", "0.90x", "<=", "0.85x", "NO"],
    ]


def test_the_table_ends_with_how_many_bars_are_met_and_which_are_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench_a.py").write_text(HARNESS + "print_figures([Figure('a', 9.0, 1.0, 's', '<= 3x')])\n")
    (tmp_path / "bench_b.py").write_text(HARNESS + "print_figures([Figure('b', 2.0, 1.0, 's', '<= 3x')])\n")
    assert main([], tmp_path) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "1 of 2 bars met; missed: a"


def test_pairs_are_timed_in_turn_after_one_of_each_that_is_not_counted() -> None:
    calls: list[str] = []
    ours, peer = medians_of(lambda: calls.append("ours"), lambda: calls.append("peer"), repeats=2)
    assert calls == ["ours", "peer"] * 3
    assert ours > 0
    assert peer > 0
    assert median_of(lambda: calls.append("one"), repeats=2) > 0
    assert calls[6:] == ["one"] * 3


def test_peak_memory_is_that_of_the_command_and_a_failing_one_is_named() -> None:
    small = peak_mb([sys.executable, "-c", "pass"])
    large = peak_mb([sys.executable, "-c", "x = bytearray(80_000_000)"])
    assert 70 < large - small < 100
    with pytest.raises(SystemExit, match="ended with status 3"):
        peak_mb([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_missing_peer_is_one_line_and_the_other_benchmarks_still_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bench_a.py").write_text(HARNESS + "peer_module('no_such_peer')\n")
    (tmp_path / "bench_b.py").write_text(HARNESS + "print_figures([Figure('b', 2.0, 1.0, 's', '<= 3x')])\n")
    assert main(["--json"], tmp_path) == 1
    shown = capfd.readouterr()
    told = [(figure["benchmark"], figure["name"], figure["met"]) for figure in json.loads(shown.out)]
    assert told == [("bench_b", "b", True)]
    assert "the peer no_such_peer is not installed" in shown.err
    assert "`make bench` installs it" in shown.err
    assert "Traceback" not in shown.err
    assert "bench_a could not be run" in shown.err


def test_history_holds_figures_and_versions_by_kind_of_machine_and_names_nobody(tmp_path: Path) -> None:
    for _ in range(2):
        path = save([Figure("import", 6.0, 2.0, "s", ">= 3x")], tmp_path / "history")
    [first, second] = [json.loads(line) for line in path.read_text().splitlines()]
    assert first["figures"] == second["figures"]
    assert first["figures"][0]["ratio"] == 3.0
    assert set(first) == {"date", "cpu", "cores", "versions", "figures"}
    node = subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout.strip()
    assert node not in path.read_text()
    assert str(ROOT) not in path.read_text()
