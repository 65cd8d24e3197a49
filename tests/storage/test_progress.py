"""What who waits at a terminal reads: shares, counts and the time that is left; whoever pipes reads none of it."""

import io
import os
import pty
import termios
import threading

import pytest

from storage.progress import CLEAR, Counting, LastLine, Pace, Weighing, untold, unweighed
from tests.builders_terminal import Terminal, Ticking


def test_the_share_is_that_of_the_sizes_and_the_rest_takes_as_long_as_it_did_so_far() -> None:
    terminal = Terminal()
    told = Weighing(terminal, every_s=0.0, clock=Ticking())
    assert list(told("level 1 of 4", ["a", "bbb", "cccc"], 8, len)) == ["a", "bbb", "cccc"]
    assert terminal.told == ["level 1 of 4: 12 %, about 14 s to go", "level 1 of 4: 50 %, about 4 s to go"]


def test_what_grows_while_it_is_read_is_never_more_than_whole_nor_done_in_the_past() -> None:
    terminal = Terminal()
    assert list(Weighing(terminal, 0.0, Ticking())("level 1 of 4", ["aaa", "bbb", "c"], 2, len)) == ["aaa", "bbb", "c"]
    assert terminal.told == ["level 1 of 4: 100 %, about 0 s to go"] * 2
    assert list(Weighing(terminal, 0.0, Ticking())("level 1 of 4", ["aaa", "b"], 0, len)) == ["aaa", "b"]
    assert terminal.told[2:] == ["level 1 of 4: 100 %, about 0 s to go"]


def test_things_that_count_alike_need_no_size() -> None:
    terminal = Terminal()
    assert list(Weighing(terminal, 0.0, Ticking())("draws", range(2), 2)) == [0, 1]
    assert terminal.told == ["draws: 50 %, about 2 s to go"]


def test_a_count_says_how_long_the_rest_takes() -> None:
    terminal = Terminal()
    assert list(Counting("points", terminal, 0.0, Ticking())("abc", 3)) == ["a", "b", "c"]
    assert terminal.told == ["1 of 3 points, about 4 s to go", "2 of 3 points, about 2 s to go"]


def test_a_line_comes_every_few_seconds_and_no_more_often() -> None:
    terminal = Terminal()
    assert len(list(Counting("points", terminal, 5.0, Ticking())(range(21), 21))) == 21
    assert [line.partition(" ")[0] for line in terminal.told] == ["5", "9", "13", "17"]
    pace = Pace(terminal, 5.0, Ticking(2.0))
    for line in ("early", "early too", "due"):
        pace.say(line)
    assert terminal.told[4:] == ["due"]


def test_the_last_line_is_written_over_and_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    line = LastLine(terminal)
    line.show("slice 1 of 3, about 20 s to go")
    line.clear()
    assert terminal.told == ["slice 1 of 3, about"]
    assert "\n" not in terminal.getvalue()


def test_a_terminal_whose_output_a_person_has_stopped_holds_nobody_up() -> None:
    outer, inner = pty.openpty()
    with open(inner, "w") as terminal:
        termios.tcflow(inner, termios.TCOOFF)
        showing = threading.Thread(target=LastLine(terminal).show, args=("missed",), daemon=True)
        showing.start()
        showing.join(2.0)
        held_up = showing.is_alive()
        termios.tcflow(inner, termios.TCOON)
        showing.join()
        LastLine(terminal).show("seen")
        shown = os.read(outer, 100).decode()
    os.close(outer)
    assert not held_up
    assert shown == f"{CLEAR}seen"


def test_nothing_is_written_where_nobody_waits() -> None:
    pipe, clock = io.StringIO(), Ticking()
    assert list(Weighing(pipe, 0.0, clock)("level 1 of 4", "abc", 3)) == ["a", "b", "c"]
    assert list(Counting("points", pipe, 0.0, clock)("abc", 3)) == ["a", "b", "c"]
    Pace(pipe, 0.0, clock).say("due")
    LastLine(pipe).show("slice 1 of 3")
    assert list(unweighed("level 1 of 4", "abc", 3)) == list(untold("abc", 3)) == ["a", "b", "c"]
    assert pipe.getvalue() == ""
