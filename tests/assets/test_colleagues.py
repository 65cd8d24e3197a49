"""Processes beside this one: they do the work, their death is told, and an error here ends them."""

import os
import signal
from pathlib import Path

import pytest

from assets.colleagues import colleagues


def leave_a_mark(folder: Path) -> None:
    """What each of them does."""
    (folder / str(os.getpid())).touch()


def die(folder: Path) -> None:
    """What one does that is killed."""
    leave_a_mark(folder)
    os.kill(os.getpid(), signal.SIGKILL)


def stay(folder: Path) -> None:
    """What one does that would never end."""
    leave_a_mark(folder)
    signal.pause()


def test_every_colleague_has_worked_when_the_context_is_left(tmp_path: Path) -> None:
    said: list[str] = []
    with colleagues(leave_a_mark, 2, (tmp_path,), said.append):
        pass
    assert len(list(tmp_path.iterdir())) == 2
    assert said == []


def test_a_colleague_that_dies_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    with colleagues(die, 1, (tmp_path,), said.append):
        pass
    assert said == ["process 1 beside this one ended with code -9"]


def test_an_error_ends_the_colleagues(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ValueError, match="here"), colleagues(stay, 1, (tmp_path,), said.append):
        raise ValueError("here")
    assert said == ["process 1 beside this one ended with code -15"]
