"""Latency as a table of what orders really met, and the compiled draw from it: for labels, backtests and live alike.

A row holds the four legs of one order, as they were found together: feed (a market event, from the venue's matching to
us), inference (from the row's end to the decision), order entry, acknowledgement. Rows are drawn, never averaged.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from market.counter_hash import draw
from market.errors import BacktestError
from market.events import LAST, Events

RATE_BIN_NS: Final = 100_000_000
RATE_BINS: Final = 10  # a rate counts the messages of this many whole bins: of a second
BLOCK_LEGS: Final = 1 << 16  # legs of the counter hash from here on choose blocks, one leg a bucket


class Legs(NamedTuple):
    """The four legs of one order, ns."""

    feed_ns: int
    infer_ns: int
    entry_ns: int
    ack_ns: int


class LatencyTable(NamedTuple):
    """Rows to draw legs from, oldest first; made by ``latency_table``, read-only, and usable inside a kernel.

    A bucket is a range of message rates. ``members`` holds its rows in the order of the journal, bucket after bucket;
    those of bucket ``b`` lie from ``starts[b]`` to ``starts[b + 1]``.
    """

    feed_ns: NDArray[np.int64]  # shape (rows,), as the three below
    infer_ns: NDArray[np.int64]
    entry_ns: NDArray[np.int64]
    ack_ns: NDArray[np.int64]
    rates: NDArray[np.float64]  # shape (rows,), messages per second when the order left
    edges: NDArray[np.float64]  # shape (buckets - 1,), messages per second, rising; an edge belongs to the bucket above
    members: NDArray[np.int64]  # shape (rows,)
    starts: NDArray[np.int64]  # shape (buckets + 1,)
    stand_in: NDArray[np.int64]  # shape (buckets,), the bucket itself, or where it is empty the nearest that is not
    spacing_ns: int  # time between two rows: the slot within which everything meets the same row
    block_rows: int  # rows in a row that a draw keeps together


def latency_table(
    legs: ArrayLike, rates: ArrayLike, edges: ArrayLike = (), spacing_ns: int = 1_000_000_000, block_rows: int = 1
) -> LatencyTable:
    """A table of the rows of ``legs``, oldest first.

    legs : shape (rows, 4), ns: feed, inference, entry, acknowledgement of an order in each row
    rates : shape (rows,), messages per second when it left
    Raises BacktestError if there is no row, a leg is negative, lengths differ, edges do not rise, or a size is below 1.

    >>> latency_table([[5, 1, 10, 10], [9, 1, 30, 20]], rates=[300, 2], edges=[100]).members.tolist()
    [1, 0]
    """
    rows, rates = np.array(legs, np.int64, ndmin=2), np.array(rates, np.float64)
    edges = np.array(edges, np.float64)
    _check(rows, rates, edges, spacing_ns, block_rows)
    bucket = np.searchsorted(edges, rates, side="right").astype(np.int64)
    counts = np.bincount(bucket, minlength=edges.size + 1)
    feed, infer, entry, ack = (_frozen(leg) for leg in rows.T)
    return LatencyTable(
        feed,
        infer,
        entry,
        ack,
        rates=_frozen(rates),
        edges=_frozen(edges),
        members=_frozen(np.argsort(bucket, kind="stable").astype(np.int64)),
        starts=_frozen(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
        stand_in=_frozen(_stand_in(counts)),
        spacing_ns=int(spacing_ns),
        block_rows=int(block_rows),
    )


def constant(legs: Legs) -> LatencyTable:
    """A table of one row: every draw is ``legs``. Raises BacktestError if one is negative."""
    return latency_table([legs], rates=[0.0])


def stressed(table: LatencyTable, factor: float) -> LatencyTable:
    """The same table with each leg ``factor`` times as long, to the nanosecond.

    Raises BacktestError unless ``factor`` is finite and at least 0.

    >>> stressed(constant(Legs(2, 1, 10, 5)), 1.5).entry_ns.tolist()
    [15]
    """
    if not 0 <= factor < np.inf:
        raise BacktestError(f"latencies cannot be stressed by {factor}: a factor is finite and at least 0")
    feed, infer, entry, ack = (_frozen(np.rint(leg * factor).astype(np.int64)) for leg in legs_in(table).T)
    return table._replace(feed_ns=feed, infer_ns=infer, entry_ns=entry, ack_ns=ack)


def legs_in(table: LatencyTable) -> NDArray[np.int64]:
    """Every row's four legs, shape (rows, 4), ns."""
    return np.stack([table.feed_ns, table.infer_ns, table.entry_ns, table.ack_ns], axis=1)


@njit(cache=True)
def subject_at(table, ts):
    """Number of the time slot that an instant (ns UTC) lies in: what is drawn for it is drawn for all of the slot."""
    return ts // table.spacing_ns


@njit(cache=True)
def draw_row(table, seed, subject, rate):
    """Row of the table that ``subject`` (a time slot) meets at ``rate`` messages per second.

    A circular block bootstrap within the bucket of the rate: ``block_rows`` subjects in a row meet as many rows of the
    bucket in a row, from a start that a hash of (seed, block, bucket) chooses. Each row of it is equally likely, and
    a draw depends on its arguments alone, never on what was drawn before.
    Source: Politis & Romano (1992), A circular block-resampling procedure for stationary data
    """
    bucket = 0
    while bucket < table.edges.size and rate >= table.edges[bucket]:
        bucket += 1
    bucket = table.stand_in[bucket]
    first = table.starts[bucket]
    count = table.starts[bucket + 1] - first
    block, place = subject // table.block_rows, subject % table.block_rows
    start = np.int64(draw(seed, block, BLOCK_LEGS + bucket) * count)
    return table.members[first + (start + place) % count]


@njit(cache=True)
def draw_legs(table, seed, ts, rate):
    """Feed, inference, entry and acknowledgement leg (ns) in force at an instant (ns UTC)."""
    row = draw_row(table, seed, subject_at(table, ts), rate)
    return table.feed_ns[row], table.infer_ns[row], table.entry_ns[row], table.ack_ns[row]


@njit(cache=True)
def draw_all(table, seed, ts, rates):
    """The legs in force at many instants, shape (instants, 4), ns; each as ``draw_legs`` draws it alone."""
    legs = np.zeros((ts.size, 4), np.int64)
    for i in range(ts.size):
        legs[i] = draw_legs(table, seed, ts[i], rates[i])
    return legs


def message_stamps(events: Events) -> NDArray[np.int64]:
    """When each whole message was received, ns UTC, never falling."""
    whole = (events["flags"] & LAST) != 0
    return np.maximum.accumulate(events["ingest_ts"][whole])


def message_rates(stamps: NDArray[np.int64], at: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
    """Messages per second at each instant of ``at``: of the ten whole bins of 100 ms before the one that it lies in.

    stamps : when messages were received, ns UTC, never falling. What a bin holds is known when it ends: causal.

    >>> message_rates(np.array([0, 50, 150]) * 1_000_000, np.array([99, 100, 250, 1_250]) * 1_000_000).tolist()
    [0, 2, 3, 0]
    """
    until = at // RATE_BIN_NS * RATE_BIN_NS
    since = until - RATE_BINS * RATE_BIN_NS
    found: NDArray[np.int64] = np.searchsorted(stamps, until) - np.searchsorted(stamps, since)
    return found


def _check(
    rows: NDArray[np.int64], rates: NDArray[np.float64], edges: NDArray[np.float64], spacing_ns: int, block_rows: int
) -> None:
    if not rows.size:
        raise BacktestError("a latency table needs at least one row")
    if rows.ndim != 2 or rows.shape[1] != len(Legs._fields):
        raise BacktestError(f"a latency table has rows of {', '.join(Legs._fields)}, not of shape {rows.shape}")
    if (rows < 0).any():
        row, leg = np.argwhere(rows < 0)[0]
        raise BacktestError(f"row {row} of a latency table has {Legs._fields[leg]}={rows[row, leg]}, below 0")
    if rates.shape != rows.shape[:1] or not (rates >= 0).all():
        raise BacktestError(f"{rows.shape[0]} rows of a latency table need as many message rates of at least 0")
    if edges.ndim != 1 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise BacktestError(f"edges={edges.tolist()} of message rates must rise")
    if spacing_ns < 1 or block_rows < 1:
        raise BacktestError(f"spacing_ns={spacing_ns} and block_rows={block_rows} must be at least 1")


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Contiguous and read-only, as in every table: for another kind of array a kernel would be compiled again."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def _stand_in(counts: NDArray[np.intp]) -> NDArray[np.int64]:
    """For each bucket the nearest one with a row in it, the lower of two as near."""
    filled = np.flatnonzero(counts)
    distance = np.abs(np.arange(counts.size)[:, None] - filled)
    return filled[np.argmin(distance, axis=1)].astype(np.int64)
