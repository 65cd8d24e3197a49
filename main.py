"""Entry: reads the command line, runs its command, and reports a fault in one line. Run ``python main.py --help``."""

import argparse
import os
import signal
import sys
from contextlib import nullcontext
from typing import Final

from commands.command import Unread, say_aside
from commands.line import SILENT, command_line, settings_of
from commands.waiting import at_work
from config.refusals import RefusedKey, note_refusal
from config.settings import Paths
from market.errors import TickloopError
from market.kernel_cache import var_folder

INTERRUPTED: Final = 130
UNREAD: Final = 141  # as of a program that a broken pipe has ended


def main() -> int:
    """Exit status: 0, 1 after a fault, 2 for what is no command line, 130 after an interrupt or a request to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is open is closed, what was started is ended
    arguments = command_line().parse_args()
    try:
        _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Unread:  # nothing is left to be flushed at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except (TickloopError, OSError) as fault:
        return _told(fault)
    return 0


def _run(arguments: argparse.Namespace) -> None:
    settings = settings_of(arguments)
    with at_work(arguments.command.__name__) if arguments.command in SILENT else nullcontext():
        arguments.command(settings, arguments)


def _told(fault: Exception) -> int:
    say_aside(f"tickloop: {fault}")
    if isinstance(fault, RefusedKey):
        note_refusal(Paths(var_folder()).refused_starts, fault)
    return 1


if __name__ == "__main__":
    sys.exit(main())
