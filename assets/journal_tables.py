"""A journal segment as tables: events by the clock that ran live, decisions, their orders, reports, and models."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.checks import feeds_clock
from config.typed import build
from features.parameters import FeatureParameters
from market.errors import JournalError
from market.events import GAP, Events, empty_events
from market.instrument import Instrument
from market.orders import FILL, REPORT
from market.parameters import ClockParameters
from market.reader import FrameReader
from market.schema import events_to_frame
from storage.files import file_sha256
from storage.journal import (
    CHALLENGER_DESK,
    CONNECTION,
    DECISION,
    FRAME,
    HEADER,
    MODEL,
    REPORTS,
    TRADING_DESK,
    Record,
    read_segment,
)
from trading.records import DECISION as DECISION_RECORD
from trading.records import INTENT

EVENTS_TABLE: Final = "live_events"
DECISIONS_TABLE: Final = "live_decisions"
REPORTS_TABLE: Final = "live_reports"
ORDERS_TABLE: Final = "live_orders"  # what decisions asked for: orders and cancels
MODELS_TABLE: Final = "live_models"  # which bundle decides at a desk, from which row on
TABLES: Final = (EVENTS_TABLE, DECISIONS_TABLE, REPORTS_TABLE, ORDERS_TABLE, MODELS_TABLE)
_LOST: Final = b"\x00"


class SegmentTables(NamedTuple):
    """What one segment holds."""

    key: str  # of its partitions in the lake
    frames: dict[str, pl.DataFrame]  # by table
    facts: dict[str, Any]


def reader_for(header: dict[str, Any]) -> FrameReader:
    """A reader as the journal's writer had it when it started."""
    instrument = build(Instrument, header["instrument"], "instrument")
    return FrameReader(instrument, build(ClockParameters, header["clock"], "clock"))


def features_of(header: dict[str, Any]) -> FeatureParameters:
    """The feature settings that the journal's rows were cut with."""
    found: FeatureParameters = build(FeatureParameters, header["features"], "features")
    return found


def segment_key(segment: Path, first_ts: int) -> str:
    """Key of a segment in the lake: when it begins, its number, its content; later ones sort behind earlier ones."""
    start = datetime.fromtimestamp(first_ts // 1_000_000_000, UTC)
    return f"{start:%Y%m%dT%H%M%SZ}-{segment.stem}-{file_sha256(segment)[:12]}"


def read_tables(reader: FrameReader, segment: Path, newest: bool) -> SegmentTables | None:
    """Play a segment into the reader, which goes on from the segment before; None where it holds no record.

    Raises JournalError if the segment is damaged.
    """
    records = [record for record in read_segment(segment, newest) if record.kind != HEADER]
    if not records:
        return None
    frames, lost = _events(reader, records)
    tables = {
        EVENTS_TABLE: events_to_frame(frames),
        DECISIONS_TABLE: _table(records, DECISION, DECISION_RECORD, slice(0, DECISION_RECORD.itemsize)),
        REPORTS_TABLE: _table(records, REPORTS, REPORT, slice(0, None)),
        ORDERS_TABLE: _table(records, DECISION, INTENT, slice(DECISION_RECORD.itemsize, None)),
        MODELS_TABLE: _models(records),
    }
    return SegmentTables(segment_key(segment, records[0].ts), tables, _facts(records, frames, lost, tables))


def _events(reader: FrameReader, records: Iterable[Record]) -> tuple[Events, int]:
    """All events, and how many of the gaps among them a lost connection left."""
    found, lost = [empty_events(0)], 0
    for record in records:
        if record.kind == FRAME:
            found.append(reader.read(record.payload, record.ts))
        elif record.kind == CONNECTION and record.payload == _LOST:
            found.append(reader.lose(record.ts))
            lost += 1
    return np.concatenate(found), lost


def _table(records: Iterable[Record], kind: int, dtype: np.dtype[np.void], part: slice) -> pl.DataFrame:
    """A part of the payloads of one kind as columns, behind ``desk`` and, where they bear none, the row that saw them.

    A decision stands in front of its orders; reports stand alone.
    """
    chosen = [record for record in records if record.kind == kind]
    rows = [_rows(record.payload[part], dtype) for record in chosen]
    counts = [len(found) for found in rows]
    table = np.concatenate([np.zeros(0, dtype), *rows])
    columns = {"desk": np.repeat(np.array([record.place for record in chosen], np.uint8), counts)}
    if "row_ts" not in (dtype.names or ()):
        columns["row_ts"] = np.repeat(np.array([record.ts for record in chosen], np.int64), counts)
    return pl.DataFrame(columns | {name: np.ascontiguousarray(table[name]) for name in dtype.names or ()})


def _models(records: Iterable[Record]) -> pl.DataFrame:
    """A line for each model that was given a desk; an empty sha takes it away."""
    rows = [(record.place, record.ts, record.payload.decode()) for record in records if record.kind == MODEL]
    return pl.DataFrame(rows, {"desk": pl.UInt8, "row_ts": pl.Int64, "bundle_sha": pl.String}, orient="row")


def _rows(content: bytes, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    if len(content) % dtype.itemsize:
        raise JournalError(f"{len(content)} bytes of a journal record were written by another version")
    return np.frombuffer(content, dtype)


def _facts(records: list[Record], events: Events, lost: int, tables: dict[str, pl.DataFrame]) -> dict[str, Any]:
    decisions, reports = tables[DECISIONS_TABLE], tables[REPORTS_TABLE]
    running = {desk: tables[MODELS_TABLE].filter(desk=desk)["bundle_sha"] for desk in (TRADING_DESK, CHALLENGER_DESK)}
    return {
        "frames": sum(record.kind == FRAME for record in records),
        "events": len(events),
        "decisions": decisions.height,
        "reports": reports.height,
        "fills": reports.filter(pl.col("kind") == FILL).height,
        "disconnections": lost,
        "lost_by_sequence": int(np.count_nonzero(events["kind"] == GAP)) - lost,
        "ingest_lag_p95_ms": _percentile_ms(events["delay_ns"][feeds_clock(events)]),
        "batch_to_decision_p95_ms": _percentile_ms((decisions["infer_ts"] - decisions["row_ts"]).to_numpy()),
        "first_ts": records[0].ts,
        "last_ts": records[-1].ts,
        "running_sha": _last(running[TRADING_DESK]),
        "challenger_sha": _last(running[CHALLENGER_DESK]),
    }


def _last(shas: pl.Series) -> str | None:
    """The newest of a segment; None where it names none, and the one before goes on."""
    return str(shas[-1]) if len(shas) else None


def _percentile_ms(durations_ns: NDArray[np.int64]) -> float:
    return float(np.percentile(durations_ns, 95)) / 1e6 if durations_ns.size else float("nan")
