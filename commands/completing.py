"""Completion for a shell, made from the parser that reads the command line: ``eval "$(main.py completion bash)"``."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from commands.command import Command, say
from config.settings import Settings

SHELLS: Final = ("bash", "zsh", "fish")
ENTRY: Final = Path(__file__).resolve().parents[1] / "main.py"


class Node(NamedTuple):
    """A place on the command line: what may stand next, and what the options there take."""

    path: str  # words so far, "registry approve"
    words: tuple[str, ...]  # commands, choices of arguments, options
    values: Mapping[str, tuple[str, ...]]  # option that takes a value -> its choices; none: a file or anything


def completion(_: Settings, arguments: argparse.Namespace) -> None:
    """Print a shell's completion, and a function tickloop that stands for this main.py; evaluate it in the shell."""
    from commands.line import command_line

    say(script(arguments.shell, command_line(), f"{shlex.quote(sys.executable)} {shlex.quote(str(ENTRY))}"))


def script(shell: str, parser: argparse.ArgumentParser, program: str) -> str:
    """A shell's completion of ``tickloop``, which runs ``program``."""
    return _SCRIPTS[shell](list(nodes(parser)), program)


def nodes(parser: argparse.ArgumentParser, path: str = "") -> Iterator[Node]:
    """Every place of a command line, the words in the order of its help."""
    plain = [action for action in parser._actions if not isinstance(action, argparse._SubParsersAction)]
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    words = [name for action in below for name in action.choices]
    words += [str(choice) for action in plain if not action.option_strings for choice in action.choices or ()]
    words += [option for action in plain for option in action.option_strings]
    taking = {option: action for action in plain if action.nargs != 0 for option in action.option_strings}
    values = {option: tuple(map(str, action.choices or ())) for option, action in taking.items()}
    yield Node(path, tuple(words), values)
    for action in below:
        for name, inner in action.choices.items():
            yield from nodes(inner, f"{path} {name}".strip())


def bash(places: list[Node], program: str) -> str:
    """For bash 4 and later."""
    return _BASH.format(program=program, words=_array(_words(places)), values=_array(_values(places)))


def zsh(places: list[Node], program: str) -> str:
    """For zsh, after ``compinit``."""
    return _ZSH.format(program=program, words=_array(_words(places)), values=_array(_values(places)))


def fish(places: list[Node], program: str) -> str:
    """For fish 3 and later."""
    known = " ".join(shlex.quote(path) for path in _words(places) if path)
    taking = " ".join(shlex.quote(place) for place in _values(places))
    lines = [
        f"complete -c tickloop -f -n {_at(path)} -a {shlex.quote(words)}" for path, words in _words(places).items()
    ]
    for place, choices in _values(places).items():
        offered = f"-f -a {shlex.quote(choices)}" if choices else "-F"
        lines.append(f"complete -c tickloop {offered} -n {_at(place)}")
    return _FISH.format(program=program, known=known, taking=taking, lines="\n".join(lines))


def _words(places: list[Node]) -> dict[str, str]:
    return {place.path: " ".join(place.words) for place in places}


def _values(places: list[Node]) -> dict[str, str]:
    return {
        f"{place.path} {option}".strip(): " ".join(choices)
        for place in places
        for option, choices in place.values.items()
    }


def _array(entries: Mapping[str, str]) -> str:
    return "\n".join(f"  [{shlex.quote('/' + key)}]={shlex.quote(text)}" for key, text in entries.items())


def _at(path: str) -> str:
    return shlex.quote(f"test (__tickloop_place) = '/{path}'")


_BASH: Final = """\
declare -A _tickloop_words=(
{words}
)
declare -A _tickloop_values=(
{values}
)
tickloop() {{ {program} "$@"; }}
_tickloop() {{
  local place=/ word=${{COMP_WORDS[COMP_CWORD]}} i past
  for ((i = 1; i < COMP_CWORD; i++)); do
    past="${{place#/}} ${{COMP_WORDS[i]}}"
    past="/${{past# }}"
    if [[ -n ${{_tickloop_words[$past]+there}} ]]; then place=$past
    elif [[ -n ${{_tickloop_values[$past]+there}} ]]; then
      if ((i == COMP_CWORD - 1)); then
        if [[ -n ${{_tickloop_values[$past]}} ]]; then
          COMPREPLY=($(compgen -W "${{_tickloop_values[$past]}}" -- "$word"))
        else
          compopt -o filenames 2>/dev/null
          COMPREPLY=($(compgen -f -- "$word"))
        fi
        return
      fi
      ((++i))
    fi
  done
  COMPREPLY=($(compgen -W "${{_tickloop_words[$place]}}" -- "$word"))
}}
complete -o default -F _tickloop tickloop main.py"""

_ZSH: Final = """\
typeset -gA _tickloop_words=(
{words}
)
typeset -gA _tickloop_values=(
{values}
)
tickloop() {{ {program} "$@"; }}
_tickloop() {{
  local place=/ past i
  for ((i = 2; i < CURRENT; i++)); do
    past="/${{${{:-${{place#/}} ${{words[i]}}}}# }}"
    if (( ${{+_tickloop_words[$past]}} )); then place=$past
    elif (( ${{+_tickloop_values[$past]}} )); then
      if ((i == CURRENT - 1)); then
        if [[ -n ${{_tickloop_values[$past]}} ]]; then compadd -- ${{=_tickloop_values[$past]}}; else _files; fi
        return
      fi
      ((++i))
    fi
  done
  compadd -- ${{=_tickloop_words[$place]}} || _files
}}
compdef _tickloop tickloop main.py"""

_FISH: Final = """\
set -g __tickloop_known {known}
set -g __tickloop_taking {taking}
function tickloop; {program} $argv; end
function __tickloop_place
  set -l past (commandline -opc)
  set -l place
  set -l skip 0
  set -l count (count $past)
  for i in (seq 2 $count)
    if test $skip = 1; set skip 0; continue; end
    set -l next (string trim -- "$place $past[$i]")
    if contains -- $next $__tickloop_known; set place $next
    else if contains -- $next $__tickloop_taking
      if test $i = $count; echo "/$next"; return; end
      set skip 1
    end
  end
  echo "/$place"
end
{lines}"""

_SCRIPTS: Final[dict[str, Callable[[list[Node], str], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


COMMANDS: Final = (Command(completion, _add_completion),)
