"""What must hold before the next stage may start: verdicts on events, batch by batch, and on whole tables."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market.events import GAP, LAST, NO_VENUE_TIME, REPLAYED, SNAPSHOT, Events

DAY_NS: Final = 86_400_000_000_000
GAP_SHARE_LIMIT: Final = 0.01  # of the time covered
LAG_P95_LIMIT_MS: Final = 300.0
SETTLING_NS: Final = 60_000_000_000  # a cold clock may still be off in its first minute
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


def ordered(events: Events, date: str) -> Verdict:
    """Events are there, arrive in order, and belong to the UTC date that they are filed under."""
    stamps, start = events["ingest_ts"], day_start(date)
    backwards = int(np.count_nonzero(np.diff(stamps) < 0))
    outside = int(np.count_nonzero((stamps < start) | (stamps >= start + DAY_NS)))
    facts: dict[str, Fact] = {"events": events.size, "backward_steps": backwards, "outside_the_day": outside}
    return Verdict("ordered", events.size > 0 and backwards == 0 and outside == 0, facts)


def gap_share(events: Events) -> Verdict:
    """Less than 1 % of the time covered lies between a gap and the snapshot that mends it."""
    stamps = events["ingest_ts"]
    covered = int(stamps[-1] - stamps[0]) if events.size else 0
    closed = closed_ns(events)
    share = closed / covered if covered else 0.0
    gaps = int(np.count_nonzero(events["kind"] == GAP))
    return Verdict("gap_share", share < GAP_SHARE_LIMIT, {"gaps": gaps, "share": share, "closed_ms": closed / 1e6})


def closed_ns(events: Events) -> int:
    """Time in ns for which a gap kept the book closed; an unmended gap lasts until the last event."""
    if not events.size:
        return 0
    mended = (events["kind"] == SNAPSHOT) & (events["flags"] & LAST > 0)
    turns = np.flatnonzero((events["kind"] == GAP) | mended)
    stamps = np.append(events["ingest_ts"][turns], events["ingest_ts"][-1])
    return int(np.diff(stamps)[events["kind"][turns] == GAP].sum())


def quarantine_share(messages: int, quarantined: int, limit: float) -> Verdict:
    """No more lines than allowed could not be read."""
    share = quarantined / messages if messages else 0.0
    return Verdict("quarantine_share", share <= limit, {"quarantined": quarantined, "share": share})


def lag_p95(events: Events) -> Verdict:
    """The 95th percentile of ``delay_ms`` is below 300."""
    delays = events["delay_ns"][feeds_clock(events)]
    p95 = float(np.percentile(delays, 95)) / 1e6 if delays.size else float("nan")
    return Verdict("ingest_lag_p95", p95 < LAG_P95_LIMIT_MS, {"p95_ms": p95})


def negative_delays(events: Events, cold_start: bool) -> Verdict:
    """No message arrived before it was sent; a cold clock has a minute to settle."""
    settled = events[feeds_clock(events)]
    if cold_start and settled.size:
        settled = settled[settled["ingest_ts"] >= settled["ingest_ts"][0] + SETTLING_NS]
    negative = int(np.count_nonzero(settled["delay_ns"] < 0))
    return Verdict("negative_delays", negative == 0, {"negative": negative, "judged": settled.size})


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
