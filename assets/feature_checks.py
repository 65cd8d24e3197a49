"""What must hold of a day's feature rows: finite, varied, blind to the future, and the same bits as a live stream's."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.checks import Fact, Verdict, alike
from assets.plots import markdown_table
from features.batch import Rows, divide, feature_rows, rows_to_frame
from features.catalogue import STATUS_NAMES, VALID, catalogue
from features.layout import LeaderRows
from features.parameters import FeatureParameters
from features.stream import FeatureStream, load_state
from labeling.leakage import PRICE_SHIFT, ignores_future, poison_after, truncate_after
from market.events import Events

CAUSAL_INSTANTS: Final = 3  # at which the future is poisoned
FLAG: Final = "flag"  # unit of what says yes or no
NULL_LIMIT: Final = 0.01  # of the rows from the first valid one on
ALWAYS: Final = (
    "book",
    "trades",
    "book and trades",
    "every event",
)  # streams without which there is no market; the others may be silent for a day


class Sample(NamedTuple):
    """The beginning of a day: its events, what its rows start from, and what its leader showed."""

    events: Events
    opening: Mapping[str, NDArray[Any]]
    leader: LeaderRows


class Varied:
    """Gathers, frame by frame, the range of every feature and the rows without values."""

    def __init__(self, parameters: FeatureParameters) -> None:
        self._features = catalogue(parameters)
        self._lowest = np.full(len(self._features), np.inf)
        self._highest = np.full(len(self._features), -np.inf)
        self._broken: set[str] = set()
        self._null = np.zeros(len(STATUS_NAMES), np.int64)  # by status, from the first valid row on
        self._started = False

    def add(self, frame: pl.DataFrame) -> None:
        """Take in the next rows of the day."""
        numbers = frame.select(pl.col(pl.Float32))
        self._broken |= {name for name in numbers.columns if not np.isfinite(numbers[name].to_numpy()).all()}
        statuses = frame["status"].to_numpy()
        if not self._started:
            valid = np.flatnonzero(statuses == VALID)
            statuses = statuses[valid[0] :] if valid.size else statuses[:0]
            self._started = bool(valid.size)
        self._null += np.bincount(statuses, minlength=self._null.size)
        values = frame.filter(pl.col("status") == VALID).select([f"raw_{each.name}" for each in self._features])
        if values.height:
            self._lowest = np.minimum(self._lowest, values.min().to_numpy()[0])
            self._highest = np.maximum(self._highest, values.max().to_numpy()[0])

    def finite(self) -> Verdict:
        """Every feature of every row is a finite number, and some row is valid."""
        valid, broken = int(self._null[VALID]), sorted(self._broken)
        return Verdict("finite", not broken and valid > 0, {"valid_rows": valid, "not_finite": ", ".join(broken)})

    def varied(self) -> Verdict:
        """No feature is constant, unless its stream was silent all day, and no more than 1 % of the rows are null.

        A flag that was never raised was silent too. Rows count from the first valid one
        on; those that warm up again after a gap are null as well.
        """
        constant = [self._features[column] for column in np.flatnonzero(self._lowest >= self._highest)]
        silent = [each.name for each in constant if each.unit == FLAG or each.stream not in ALWAYS]
        stuck = [each.name for each in constant if each.name not in silent]
        rows_in_all = int(self._null.sum())
        null = (rows_in_all - int(self._null[VALID])) / max(1, rows_in_all)
        rows = [(STATUS_NAMES[code], int(count)) for code, count in enumerate(self._null)]
        names = {"constant": ", ".join(stuck), "silent": ", ".join(silent)}
        facts: dict[str, Fact] = {"null_share": null, "limit": NULL_LIMIT, **names}
        passed = not stuck and null <= NULL_LIMIT
        return Verdict("varied", passed, facts, {"rows": markdown_table(["status", "rows"], rows)})


def causality(sample: Sample, parameters: FeatureParameters) -> Verdict:
    """Rows stay the same, bit for bit, when what came after them, the leader's rows too, is poisoned or cut off."""
    end = int(sample.events["ingest_ts"][-1])

    def rows_of(events: Events, leader: LeaderRows) -> Rows:
        return feature_rows(events, load_state(dict(sample.opening)), parameters, end, leader)

    def spoiled(instant: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield _numbers(rows_of(poison_after(sample.events, instant), poisoned_leader(sample.leader, instant)))
        yield _numbers(rows_of(truncate_after(sample.events, instant), divide(sample.leader, instant)[0]))

    clean = rows_of(sample.events, sample.leader)
    report = ignores_future(_numbers(clean), spoiled, _instants(clean))
    return Verdict("causality", report.clean, {"rows_compared": report.checked, "first_leak": report.first_ts or 0})


def _instants(rows: Rows) -> list[int]:
    """When the future begins: at some of the valid rows, as the others hold no number that could know of it."""
    valid = rows.row_ts[rows.status == VALID]
    among = valid if valid.size else rows.row_ts
    places = np.linspace(0.3, 0.9, CAUSAL_INSTANTS) * (among.size - 1)
    return [int(among[int(place)]) for place in places] if among.size else []


def _numbers(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    return rows.row_ts, np.hstack([rows.raw, rows.values])


def poisoned_leader(leader: LeaderRows, ts: int) -> LeaderRows:
    """A leader's rows with another mid and another imbalance wherever they are later than ``ts``."""
    row_ts, mid2, imbalance = leader
    late = row_ts > ts
    return row_ts, mid2 + np.where(late, PRICE_SHIFT, 0), imbalance + np.where(late, 2.0, 0.0)


def parity(stored: pl.LazyFrame, sample: Sample, parameters: FeatureParameters) -> Verdict:
    """The stream, fed row by row, makes the rows that the day's batch made."""
    stream = FeatureStream(parameters, load_state(dict(sample.opening)))
    stream.follow(sample.leader)
    streamed = rows_to_frame(stream_rows(sample.events, stream), parameters)
    first, last = streamed["row_ts"].min(), streamed["row_ts"].max()
    kept = stored.select(streamed.columns).filter(pl.col("row_ts").is_between(first, last)).collect()
    return alike("parity", kept, streamed.filter(pl.col("row_ts") >= kept["row_ts"].min()))


def stream_rows(events: Events, stream: FeatureStream) -> Rows:
    """Rows of all whole row intervals that ``events`` cover, made one at a time."""
    rows, start, stamps = [], 0, events["ingest_ts"]
    row_ns = stream.parameters.row_interval_ms * 1_000_000
    row_ts = stream.next_row_ts or stream.parameters.row_at_or_after(int(stamps[0]))
    while row_ts < stamps[-1]:
        end = int(np.searchsorted(stamps, row_ts, side="right"))
        stream.push(events[start:end])
        rows.append(stream.close(row_ts))
        start, row_ts = end, row_ts + row_ns
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    dtypes = (np.int64, np.uint8, np.int64, np.int64, np.float32, np.float32)
    return Rows(*(column.astype(dtype) for column, dtype in zip(columns, dtypes, strict=True)))
