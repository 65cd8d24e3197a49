"""Every command of ours that a page shows is one that the command line takes."""

import argparse
import contextlib
import io
import re
import shlex

import pytest

from commands.line import command_line
from tests.builders_pages import ROOT, Said, code_lines, inline_code

TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PARSER = command_line()
MISSING = "the following arguments are required"


def arguments_of(text: str) -> list[str]:
    """What stands behind ``main.py``, with everything optional there, the first of each choice, and a number for N."""
    shown = re.split(r"\s#|[;>&]| -->", text.partition("main.py")[2])[0].replace("[", " ").replace("]", " ")
    words = [word for word in shlex.split(shown) if word != "..."]
    return ["1" if word == "N" else re.sub(r"^([\w.]+)(\|[\w.]+)+$", r"\1", word) for word in words]


def fault_of(arguments: list[str]) -> str:
    """What the command line says against it, empty if nothing."""
    complaint = io.StringIO()
    with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(io.StringIO()):
        try:
            PARSER.parse_args(arguments)
        except SystemExit as ended:
            return complaint.getvalue().strip().splitlines()[-1] if ended.code else ""
    return ""


def options_of(arguments: list[str], parser: argparse.ArgumentParser) -> set[str]:
    """Every option that the commands named in it take."""
    taken = set(parser._option_string_actions)
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    named = [(place, word) for place, word in enumerate(arguments) if choices and word in choices[0]]
    for place, word in named[:1]:
        taken |= options_of(arguments[place + 1 :], choices[0][word])
    return taken


def refused(said: Said, whole: bool) -> str:
    """Why the command line would refuse it, empty if it would not.

    whole : it stands there to be typed, so that nothing required may be missing
    """
    arguments = arguments_of(said.text)
    unknown = {word.partition("=")[0] for word in arguments if word.startswith("--")} - options_of(arguments, PARSER)
    fault = fault_of(arguments)
    if MISSING in fault and not whole:
        fault = ""
    return f"{said.page}: {said.text}: {fault or sorted(unknown)}" if fault or unknown else ""


def test_commands_in_code_blocks_are_taken_as_they_stand() -> None:
    shown = [said for said in code_lines() if "main.py " in said.text]
    assert len(shown) > 20
    assert list(filter(None, (refused(said, "..." not in said.text) for said in shown))) == []


def test_commands_in_prose_exist_with_their_options() -> None:
    shown = {said for said in inline_code() if re.search(r"(^|[ /])main\.py \w", said.text)}
    assert len(shown) > 20
    assert list(filter(None, (refused(said, False) for said in sorted(shown)))) == []


@pytest.mark.parametrize(
    ("text", "whole", "why"),
    [
        ("main.py lake list", True, ""),
        ("main.py lake lisst", True, "invalid choice"),
        ("main.py backtest --bundel champion", False, "--bundel"),
        ("main.py registry show MODEL", True, MISSING),
        ("main.py registry show MODEL", False, ""),
    ],
)
def test_a_command_that_is_none_is_found(text: str, whole: bool, why: str) -> None:
    told = refused(Said("page", text), whole)
    assert (why in told) if why else told == ""


def test_every_target_that_a_page_names_is_in_the_makefile() -> None:
    lines = [*(said for said in code_lines() if said.text.startswith("make ")), *inline_code()]
    named = {(said.page, found[1]) for said in lines if (found := re.match(r"make ([a-z]+)\b", said.text))}
    assert len({target for _, target in named}) > 4
    assert sorted(said for said in named if said[1] not in TARGETS) == []
