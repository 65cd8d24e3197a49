"""Every fault of a person at the command line is one line and an exit status; who waits is told, who pipes is not."""

import io
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

import main
from commands.command import json_of, show
from commands.completing import nodes
from commands.line import command_line
from commands.waiting import at_work
from storage.lake_report import Report
from storage.progress import CLEAR, LastLine
from tests.builders_terminal import Terminal

ROOT = Path(__file__).parents[2]
BACKTEST = "backtest --bundle x --symbol binance-coinm-btcusd_perp"
ODD = (  # what nobody should type, and the status that it ends with
    *((f"{word} {tail}", 2) for word in ("", "nothing", "lake", "warehouse", "explain") for tail in ("", "--odd")),
    *((f"exchange --{side}-port {port}", 2) for side in ("ws", "rest") for port in ("x", "-1", "65536")),
    *(
        (line, 2)
        for line in ("parity . --level 5", "live --profile staging", "lake burn", "registry show x", "cells --json=1")
    ),
    *(
        (line, 1)
        for line in ("fetch nothing", "fetch ../../etc/passwd", "--config / fetch", "--config /nonexistent fetch")
    ),
    *((f"exchange {odd}", 1) for odd in ("--symbol nothing", "--recording nothing")),
    *((f"exchange {odd}", 1) for odd in ("--fault x", "--fault gap:x", "--fault gap:nan", "--chaos 1 2 -3")),
    *((f"exchange {odd}", 2) for odd in ("--speed 0", "--speed nan", "--speed x", "--chaos nan nan nan")),
    *((f"record --seconds {odd}", 2) for odd in ("nan", "inf", "-1", "0", "1e999", "x")),
    *((f"benchmark recordings {odd}", 2) for odd in ("--seeds 0", "--seeds 1.5", "--budget-minutes nan")),
    *((f"{BACKTEST} --from 1 --to 2 {odd}", 2) for odd in ("--jobs 0", "--jobs x", "--margin nan", "--margin -1")),
    *((f"{BACKTEST} {odd}", 1) for odd in ("--from nan --to 2", "--from 1 --to inf", "--from 1 --to 2 --fees nan,1")),
    *(
        (f"{BACKTEST} --from 1 --to 2 {odd}", 1)
        for odd in ("--latency stress:nan", "--latency stress:inf", "--sweep fee=nan", "--deposit BTC=nan")
    ),
    *((f"live {odd}", 1) for odd in ("--symbol nothing", "--gateway exchange", "--adopt-position")),
    *((f"{BACKTEST} {odd}", 1) for odd in ("--from never --to 2", "--from 5 --to 2", "--from 1 --to 2 --fees a,b")),
    *((f"{BACKTEST} --from 1 --to 2 {odd}", 1) for odd in ("--policy x", "--queue x", "--sweep fee=x", "--latency x")),
    *(
        (line, 1)
        for line in ("record --symbol nothing", "parity /nonexistent", "explain x", "explain probe-1", "cells")
    ),
    *((line, 1) for line in ("export nothing 2024-08-08 x.npz", "warehouse rebuild x nodate", "warehouse query ''")),
)


@pytest.mark.parametrize(("line", "status"), ODD)
def test_an_odd_command_line_is_one_line(
    line: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKLOOP_VAR", str(tmp_path))
    monkeypatch.setenv("TICKLOOP_CONFIG", "")
    monkeypatch.setattr(sys, "argv", ["main.py", *shlex.split(line)])
    try:
        ended = main.main()
    except SystemExit as refused:
        ended = refused.code
    told = capsys.readouterr()
    assert (ended, told.out) == (status, "")
    assert told.err.startswith("tickloop: ")
    assert len(told.err.splitlines()) == 1


def test_every_command_that_prints_a_table_prints_json_as_well() -> None:
    lines = {"export", "run", "ui", "metrics", "kernels", "exchange", "live", "record", "completion"}
    places = {node.path: node for node in nodes(command_line()) if node.path.partition(" ")[0] not in lines}
    inner = {path for path in places if any(other.startswith(f"{path} ") for other in places)} | {""}
    assert [path for path, node in places.items() if path not in inner and "--json" not in node.words] == []


def test_an_answer_that_is_not_sound_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    show(Report("a table", {"net": float("nan")}), as_json=True)
    with pytest.raises(SystemExit) as ended:
        show(Report("a fault", {}, sound=False), as_json=False)
    assert ended.value.code == 1
    assert capsys.readouterr().out == '{"net": null}\na fault\n'
    assert json_of((1, float("-inf"))) == "[1, null]"


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} main.py fetch | head -c 0; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_who_waits_at_a_terminal_sees_for_how_long() -> None:
    terminal, deadline = Terminal(), time.monotonic() + 60
    with at_work("backtest", terminal, every_s=0.001, after_s=0.0):
        while "backtest, " not in terminal.getvalue():
            assert time.monotonic() < deadline
    assert terminal.getvalue().endswith(CLEAR)


def test_nobody_else_is_told_anything() -> None:
    pipe = io.StringIO()
    with at_work("backtest", pipe, every_s=0.001, after_s=0.0):
        pass
    assert pipe.getvalue() == ""


def test_a_fault_stands_alone_where_something_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TICKLOOP_CONFIG", "")  # which --config sets, and which is as it was after the test
    monkeypatch.setattr(sys, "argv", ["main.py", "--config", "/nonexistent", "fetch"])
    LastLine().show("slice 1 of 3")
    assert main.main() == 1
    assert [line.partition(":")[0] for line in terminal.told] == ["slice 1 of 3", "tickloop"]
