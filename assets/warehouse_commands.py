"""What ``main.py warehouse`` does: answers a question, or loads a day again."""

import argparse
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any, Final

from assets.partitions import Part
from assets.report import Report
from assets.resources import lake_of
from assets.warehouse import load_day, opened, parity_of
from config.settings import Settings
from market.errors import DataError
from storage.clickhouse import Answer
from storage.progress import Weighing


def query(settings: Settings, arguments: argparse.Namespace) -> Report:
    """The answer to one statement that changes nothing, a line for each row; raises WarehouseError if refused."""
    with opened(settings) as warehouse:
        answer = warehouse.query(arguments.sql)
    lines = [answer.columns, *answer.rows]
    return Report("\n".join("\t".join(map(_shown, line)) for line in lines), list(_objects(answer)))


def rebuild(settings: Settings, arguments: argparse.Namespace) -> Report:
    """Load a day of the lake again, and hold it against the lake; unsound where they differ.

    Raises DataError if the lake has no such day that passed its checks.
    """
    part, lake = Part(settings.instrument(arguments.symbol).name, _valid_date(arguments.date)), lake_of(settings)
    with opened(settings) as warehouse:
        facts = load_day(warehouse, lake, part, Weighing())
        found = parity_of(warehouse, lake, part)
    differing = sum(found.differing.values())
    line = f"{part.symbol} {part.key}: {facts['events']:,} events in {facts['insert_s']:.1f} s, {differing} rows differ"
    return Report(line, {**facts, "rows": found.rows, "differing": found.differing}, found.exact)


COMMANDS: Final[dict[str, Callable[[Settings, argparse.Namespace], Report]]] = {"query": query, "rebuild": rebuild}


def _objects(answer: Answer) -> Iterable[dict[str, Any]]:
    return (dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows)


def _plain(value: Any) -> Any:
    """A value as JSON takes it; what JSON has no word for becomes text."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else _shown(value)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _valid_date(text: str) -> str:
    try:
        return str(date.fromisoformat(text))
    except ValueError as error:
        raise DataError(f"{text!r} is no date of the form 2024-08-08") from error
