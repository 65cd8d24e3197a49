"""What must hold before the next stage may start: verdicts on events, batch by batch, and on whole tables."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market.events import NO_VENUE_TIME, REPLAYED, SNAPSHOT, Events

DAY_NS: Final = 86_400_000_000_000
MOST_SHOWN: Final = 20  # rows of a table in a check's metadata; all are counted

Fact = float | int | str


class Verdict(NamedTuple):
    """One check's answer, and what it rests on."""

    name: str
    passed: bool
    facts: Mapping[str, Fact]
    pages: Mapping[str, str] = MappingProxyType({})  # Markdown, shown in the UI and kept nowhere else


class EventCheck(Protocol):
    """A check that reads a day's events once, in order, in constant memory."""

    def add(self, events: Events) -> None:
        """Take in the next events; they stay as they are."""
        ...

    def verdict(self) -> Verdict:
        """The answer on everything taken in so far."""
        ...


def run_checks(batches: Iterable[Events], checks: Sequence[EventCheck]) -> list[Verdict]:
    """The verdicts of all checks after one pass over the batches."""
    for events in batches:
        for check in checks:
            check.add(events)
    return [check.verdict() for check in checks]


def day_start(date: str) -> int:
    """Midnight UTC that a day begins with, ns.

    >>> day_start("2024-08-08")
    1723075200000000000
    """
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def feeds_clock(events: Events) -> NDArray[np.bool_]:
    """Which events bear a venue's stamp that was fresh when they arrived."""
    return (events["flags"] & (NO_VENUE_TIME | REPLAYED) == 0) & (events["kind"] != SNAPSHOT)


def alike(name: str, first: pl.DataFrame, second: pl.DataFrame) -> Verdict:
    """Two tables are equal, bit for bit."""
    differing = [column for column in first.columns if not _same_bits(first, second, column)]
    facts: dict[str, Fact] = {"rows": first.height, "differing": ", ".join(differing)}
    return Verdict(name, first.height > 0 and first.shape == second.shape and not differing, facts)


def _same_bits(first: pl.DataFrame, second: pl.DataFrame, column: str) -> bool:
    if column not in second.columns:
        return False
    return first[column].to_numpy().tobytes() == second[column].to_numpy().tobytes()
