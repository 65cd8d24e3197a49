"""What every command is made of: what it does, what may stand behind it, and how it speaks."""

import argparse
import json
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from config.settings import Settings
from storage.progress import CLEAR


class Command(NamedTuple):
    """A word of the command line; its help is the first line of what it runs."""

    run: Callable[[Settings, argparse.Namespace], None]
    add_arguments: Callable[[argparse.ArgumentParser], None]

    @property
    def name(self) -> str:
        """The word."""
        return self.run.__name__

    @property
    def about(self) -> str:
        """One line for the help."""
        return (self.run.__doc__ or "").splitlines()[0]


class Answer(Protocol):
    """The same for people and for programs."""

    @property
    def text(self) -> str:
        """For people."""

    @property
    def plain(self) -> Any:
        """As JSON takes it."""

    @property
    def sound(self) -> bool:
        """False if something was found that must not be."""


class Unread(Exception):
    """Whoever read our output has had enough of it."""


def say(line: str) -> None:
    """A line of progress, or a result, on standard output. Raises Unread if nobody reads it any more."""
    _clear()
    try:
        print(line, flush=True)
    except BrokenPipeError as closed:
        raise Unread from closed


def say_aside(line: str) -> None:
    """A line of progress on standard error, where standard output is for the answer alone."""
    _clear()
    print(line, file=sys.stderr, flush=True)


def _clear() -> None:
    """Take away what ``at_work`` shows on the line that comes now."""
    if sys.stderr.isatty():
        print(CLEAR, end="", file=sys.stderr, flush=True)


def show(answer: Answer, as_json: bool) -> None:
    """Print an answer; the exit status is 1 if it is not sound."""
    say(json_of(answer.plain) if as_json else answer.text)
    if not answer.sound:
        raise SystemExit(1)


def json_of(plain: Any) -> str:
    """A value as JSON, in which a figure that is not finite is null.

    >>> json_of({"net": float("nan"), "by hour": (1.5, float("inf"))})
    '{"net": null, "by hour": [1.5, null]}'
    """
    return json.dumps(_finite(plain), allow_nan=False)


def _finite(plain: Any) -> Any:
    if isinstance(plain, float):
        return plain if math.isfinite(plain) else None
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    return [_finite(value) for value in plain] if isinstance(plain, list | tuple) else plain


def finite(text: str) -> float:
    """A number of the command line. Raises ArgumentTypeError, which the parser reports, if it is none or not finite.

    >>> finite("1.5")
    1.5
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no finite number")
    return number


def positive(text: str) -> float:
    """A number above 0, likewise.

    >>> positive("1e-3")
    0.001
    """
    if not (number := finite(text)) > 0:
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return number


def count(text: str) -> int:
    """A whole number of at least 1, likewise.

    >>> count("3")
    3
    """
    if not (number := positive(text)).is_integer():
        raise argparse.ArgumentTypeError(f"{text} is no whole number")
    return int(number)


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``, for every command that prints more than a line."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")


def nothing_more(_: argparse.ArgumentParser) -> None:
    """What a command adds that takes no arguments."""


def tether(arguments: argparse.Namespace) -> None:
    """End with whoever started this process, where ``--tethered`` asks for it."""
    from live.tether import end_with_starter

    if arguments.tethered:
        end_with_starter()
