"""Rows of a whole stretch of events, and the frame that they are stored as."""

from collections.abc import Generator, Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import VALID, feature_names
from features.layout import ALONE, BOUND, FLOOR, NEXT_ROW, LeaderRows, State
from features.parameters import FeatureParameters
from features.step import advance, limits, plan
from market.errors import DataError
from market.events import Events, empty_events
from market.spill import require_room
from market.units import NS_PER_MS

MOST_ROWS: Final = 50_000  # that are made at once of a stretch of batches


class Rows(NamedTuple):
    """Feature rows in order of time; N rows, F features."""

    row_ts: NDArray[np.int64]  # (N,) ns UTC
    status: NDArray[np.uint8]  # (N,) features.catalogue.STATUS_NAMES
    best_bid: NDArray[np.int64]  # (N,) ticks, 0: none, or the book is closed
    best_ask: NDArray[np.int64]  # (N,) ticks, likewise
    raw: NDArray[np.float32]  # (N, F), in the feature's unit
    values: NDArray[np.float32]  # (N, F), normalised: what models see


def feature_rows(
    events: Events, state: State, parameters: FeatureParameters, until: int, leader: LeaderRows = ALONE
) -> Rows:
    """Every row that closes up to ``until`` (ns), starting with the one that is open in ``state``.

    Changes ``state`` in place, so that a later call goes on where this one stopped. A fresh state
    opens its first row at the first instant of the grid at or after the first event. An empty
    stretch still has its rows.

    leader : rows of the leader that no row of ours has seen; each is seen by our first row at or after it, and
        those later than the last row that closes (see ``seen_by_rows``) are for a later call
    Raises DataError if an event is later than ``until``, the state has other settings, or the book runs out of room.
    """
    require_plan(state, parameters)
    if events.size and int(events["ingest_ts"].max()) > until:
        raise DataError(f"an event of {int(events['ingest_ts'].max())} is later than until={until}")
    count = _row_count(events, state, parameters, until)
    row_ts, status = np.empty(count, np.int64), np.empty(count, np.uint8)
    touch = np.empty((count, 2), np.int64)
    raw, values = (np.empty((count, state[7].shape[0]), np.float32) for _ in range(2))
    advance(state, np.require(events, requirements=["C", "W"]), until, leader, (row_ts, status, touch, raw, values))
    require_room(state[2])
    return Rows(row_ts, status, touch[:, 0].copy(), touch[:, 1].copy(), raw, values)


def require_plan(state: State, parameters: FeatureParameters) -> None:
    """Raise DataError unless the state was made under these parameters and this catalogue."""
    settings, scales = plan(parameters), limits(parameters)
    same_window = state[6].shape == (2, scales.shape[0], parameters.normalizer_samples)
    if not (np.array_equal(state[5], settings) and same_window and np.array_equal(state[7][:, [FLOOR, BOUND]], scales)):
        raise DataError("the feature state was made under other feature parameters; start from a new one")


def row_batches(
    batches: Iterable[Events], state: State, parameters: FeatureParameters, until: int, leader: LeaderRows = ALONE
) -> Iterator[Rows]:
    """The rows of ``feature_rows``, events coming in batches: the same bytes in constant memory.

    Events share a stamp with the batch after theirs where messages arrived at once, so each batch's newest
    instant waits for the next one. At most MOST_ROWS rows come at once, however long the events are silent.
    Raises as ``feature_rows`` does; the batches must be in order of ``ingest_ts``.
    """
    waiting = empty_events(0)
    for batch in batches:
        events = np.concatenate((waiting, batch))
        if not events.size:
            continue
        known = int(events["ingest_ts"][-1]) - 1
        split = int(np.searchsorted(events["ingest_ts"], known, side="right"))
        leader = yield from _stretch(events[:split], state, parameters, known, leader)
        waiting = events[split:]
    yield from _stretch(waiting, state, parameters, until, leader)


def _stretch(
    events: Events, state: State, parameters: FeatureParameters, until: int, leader: LeaderRows
) -> Generator[Rows, None, LeaderRows]:
    """Every row up to ``until``, at most MOST_ROWS at once; returns the leader's rows that none of them has seen."""
    while True:
        first = open_row_ts(events, state, parameters)
        end = min(until, first + MOST_ROWS * parameters.row_interval_ms * NS_PER_MS - 1) if first else until
        split = int(np.searchsorted(events["ingest_ts"], end, side="right")) if end < until else events.size
        seen, leader = seen_by_rows(leader, events[:split], state, parameters, end)
        yield feature_rows(events[:split], state, parameters, end, seen)
        if end == until:
            return leader
        events = events[split:]


def seen_by_rows(
    leader: LeaderRows, events: Events, state: State, parameters: FeatureParameters, until: int
) -> tuple[LeaderRows, LeaderRows]:
    """A leader's rows that the rows closing up to ``until`` see, and those that wait for a later row."""
    first, count = open_row_ts(events, state, parameters), _row_count(events, state, parameters, until)
    return divide(leader, first + (count - 1) * parameters.row_interval_ms * NS_PER_MS if count else 0)


def divide(leader: LeaderRows, row_ts: int) -> tuple[LeaderRows, LeaderRows]:
    """A leader's rows up to ``row_ts``, and those after it."""
    place = int(np.searchsorted(leader[0], row_ts, side="right"))
    stamps, mid2, imbalance = leader
    return (stamps[:place], mid2[:place], imbalance[:place]), (stamps[place:], mid2[place:], imbalance[place:])


def leader_rows(rows: Rows, parameters: FeatureParameters) -> LeaderRows:
    """What a follower sees of these rows."""
    imbalance = rows.raw[:, feature_names(parameters).index("queue_imbalance")].astype(np.float64)
    mid2 = np.where(rows.status == VALID, rows.best_bid + rows.best_ask, 0)
    return rows.row_ts, mid2, imbalance


def _row_count(events: Events, state: State, parameters: FeatureParameters, until: int) -> int:
    first = open_row_ts(events, state, parameters)
    return max(0, (until - first) // (parameters.row_interval_ms * NS_PER_MS) + 1) if first else 0


def open_row_ts(events: Events, state: State, parameters: FeatureParameters) -> int:
    """When the row that these events go into closes, ns; 0 where no event has ever come."""
    if state[3][NEXT_ROW] or not events.size:
        return int(state[3][NEXT_ROW])
    return parameters.row_at_or_after(int(events["ingest_ts"][0]))


def rows_to_frame(rows: Rows, parameters: FeatureParameters) -> pl.DataFrame:
    """Columns row_ts, status, best_bid, best_ask, then ``raw_<name>`` and then ``<name>`` of every feature."""
    names = feature_names(parameters)
    columns = {"row_ts": rows.row_ts, "status": rows.status, "best_bid": rows.best_bid, "best_ask": rows.best_ask}
    columns |= {f"raw_{name}": np.ascontiguousarray(rows.raw[:, column]) for column, name in enumerate(names)}
    columns |= {name: np.ascontiguousarray(rows.values[:, column]) for column, name in enumerate(names)}
    return pl.DataFrame(columns)


def frame_to_rows(frame: pl.DataFrame, parameters: FeatureParameters) -> Rows:
    """The rows that ``rows_to_frame`` was given.

    Raises DataError if the frame holds other features than these parameters name.
    """
    names = feature_names(parameters)
    expected = ["row_ts", "status", "best_bid", "best_ask", *(f"raw_{name}" for name in names), *names]
    if frame.columns != expected:
        strange = sorted(set(frame.columns) ^ set(expected)) or "their order"
        raise DataError(f"the frame is not of this catalogue; it differs in {strange}")
    row_ts, status, best_bid, best_ask = (frame[name].to_numpy(writable=True) for name in expected[:4])
    raw, values = (np.empty((frame.height, len(names)), np.float32) for _ in range(2))
    for column, name in enumerate(names):
        raw[:, column] = frame[f"raw_{name}"].to_numpy()
        values[:, column] = frame[name].to_numpy()
    return Rows(row_ts, status, best_bid, best_ask, raw, values)
