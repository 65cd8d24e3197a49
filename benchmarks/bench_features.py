"""The feature step over the USD-M BTC tape, one thread: beside the bare book, a Polars pipeline, and its own bars.

The pipeline may use two threads. It is given the book at every row for free, so it never applies an event to a book,
and computes 23 of our features from that and the events, in their own units; ours makes all of them, normalised too.
Its windows end at any instant, or, in a second form of it, at those of the grid of 10 ms that ours are kept on.
"""

import gc
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["POLARS_MAX_THREADS"] = "2"  # read once, by the import

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import Figure, medians_of, peak_mb, print_figures
from config.loading import load_settings
from features.batch import feature_rows, row_batches, rows_to_frame
from features.catalogue import VALID, catalogue
from features.intake import absorb
from features.parameters import BUCKET_MS, FeatureParameters
from features.step import new_state
from features.stream import FeatureStream
from market.book import ASK, BID, apply_events, new_book, top_levels
from market.clock import align, new_clock
from market.events import TRADE, Events
from market.kernel_cache import use_kernel_cache
from market.schema import events_to_frame, frame_to_events, schema_sha
from market.sources.formats import importer_for
from storage.captures import input_file
from storage.lake import Lake
from storage.recordings import local_recording

SYMBOL: Final = "binance-usdm-btcusdt"
RECORDING: Final = "binance/usdm/btcusdt_20240808.gz"
PARTITION: Final = ("events", SYMBOL, "2024-08-08")
REPEATS: Final = 9
MS: Final = 1_000_000
DAY_EVENTS: Final = 10_000_000
BATCH_ROWS: Final = 65_536
MICRO_BATCH: Final = 100  # events
COUNTED: Final = ("events", "trades", "signs", "traded", "signed", "priced")
LEVELS: Final = (1, 5, 10)  # of the imbalances
TOLERANCE: Final = 1e-5  # float32 beside float64


def main() -> None:
    """Measure and print."""
    settings = load_settings("dev")
    importer = importer_for("capture", settings.instrument(SYMBOL))
    events = np.concatenate(list(importer.batches([input_file(local_recording(RECORDING))])))
    align(new_clock(settings.clock), settings.clock, events)
    figures = [*over_the_tape(events, settings.features), *beside_polars(events, settings.features)]
    figures += online(events, settings.features)
    with tempfile.TemporaryDirectory() as folder:
        print_figures([*figures, memory(events, Path(folder))])


def over_the_tape(events: Events, parameters: FeatureParameters) -> list[Figure]:
    """Events per second without rows, beside the bare book pass; and what a row costs on top of them."""
    end = int(events["ingest_ts"][-1])
    taken, bare = medians_of(
        lambda: absorb(new_state(parameters), events, 0, end), lambda: apply_events(new_book(), events), REPEATS
    )
    whole, without = medians_of(
        lambda: feature_rows(events, new_state(parameters), parameters, end),
        lambda: absorb(new_state(parameters), events, 0, end),
        REPEATS,
    )
    rows = feature_rows(events, new_state(parameters), parameters, end)
    row_us = (whole - without) / int((rows.status == VALID).sum()) * 1e6
    per_s = (events.size / seconds / 1e6 for seconds in (taken, bare))
    return [
        Figure(f"{events.size:,} events without rows; bare book pass", *per_s, "M events/s", ">= 0.33x"),
        Figure(f"a valid row of {len(catalogue(parameters))} features", row_us, None, "us", "< 5"),
    ]


def beside_polars(events: Events, parameters: FeatureParameters) -> list[Figure]:
    """Rows per second of the whole pass, beside those of both pipelines; all are held against each other first."""
    end = int(events["ingest_ts"][-1])
    rows = rows_to_frame(feature_rows(events, new_state(parameters), parameters, end), parameters)
    books, tape, figures = books_at(rows["row_ts"].to_numpy(), events), events_to_frame(events), []
    for windows_of, how, bar in ((rolled, "rolling sums by time", ">= 2x"), (bucketed, "sums on our 10 ms grid", None)):
        pipeline = partial(computed, tape, books, parameters, windows_of)
        require_agreement(rows, pipeline())
        seconds = medians_of(lambda: feature_rows(events, new_state(parameters), parameters, end), pipeline, REPEATS)
        name = f"{rows.width // 2 - 2} features a row; Polars, {pipeline().width - 1} of them, {how}"
        figures.append(Figure(name, *(rows.height / each / 1e3 for each in seconds), "k rows/s", bar))
    return figures


def books_at(row_ts: NDArray[np.int64], events: Events) -> pl.DataFrame:
    """Prices and lots of the best ten levels a side as each row closes; 0 where there is none."""
    book, depth = new_book(), max(LEVELS)
    levels, start = np.zeros((row_ts.size, 2, 2, depth), np.int64), 0  # rows, side, price or lots, level
    for row, end in enumerate(np.searchsorted(events["ingest_ts"], row_ts, side="right")):
        apply_events(book, events[start:end])
        start = end
        for side in (BID, ASK):
            top_levels(book, side, levels[row, side, 0], levels[row, side, 1])
    columns = {
        f"{side}_{what}_{level + 1}": np.ascontiguousarray(levels[:, place, number, level])
        for place, side in ((BID, "bid"), (ASK, "ask"))
        for number, what in enumerate(("price", "lots"))
        for level in range(depth)
    }
    return pl.DataFrame({"row_ts": row_ts, **columns})


def computed(
    tape: pl.DataFrame,
    books: pl.DataFrame,
    parameters: FeatureParameters,
    windows_of: Callable[[pl.LazyFrame, pl.DataFrame, FeatureParameters], pl.LazyFrame],
) -> pl.DataFrame:
    """Five features of the books and six over each window of the tape, at every row."""
    traded = pl.when(pl.col("kind") == TRADE).then(pl.col("qty")).otherwise(0)
    sign = pl.when(pl.col("kind") == TRADE).then(pl.col("side").cast(pl.Int64)).otherwise(0)
    counted = tape.lazy().select(
        row_ts="ingest_ts",
        events=pl.lit(1, pl.Int64),
        trades=(pl.col("kind") == TRADE).cast(pl.Int64),
        signs=sign,
        traded=traded,
        signed=traded * sign,
        priced=traded * pl.col("price"),
    )
    windows = windows_of(counted, books, parameters)
    measured = [*_of_the_book(), *(each for window_ms in parameters.windows_ms for each in _of_a_window(window_ms))]
    rows = books.lazy().join(windows, on="row_ts", how="left", maintain_order="left")
    return rows.select("row_ts", *measured).collect()


def rolled(counted: pl.LazyFrame, books: pl.DataFrame, parameters: FeatureParameters) -> pl.LazyFrame:
    """Sums over the windows that end at each row, by Polars' rolling sums over events and rows in order of time."""
    marks = books.lazy().select("row_ts", *(pl.lit(0, pl.Int64).alias(name) for name in COUNTED))
    both = pl.concat([counted.with_columns(row=pl.lit(False)), marks.with_columns(row=pl.lit(True))])
    sums = [
        pl.col(name).rolling_sum_by("row_ts", f"{window_ms * MS}i", closed="right").alias(f"{name}_{window_ms}")
        for name in COUNTED
        for window_ms in parameters.windows_ms
    ]
    return both.sort("row_ts", maintain_order=True).select("row_ts", "row", *sums).filter("row").drop("row")


def bucketed(counted: pl.LazyFrame, books: pl.DataFrame, parameters: FeatureParameters) -> pl.LazyFrame:
    """The same sums for a grid that every window and row is a multiple of: totals of 10 ms, then sums of those."""
    bucket_ns = BUCKET_MS * MS
    instant = (pl.col("row_ts") + (bucket_ns - 1)) // bucket_ns * bucket_ns
    first, last = books["row_ts"][0] - parameters.windows_ms[-1] * MS, books["row_ts"][-1]
    grid = pl.LazyFrame({"row_ts": np.arange(first, last + 1, bucket_ns)})
    totals = counted.with_columns(row_ts=instant).group_by("row_ts").sum()
    sums = [
        pl.col(name).rolling_sum(window_ms // BUCKET_MS, min_samples=1).alias(f"{name}_{window_ms}")
        for name in COUNTED
        for window_ms in parameters.windows_ms
    ]
    buckets = grid.join(totals, on="row_ts", how="left", maintain_order="left")
    return buckets.with_columns(pl.exclude("row_ts").fill_null(0)).select("row_ts", *sums)


def _of_the_book() -> list[pl.Expr]:
    bid, ask, bid_lots, ask_lots = (pl.col(f"{side}_{what}_1") for what in ("price", "lots") for side in ("bid", "ask"))
    imbalances = []
    for levels in LEVELS:
        bids, asks = (
            pl.sum_horizontal(f"{side}_lots_{level + 1}" for level in range(levels)) for side in ("bid", "ask")
        )
        imbalances.append(((bids - asks) / (bids + asks)).alias(f"imbalance_{levels}"))
    micro = (bid * ask_lots + ask * bid_lots) / (bid_lots + ask_lots) - (bid + ask) / 2
    first, *deeper = imbalances
    return [
        (ask - bid).alias("spread_ticks"),
        first.alias("queue_imbalance"),
        *deeper,
        micro.alias("microprice_deviation"),
    ]


def _of_a_window(window_ms: int) -> list[pl.Expr]:
    events, trades, signs, traded, signed, priced = (
        pl.col(f"{name}_{window_ms}") for name in ("events", "trades", "signs", "traded", "signed", "priced")
    )
    mid = (pl.col("bid_price_1") + pl.col("ask_price_1")) / 2
    features = {
        "log_event_count": events.log1p(),
        "log_trade_count": trades.log1p(),
        "log_volume": traded.log1p(),
        "trade_imbalance": pl.when(traded > 0).then(signed / traded).otherwise(0.0),
        "trade_sign": pl.when(trades > 0).then(signs / trades).otherwise(0.0),
        "vwap_distance": pl.when(traded > 0).then(mid - priced / traded).otherwise(0.0),
    }
    return [feature.alias(f"{name}_{window_ms}ms") for name, feature in features.items()]


def require_agreement(rows: pl.DataFrame, theirs: pl.DataFrame) -> None:
    """Raise SystemExit unless every column of the pipeline equals ours on every valid row."""
    valid = (rows["status"] == VALID).to_numpy()
    for name in theirs.columns[1:]:
        ours, other = rows[f"raw_{name}"].to_numpy()[valid], theirs[name].to_numpy()[valid]
        if not np.allclose(ours, other, rtol=TOLERANCE, atol=TOLERANCE):
            raise SystemExit(f"{name} of the pipeline differs from ours by {np.abs(ours - other).max():g}")


def online(events: Events, parameters: FeatureParameters) -> list[Figure]:
    """Microseconds from a hundred events to a normalised row, once the stream is warm."""
    row_ns = parameters.row_interval_ms * MS
    count = events.size // MICRO_BATCH
    spread = events[: count * MICRO_BATCH].copy()
    first = -(-int(events["ingest_ts"][0]) // row_ns) * row_ns
    spread["ingest_ts"] = np.repeat(first + row_ns * np.arange(count), MICRO_BATCH)
    stream, took, warm = FeatureStream(parameters), np.zeros(count), np.zeros(count, np.bool_)
    gc.collect()
    gc.disable()
    for batch in range(count):
        arrived = spread[batch * MICRO_BATCH : (batch + 1) * MICRO_BATCH]
        start = perf_counter_ns()
        stream.push(arrived)
        row = stream.close(first + row_ns * batch)
        took[batch], warm[batch] = (perf_counter_ns() - start) / 1e3, row.status == VALID
    gc.enable()
    p50, p99 = np.percentile(took[warm], (50, 99))
    name = f"{MICRO_BATCH} events to a normalised row, {np.count_nonzero(warm):,} rows"
    return [Figure(f"{name}, p50", p50, None, "us", "< 30"), Figure(f"{name}, p99", p99, None, "us", "< 150")]


def memory(events: Events, folder: Path) -> Figure:
    """Peak memory of making the rows of a day of ten million events, beside that of the tape itself."""
    times = -(-DAY_EVENTS // events.size)
    peaks = []
    for repeats in (1, times):
        root = folder / f"x{repeats}"
        write_day(events, root, repeats)
        peaks.append(peak_mb([sys.executable, __file__, str(root), str(repeats * events.size)]))
    return Figure(f"peak memory of a day of {times * events.size:,} events", peaks[1], peaks[0], "MB", "< 10 %")


def write_day(events: Events, root: Path, times: int) -> None:
    """The tape so many times over, one after the other, as a partition of the lake."""
    tape, span = events_to_frame(events), int(events["ingest_ts"][-1] - events["ingest_ts"][0]) + MS
    with Lake(root).writing(*PARTITION, schema_sha=schema_sha(tape.schema)) as partition:
        for turn in range(times):
            for batch in tape.iter_slices(BATCH_ROWS):
                partition.append(batch.with_columns(pl.col("ingest_ts") + turn * span))
        partition.commit()


def read_day(root: Path, events: int) -> None:
    """Every row of that partition, in constant memory. Raises SystemExit if its events are not so many."""
    lake, parameters = Lake(root), load_settings("dev").features
    end, rows = lake.manifest(*PARTITION).last_ts, 0
    batches = map(frame_to_events, lake.batches(*PARTITION[:2], unchecked=True))
    for part in row_batches(batches, new_state(parameters), parameters, end):
        rows += part.row_ts.size
    if lake.manifest(*PARTITION).rows != events or not rows:
        raise SystemExit(f"{rows} rows of a partition that should hold {events} events")


if __name__ == "__main__":
    use_kernel_cache()
    if len(sys.argv) == 3:
        read_day(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
