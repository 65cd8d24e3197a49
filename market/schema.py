"""The event table on disk: columns, types and units; what the lake stores and every asset reads."""

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from market.errors import DataError
from market.events import EVENT, Events, empty_events

EVENT_COLUMNS: Final[dict[str, pl.DataType]] = {
    "kind": pl.UInt8(),
    "side": pl.Int8(),
    "flags": pl.UInt16(),
    "clock_error_us": pl.UInt32(),
    "exchange_ts": pl.Int64(),
    "ingest_ts": pl.Int64(),
    "delay_ns": pl.Int64(),
    "offset_ns": pl.Int64(),
    "price": pl.Int64(),
    "qty": pl.Int64(),
    "update_id": pl.Int64(),
}

EVENT_UNITS: Final = {
    "kind": "code of market.events",
    "side": "+1 bid or buyer, -1 ask or seller, 0 none",
    "flags": "bits of market.events",
    "clock_error_us": "us",
    "exchange_ts": "ns UTC, the venue's clock",
    "ingest_ts": "ns UTC, our clock",
    "delay_ns": "ns",
    "offset_ns": "ns",
    "price": "ticks (mark, index: 1e-8 quote; funding: rate in 1e-12)",
    "qty": "lots (funding: next funding time, ns UTC)",
    "update_id": "the venue's sequence number",
}


def schema_sha(schema: Mapping[str, object]) -> str:
    """Sha256 (hex) of column names and types in order; two tables with one sha can be read alike.

    >>> schema_sha({"price": "Int64"})[:12]
    'a3df67ddef5e'
    """
    text = "\n".join(f"{name}:{dtype}" for name, dtype in schema.items())
    return hashlib.sha256(text.encode()).hexdigest()


def events_to_frame(events: Events) -> pl.DataFrame:
    """The events as a table, one column per field of the record."""
    return pl.DataFrame(
        {name: pl.Series(name, np.ascontiguousarray(events[name]), dtype) for name, dtype in EVENT_COLUMNS.items()}
    )


def frame_to_events(frame: pl.DataFrame) -> Events:
    """The events of a table, the exact inverse of ``events_to_frame``.

    Raises DataError if a column is missing, too many, of another type or holds nulls.
    """
    if dict(frame.schema) != EVENT_COLUMNS:
        raise DataError(f"columns {dict(frame.schema)} are not those of the event table, {EVENT_COLUMNS}")
    empty = [name for name, nulls in zip(frame.columns, frame.null_count().row(0), strict=True) if nulls]
    if empty:
        raise DataError(f"event columns {empty} hold nulls; every field of an event has a value")
    events = empty_events(frame.height)
    for name in EVENT.names or ():
        events[name] = frame[name].to_numpy()
    return events
