"""What is stored: recordings, the lake, the warehouse, and a day in another program's format."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Final

from commands.command import Command, add_json, json_of, say, show
from config.settings import Settings

_WAREHOUSE: Final = {
    "query": "print the answer to a question in SQL",
    "rebuild": "put a day of the lake in place of what is there",
}


def fetch(settings: Settings, arguments: argparse.Namespace) -> None:
    """Fetch recordings by name; without a name, list the catalogue."""
    from storage.progress import progress_of
    from storage.recordings import CATALOGUE, catalogue_lines
    from storage.recordings import fetch as fetch_recording

    for name in arguments.names:
        say(str(fetch_recording(name, settings.paths.recordings, progress_of(name))))
    if not arguments.names:
        say(
            json_of([asdict(entry) for entry in CATALOGUE.values()]) if arguments.json else "\n".join(catalogue_lines())
        )


def lake(settings: Settings, arguments: argparse.Namespace) -> None:
    """List, verify or compact what the lake holds; the exit status is 1 where verify or compact finds a fault."""
    from storage.lake import Lake
    from storage.lake_report import COMMANDS as ACTIONS

    show(ACTIONS[arguments.action](Lake(settings.lake_root, settings.paths.lake_cache)), arguments.json)


def warehouse(settings: Settings, arguments: argparse.Namespace) -> None:
    """Ask ClickHouse in SQL, or load a day of the lake into it again; the exit status is 1 where the two differ."""
    from assets.warehouse_commands import COMMANDS as ACTIONS

    show(ACTIONS[arguments.action](settings, arguments), arguments.json)


def export(settings: Settings, arguments: argparse.Namespace) -> None:
    """Write a day of the lake as an event array of hftbacktest."""
    from assets.export import export_day
    from storage.progress import Weighing

    day = arguments.symbol, arguments.date
    count = export_day(settings, *day, arguments.file, arguments.stamps, Weighing())
    say(f"{arguments.file}: {count:,} rows")


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="a recording of the catalogue")
    add_json(parser)


def _add_lake(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "verify", "compact"))
    add_json(parser)


def _add_warehouse(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, dest="action", metavar="ACTION")
    query, rebuild = (actions.add_parser(name, help=about) for name, about in _WAREHOUSE.items())
    query.add_argument("sql", metavar="SQL", help="one statement that changes nothing; see docs/clickhouse.md")
    rebuild.add_argument("symbol", metavar="SYMBOL", help="an instrument of the configuration")
    rebuild.add_argument("date", metavar="DATE", help="UTC, like 2024-08-08")
    for action in (query, rebuild):
        add_json(action)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("symbol", metavar="SYMBOL")
    parser.add_argument("date", metavar="DATE", help="YYYY-MM-DD")
    parser.add_argument("file", metavar="FILE.npz", type=Path)
    about = "the venue's times: corrected to our clock, for a backtest, or as it gave them"
    parser.add_argument("--stamps", choices=("aligned", "raw"), default="aligned", help=about)


COMMANDS: Final = (
    Command(fetch, _add_fetch),
    Command(lake, _add_lake),
    Command(warehouse, _add_warehouse),
    Command(export, _add_export),
)
