"""The lake's files beside what Polars writes of the same table by its defaults with zstd: bytes, reading, writing.

The tables are the aligned events of real recordings, and the feature rows that are cut from the first of them.
"""

import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb
import polars as pl

from benchmarks.harness import Figure, medians_of, peak_mb, print_figures
from config.loading import load_settings
from config.settings import Settings
from features.batch import feature_rows, rows_to_frame
from features.step import new_state
from market.clock import align, new_clock
from market.kernel_cache import use_kernel_cache
from market.schema import events_to_frame, frame_to_events
from market.sources.formats import importer_for
from storage.captures import input_file
from storage.lake import Lake
from storage.recordings import local_recording

TAPES: Final = {  # symbol -> recording; the first is the one that the bars are for
    "binance-usdm-btcusdt": "binance/usdm/btcusdt_20240808.gz",
    "binance-coinm-btcusd_perp": "binance/coinm/btcusd_perp_20240808.gz",
    "binance-spot-btcusdt": "binance/spot/btcusdt_20240808.gz",
}
PARTITION: Final = ("table", "symbol", "2024-08-08")
REPEATS: Final = 25
TIMES: Final = 20  # how much longer the long partition is
BATCH_ROWS: Final = 65_536


def main() -> None:
    """Measure and print."""
    settings = load_settings("dev")
    tables = {symbol: aligned_events(settings, symbol) for symbol in TAPES}
    first, *others = TAPES
    rows = features(settings, tables[first])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = compare(f"events {first}", tables[first], folder, ("<= 0.85x", ">= 1x"))
        figures += compare_further(f"events {first}", tables[first], folder)
        for symbol in others:
            figures += compare(f"events {symbol}", tables[symbol], folder)
        figures += compare(f"features {first}", rows, folder)
        print_figures([*figures, memory(tables[first], folder)])


def aligned_events(settings: Settings, symbol: str) -> pl.DataFrame:
    """A recording through decoder and clock."""
    clock, frames = new_clock(settings.clock), []
    importer = importer_for("capture", settings.instrument(symbol))
    for events in importer.batches([input_file(local_recording(TAPES[symbol]))]):
        align(clock, settings.clock, events)
        frames.append(events_to_frame(events))
    return pl.concat(frames, rechunk=True)


def features(settings: Settings, table: pl.DataFrame) -> pl.DataFrame:
    """The feature rows of a tape, float32."""
    events = frame_to_events(table)
    rows = feature_rows(events, new_state(settings.features), settings.features, int(events["ingest_ts"][-1]))
    return rows_to_frame(rows, settings.features)


def compare(
    name: str, table: pl.DataFrame, folder: Path, bars: tuple[str | None, str | None] = (None, None)
) -> list[Figure]:
    """Bytes, and rows per second read by Polars; ours beside Polars' defaults with zstd."""
    lake, peer = Lake(folder / "lake"), folder / "peer.parquet"
    size = lake.write(*PARTITION, table, schema_sha="").bytes
    table.write_parquet(peer, compression="zstd")
    ours = lake.scan(*PARTITION[:2], unchecked=True)
    assert ours.collect().equals(table)
    seconds = medians_of(ours.collect, pl.scan_parquet(peer).collect, REPEATS)
    return [
        Figure(f"{name}, bytes", size, peer.stat().st_size, "bytes", bars[0]),
        rates(f"{name}, read by Polars", table.height, seconds, bars[1]),
    ]


def compare_further(name: str, table: pl.DataFrame, folder: Path) -> list[Figure]:
    """Rows per second read by DuckDB, and written; of the files that ``compare`` left."""
    lake, peer, duck = Lake(folder / "lake"), folder / "peer.parquet", duckdb.connect()
    read = medians_of(
        lambda: lake.relation(duck, *PARTITION[:2], unchecked=True).to_arrow_table(),
        lambda: duck.read_parquet(str(peer)).to_arrow_table(),
    )
    written = medians_of(
        lambda: lake.write(*PARTITION, table, schema_sha=""), lambda: table.write_parquet(peer, compression="zstd")
    )
    return [
        rates(f"{name}, read by DuckDB", table.height, read),
        rates(f"{name}, written", table.height, written),
    ]


def rates(name: str, rows: int, seconds: tuple[float, float], bar: str | None = None) -> Figure:
    """Rows per second out of seconds, ours and the peer's."""
    ours, peer = (rows / each / 1e6 for each in seconds)
    return Figure(name, ours, peer, "M rows/s", bar)


def memory(table: pl.DataFrame, folder: Path) -> Figure:
    """Peak memory of writing and reading a partition twenty times as long, beside that of the table itself."""
    table.write_ipc(folder / "table.arrow")
    short_mb, long_mb = (
        peak_mb([sys.executable, __file__, str(folder / "table.arrow"), str(folder / f"x{times}"), str(times)])
        for times in (1, TIMES)
    )
    return Figure(f"peak memory of a partition, rows x {TIMES}", long_mb, short_mb, "MB", "< 10 %")


def write_and_read(path: Path, root: Path, times: int) -> None:
    """A table so many times over into one partition, and out of it again, batch by batch."""
    table, lake = pl.read_ipc(path), Lake(root)
    with lake.writing(*PARTITION, schema_sha="") as partition:
        for _ in range(times):
            for batch in table.iter_slices(BATCH_ROWS):
                partition.append(batch)
        partition.commit()
    assert sum(batch.height for batch in lake.batches(*PARTITION[:2], unchecked=True)) == times * table.height


if __name__ == "__main__":
    if len(sys.argv) == 4:
        write_and_read(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    else:
        use_kernel_cache()
        main()
