"""Loading events into embedded ClickHouse: what the candles cost, what Arrow saves; bytes an event by column and codec.

python benchmarks/bench_clickhouse.py            # the figures
python benchmarks/bench_clickhouse.py --codecs   # the table of codecs in docs/clickhouse.md, some minutes
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import polars as pl

from benchmarks.harness import Figure, medians_of, print_figures
from config.loading import load_settings
from config.settings import Settings
from market.clock import align, new_clock
from market.schema import events_to_frame
from market.sources.formats import importer_for
from storage.captures import input_file
from storage.clickhouse import Build, Warehouse, open_warehouse, warehouse_frame
from storage.clickhouse_schema import CANDLE_SECONDS
from storage.recordings import local_recording

DATE: Final = "2024-08-08"
RECORDINGS: Final = {
    "binance-usdm-btcusdt": "binance/usdm/btcusdt_20240808.gz",
    "binance-coinm-btcusd_perp": "binance/coinm/btcusd_perp_20240809.gz",
}
TUPLES: Final = 65_536  # rows an insert of tuples: they are slow
CODECS: Final = (
    "LZ4",
    "ZSTD(1)",
    "ZSTD(3)",
    "Delta, LZ4",
    "Delta, ZSTD(1)",
    "Delta, ZSTD(3)",
    "DoubleDelta, ZSTD(1)",
    "T64, LZ4",
    "T64, ZSTD(1)",
    "Gorilla, ZSTD(1)",
)


def main() -> None:
    """Measure and print."""
    settings = load_settings("dev")
    if "--codecs" in sys.argv[1:]:
        for symbol in RECORDINGS:
            print(codec_table(settings, symbol))
        return
    tape = events_of(settings, "binance-usdm-btcusdt")
    with tempfile.TemporaryDirectory() as folder, warehouses(settings, Path(folder)) as (ours, plain):
        print_figures([*speed(ours, plain, tape), size(ours, tape)])


def speed(ours: Warehouse, plain: Warehouse, tape: pl.DataFrame) -> list[Figure]:
    """Rows a second through Arrow with both candles, beside the same without them, and beside tuples."""
    batch, few = tape.head(ours.parameters.batch_rows), tape.head(TUPLES)
    seconds, bare = medians_of(arrow_insert(ours, batch), arrow_insert(plain, batch), 7)
    again, tuples = medians_of(arrow_insert(ours, batch), tuple_insert(ours, few), 3)
    rate = batch.height / seconds / 1e3
    return [
        Figure(
            "insert through Arrow with 1 s and 1 m candles; without", rate, batch.height / bare / 1e3, _RATE, ">= 0.6x"
        ),
        Figure("the same; tuples", batch.height / again / 1e3, few.height / tuples / 1e3, _RATE, ">= 4x"),
    ]


_RATE: Final = "k events/s"


def size(warehouse: Warehouse, tape: pl.DataFrame) -> Figure:
    """Bytes on disk for an event with its candles, merged, beside the record's own."""
    warehouse.drop("tape", DATE)
    warehouse.rebuild("size", DATE, "sha", [tape])
    warehouse.optimize()
    sizes = warehouse.query(
        "SELECT sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = {database:String} AND table != 'loads'",
        {"database": warehouse.database},
    )
    return Figure("size of an event with its candles; in memory", sizes.rows[0][0] / tape.height, 64.0, "bytes")


def arrow_insert(warehouse: Warehouse, batch: pl.DataFrame) -> Callable[[], None]:
    """An insert that no token has seen before, at each call."""
    builds = count(1)
    return lambda: warehouse.insert(Build("tape", DATE, "bench", next(builds)), 0, 0, batch)


def tuple_insert(warehouse: Warehouse, batch: pl.DataFrame) -> Callable[[], None]:
    """The same rows as Python's tuples, into the same tables."""
    frame = warehouse_frame("tape", 0, batch).with_columns(pl.col("symbol").cast(pl.String))
    rows, columns = frame.rows(), frame.columns
    return lambda: insert_rows(warehouse, rows, columns)


def insert_rows(warehouse: Warehouse, rows: list[tuple[Any, ...]], columns: list[str]) -> None:
    """``client.insert`` as its documentation shows it."""
    warehouse.client.insert(f"{warehouse.database}.events", rows, column_names=columns)


@contextmanager
def warehouses(settings: Settings, folder: Path) -> Iterator[tuple[Warehouse, Warehouse]]:
    """A warehouse as it is, and one beside it in the same engine whose events feed no candles."""
    with open_warehouse(settings.warehouse, folder) as ours:
        plain = Warehouse(ours.client, replace(settings.warehouse, database="plain"))
        plain.create()
        for candles in CANDLE_SECONDS:
            ours.client.command(f"DROP VIEW plain.{candles}_feed")
        yield ours, plain


def events_of(settings: Settings, symbol: str) -> pl.DataFrame:
    """A recording, decoded and aligned."""
    importer = importer_for("capture", settings.instrument(symbol))
    events = np.concatenate(list(importer.batches([input_file(local_recording(RECORDINGS[symbol]))])))
    align(new_clock(settings.clock), settings.clock, events)
    return events_to_frame(events)


def codec_table(settings: Settings, symbol: str) -> str:
    """Bytes an event of each column under each codec, as Markdown."""
    frame = warehouse_frame(symbol, 0, events_of(settings, symbol)).drop("symbol")
    with tempfile.TemporaryDirectory() as folder, open_warehouse(settings.warehouse, Path(folder)) as warehouse:
        types = warehouse.query(
            "SELECT name, type FROM system.columns WHERE database = 'tickloop' AND table = 'events'"
        )
        kinds = dict(types.rows)
        rows = [
            (name, *(bytes_under(warehouse, frame, name, kinds[name], codec) for codec in CODECS))
            for name in frame.columns
        ]
    lines = [f"| {symbol}, {frame.height:,} events | {' | '.join(CODECS)} |", f"| --- |{' ---: |' * len(CODECS)}"]
    return "\n".join(
        [*lines, *(f"| {name} | {' | '.join(f'{cell:.3f}' for cell in cells)} |" for name, *cells in rows)]
    )


def bytes_under(warehouse: Warehouse, frame: pl.DataFrame, column: str, kind: str, codec: str) -> float:
    """Compressed bytes a row of one column in the order of the table, in one part."""
    warehouse.client.command("DROP TABLE IF EXISTS tickloop.trial SYNC")
    warehouse.client.command(
        f"CREATE TABLE tickloop.trial (place UInt32, value {kind} CODEC({codec})) ENGINE = MergeTree ORDER BY place "
        "SETTINGS min_bytes_for_wide_part = 0",
        settings={"allow_suspicious_codecs": 1},
    )
    rows = frame.select(pl.col(column).alias("value")).with_row_index("place")
    warehouse.client.insert_arrow("tickloop.trial", rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
    found = warehouse.query(
        "SELECT sum(column_data_compressed_bytes) FROM system.parts_columns "
        "WHERE active AND database = 'tickloop' AND table = 'trial' AND column = 'value'"
    )
    return float(found.rows[0][0]) / frame.height


if __name__ == "__main__":
    main()
