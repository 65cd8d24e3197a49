"""What a shell offers at every place of the command line is what the parser takes there."""

import argparse
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from commands.completing import nodes, script
from commands.line import command_line

OFFERED = {  # line, the word to complete last -> what must be offered, and nothing else but options
    "tickloop re": ["record", "registry"],
    "tickloop registry ap": ["approve"],
    "tickloop registry approve --ro": ["--role"],
    "tickloop registry approve --role ch": ["challenger", "champion"],
    "tickloop live --profile ''": ["dev", "prod"],
    "tickloop --config own.yaml lake ver": ["verify"],
    "tickloop --config registry lake co": ["compact"],
    "tickloop --config MAKEFILE": ["MAKEFILE-of-ours"],
}
ASK = {
    "bash": 'source "$1"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _tickloop; '
    'printf "%s\\n" "${{COMPREPLY[@]}}"',
    "zsh": "compdef() {{ : }}; compadd() {{ shift; print -lr -- ${{(M)@:#${{words[-1]}}*}} }}; "
    '_files() {{ print -lr -- ${{words[-1]}}*(N) }}; source "$1"; words=({line}); CURRENT=$#words; _tickloop',
    "fish": 'source $argv[1]; complete -C "{line}" | string replace -r "\\t.*" ""',
}
WITHOUT_RC = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}


def shell(name: str) -> str:
    """Path of a shell; without one the test is skipped, or fails where every service is required."""
    found = shutil.which(name)
    if found is None and os.environ.get("TICKLOOP_REQUIRE_SERVICES") == "1":
        pytest.fail(f"no {name}; apt-get install {name}")
    return found or pytest.skip(f"no {name}; apt-get install {name}")


@pytest.mark.parametrize("name", ASK)
def test_a_shell_offers_what_the_parser_takes(name: str, tmp_path: Path) -> None:
    program = shell(name)
    (tmp_path / "MAKEFILE-of-ours").touch()
    (tmp_path / "script").write_text(script(name, command_line(), "true"))
    found = {}
    for line in OFFERED:
        asked = line.replace("''", "") if name == "fish" else line
        command = [program, *WITHOUT_RC[name], ASK[name].format(line=asked)]
        command += [*([name] if name != "fish" else []), str(tmp_path / "script")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.stderr == ""
        found[line] = sorted(done.stdout.split())
    assert found == OFFERED


def test_the_function_runs_this_program_with_its_words(tmp_path: Path) -> None:
    program = shlex.join([shell("printf"), "%s|"])
    (tmp_path / "script").write_text(script("bash", command_line(), program))
    done = subprocess.run(
        ["bash", "--norc", "-c", 'source "$1"; tickloop lake "a b"', "bash", tmp_path / "script"], capture_output=True
    )
    assert done.stdout == b"lake|a b|"


def test_every_command_and_option_is_at_its_place() -> None:
    places = {node.path: node for node in nodes(command_line())}
    top = command_line()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert set(top) <= set(places[""].words)
    assert {"list", "verify", "compact", "--json"} <= set(places["lake"].words)
    assert places["registry approve"].values["--role"] == ("champion", "challenger", "fallback")
    assert "--json" not in places["lake"].values


def test_a_parser_without_commands_has_one_place() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("kind", choices=("a", "b"))
    parser.add_argument("--deep", nargs=2)
    (place,) = nodes(parser)
    assert place == ("", ("a", "b", "--deep"), {"--deep": ()})
