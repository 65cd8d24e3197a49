"""The command line: its parser, the settings that it asks for, and which of its words may hold keys to an exchange."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final, NoReturn

from commands import chain, completing, floor, judged, stored
from commands.command import Command
from config.loading import choose_profile, load_live_keys, load_settings, refuse_live_keys
from config.settings import Settings

COMMANDS: Final[tuple[Command, ...]] = (
    *chain.COMMANDS,
    *stored.COMMANDS,
    *judged.COMMANDS,
    *floor.COMMANDS,
    *completing.COMMANDS,
)
TRADING: Final = (floor.exchange, floor.live)
RESEARCH: Final = (  # whatever stands in the environment, no order of these reaches an exchange
    *(chain.demo, chain.run, chain.ui, chain.metrics),
    *(command.run for command in (*stored.COMMANDS, *judged.COMMANDS)),
)
SILENT: Final = (
    chain.kernels,
    *(command.run for command in (*stored.COMMANDS, *judged.COMMANDS)),
    floor.parity,
    floor.explain,
)
MISUSE: Final = 2  # exit status


class OneLine(argparse.ArgumentParser):
    """A parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where to read what is allowed."""
        print(f"tickloop: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(MISUSE)


def command_line() -> argparse.ArgumentParser:
    """What may stand on the command line."""
    parser = OneLine(prog="main.py", description="Raw order-book ticks to a model that trades.")
    parser.add_argument("--config", type=Path, help="a settings file instead of the profile that APP_ENV names")
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        word = words.add_parser(command.name, help=command.about, description=command.about)
        word.set_defaults(command=command.run)
        command.add_arguments(word)
    return parser


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What --config or --profile asks for, also of the processes that we start; keys only for those that trade.

    Raises ConfigError if the settings are wrong, or a command of research was given keys to an exchange.
    """
    if arguments.config:
        os.environ["TICKLOOP_CONFIG"] = str(arguments.config.resolve())
    if named := getattr(arguments, "profile", None):
        choose_profile(named)
    if arguments.command in TRADING:
        load_live_keys()
    settings = load_settings()
    if arguments.command in RESEARCH:
        refuse_live_keys(os.environ)
    return settings
