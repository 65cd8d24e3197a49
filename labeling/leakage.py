"""Proof by poison: spoil what comes after an instant, and demand that nothing known at it moves.

The blocking checks call these on samples of real partitions; they hold for any function of a tape.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from labeling.replay import PAST_END
from market.events import Events, venue_ts

Rows = tuple[NDArray[np.int64], NDArray[np.generic]]  # row_ts (N,), values (N, F)

PRICE_SHIFT: Final = 1_009  # ticks: far beyond any spread, so that a leak cannot round away


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What the search for a leak found."""

    checked: int  # rows compared, over all instants
    first_ts: int | None  # earliest row_ts that knew of its future, ns; None: none did

    @property
    def clean(self) -> bool:
        """Whether rows were compared and none moved."""
        return self.checked > 0 and self.first_ts is None


def poison_after(events: Events, ts: int) -> Events:
    """A copy in which whatever we received after ``ts`` has another price and quantity, at the same times."""
    return _poison(events, events["ingest_ts"] > ts)


def poison_beyond(events: Events, ts: int) -> Events:
    """A copy in which whatever the venue's book took after ``ts`` has another price and quantity."""
    return _poison(events, venue_ts(events) > ts)


def truncate_after(events: Events, ts: int) -> Events:
    """A copy of the events that we had received by ``ts``."""
    return events[events["ingest_ts"] <= ts].copy()


def _poison(events: Events, where: NDArray[np.bool_]) -> Events:
    spoiled = events.copy()
    spoiled["price"][where] += PRICE_SHIFT + np.abs(spoiled["price"][where]) // 50
    spoiled["qty"][where] += 1 + spoiled["qty"][where] // 3
    return spoiled


def ignores_future(clean: Rows, spoiled: Callable[[int], Iterable[Rows]], instants: Iterable[int]) -> LeakReport:
    """Whether rows up to each instant are the same, bit for bit, in each of the runs whose later input was spoiled."""
    checked, moved = 0, []
    for instant in instants:
        known = _until(clean, instant)
        for rows in spoiled(instant):
            checked += known[0].size
            moved.append(_moved_rows(known, _until(rows, instant)))
    return LeakReport(checked, _earliest(moved))


def _until(rows: Rows, instant: int) -> Rows:
    early = rows[0] <= instant
    return rows[0][early], rows[1][early]


def labels_ignore_beyond_exit(
    labels_of: Callable[[Events], pl.DataFrame],
    events: Events,
    instants: Iterable[int],
    horizons_ms: Iterable[int],
    stored: pl.DataFrame | None = None,
) -> LeakReport:
    """Whether every label whose exit lies at or before an instant is the same when later events are poisoned.

    stored : the table that is in use, of the same rows; None: the one that ``labels_of`` makes of the clean tape
    Labels past the end of the tape do not count as checked.
    """
    clean, checked, moved = labels_of(events) if stored is None else stored, 0, []
    for instant in instants:
        spoiled = labels_of(poison_beyond(events, instant))
        for horizon_ms in horizons_ms:
            exited = (clean["te"] + horizon_ms * 1_000_000 <= instant).to_numpy()
            checked += int(np.count_nonzero(exited & (clean[f"status_{horizon_ms}"] != PAST_END).to_numpy()))
            pair = (_cells(table, horizon_ms, exited) for table in (clean, spoiled))
            moved.append(_moved_rows(*pair))
    return LeakReport(checked, _earliest(moved))


def _cells(table: pl.DataFrame, horizon_ms: int, exited: NDArray[np.bool_]) -> Rows:
    waited = (pl.col("te") - pl.col("row_ts")).alias("waited")  # as a float exact to the ns, which te is not
    names = [
        "lots",
        "entry_mid",
        "sell_at",
        "buy_at",
        *(name for name in table.columns if name.endswith(f"_{horizon_ms}")),
    ]
    chosen = table.filter(pl.Series(exited))
    return chosen["row_ts"].to_numpy(), chosen.select(waited, *names).cast(pl.Float64).to_numpy()


def _moved_rows(clean: Rows, spoiled: Rows) -> NDArray[np.int64]:
    """Times of the rows that differ; of all of them where the rows themselves are others."""
    if not np.array_equal(clean[0], spoiled[0]):
        return np.setxor1d(clean[0], spoiled[0])
    same = (clean[1] == spoiled[1]) | ((clean[1] != clean[1]) & (spoiled[1] != spoiled[1]))  # NaN equals NaN
    return clean[0][~same.all(axis=1)]


def _earliest(moved: list[NDArray[np.int64]]) -> int | None:
    times = np.concatenate([*moved, np.zeros(0, np.int64)])
    return int(times.min()) if times.size else None
