"""What a row has heard of the venue, read from the lake."""

from pathlib import Path

import numpy as np
import polars as pl

from assets.checks import day_start
from assets.lake_rows import heard_by
from market.schema import schema_sha
from storage.lake import Lake

SYMBOL, MS = "binance-coinm-btcusd_perp", 1_000_000


def put(lake: Lake, name: str, day: str, column: dict[str, list[int]]) -> None:
    frame = pl.DataFrame(column)
    lake.write(name, SYMBOL, day, frame, schema_sha=schema_sha(frame.schema), metadata={})
    lake.set_verdict(name, SYMBOL, day, True, {})


def test_a_row_right_after_midnight_has_heard_the_messages_of_the_evening(tmp_path: Path) -> None:
    lake, midnight = Lake(tmp_path), day_start("2024-08-09")
    for day, stamp in (("2024-08-08", midnight - 5 * MS), ("2024-08-09", midnight + 60 * MS)):
        put(lake, "features", day, {"row_ts": [stamp]})
        put(lake, "aligned_events", day, {"ingest_ts": [stamp], "delay_ns": [2 * MS]})
    rows = midnight + np.array([10, 100]) * MS
    assert heard_by(lake, SYMBOL, rows).tolist() == [midnight - 7 * MS - 1, midnight + 58 * MS - 1]
