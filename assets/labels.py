"""Cost-aware labels of a day's rows: what a round trip from each row would have paid."""

from collections.abc import Iterator

import dagster as dg
import numpy as np
import polars as pl

from assets.checks import Verdict
from assets.features import SAMPLE_EVENTS, aligned_day, first_events, opening_state
from assets.partitions import Part, day_and_after, day_beside, part_of, symbol_days
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from labeling.leakage import labels_ignore_beyond_exit
from labeling.targets import label_rows, tradeable_grid
from market.events import Events, empty_events
from market.schema import frame_to_events
from storage.lake import Lake

SEAM_NS = 10_000_000_000  # beyond the longest horizon: how late a message of the next day may still arrive
SAMPLE_ROWS = 2_000  # that the leakage check labels anew
LEAK_INSTANTS = 3


def labels_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a day's labels are made from; the day after counts, as its first events close the last labels."""
    here = [passed(lake, "features", part), passed(lake, "aligned_events", part)]
    beside = content_shas(passed(lake, "features", day_beside(part, -1)))[1:]
    after = content_shas(passed(lake, "aligned_events", day_beside(part, 1)))[:1]
    upstream = [[content_shas(manifest)[:1] for manifest in here], beside, after]
    used = [settings.labels, settings.instrument(part.symbol)]
    return inputs_sha("labels", used, upstream, ["market", "labeling"])


@dg.asset(
    partitions_def=symbol_days,
    deps=["features", dg.AssetDep("aligned_events", partition_mapping=day_and_after)],
    group_name="data",
    kinds={"parquet"},
)
def labels(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Gross returns and round-trip ratios at every horizon, read from the venue's book."""
    part, instrument = part_of(context), settings.instrument(part_of(context).symbol)
    row_ts = lake.scan("features", part.symbol, [part.key]).select("row_ts").collect()["row_ts"].to_numpy()
    tape = tape_with_seam(settings, lake, part)
    frame = label_rows(tape, row_ts, settings.labels, instrument, opening_state(settings, lake, part)[:3])
    grid = tradeable_grid(frame, settings.labels, instrument.contract)
    facts = {"seam": lake.holds("aligned_events", *day_beside(part, 1)), **label_facts(frame, grid)}
    table = Table(frame, facts, pages={"cells": dg.MetadataValue.md(grid_page(grid))})
    return publish(lake, "labels", part, table, labels_inputs(settings, lake, part))


@dg.multi_asset_check(
    specs=blocking(
        "labels",
        degeneracy="At least one cell holds enough rows that are worth a trade.",
        leakage="Labels stay the same when the market beyond their exit is poisoned.",
    )
)
def labels_hold(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Some cell is worth trading, and no label reads the market beyond its exit."""
    part, instrument = part_of(context), settings.instrument(part_of(context).symbol)
    frame = lake.scan("labels", part.symbol, [part.key], unchecked=True).collect()
    grid = tradeable_grid(frame, settings.labels, instrument.contract)
    yield from judge(lake, "labels", part, [degeneracy(grid), leakage(settings, lake, part, frame)])


def tape_with_seam(settings: Settings, lake: Lake, part: Part) -> Events:
    """Events of a day and, where the next day is there, the first of that: the last rows look into it."""
    today, tomorrow = aligned_day(lake, part), day_beside(part, 1)
    if passed(lake, "aligned_events", tomorrow) is None or not today.size:
        return today
    until = int(today["ingest_ts"][-1]) + settings.labels.longest_ns + SEAM_NS
    rows = lake.scan("aligned_events", tomorrow.symbol, [tomorrow.key]).filter(pl.col("ingest_ts") <= until).collect()
    return np.concatenate([today, frame_to_events(rows) if rows.height else empty_events(0)])


def label_facts(frame: pl.DataFrame, grid: pl.DataFrame) -> dict[str, float]:
    """Rows with a label at each horizon, as a share, and the no-trade share of each cell."""
    horizons = grid["horizon_ms"].unique(maintain_order=True)
    known = {f"labelled_{horizon}ms": float((frame[f"status_{horizon}"] == 0).mean() or 0.0) for horizon in horizons}
    cells = grid.select("horizon_ms", "budget_bp", "no_trade").iter_rows()
    return known | {f"no_trade_{horizon}ms_{budget:g}bp": share for horizon, budget, share in cells}


def grid_page(grid: pl.DataFrame) -> str:
    """The table of cells as Markdown."""
    with pl.Config(tbl_formatting="ASCII_MARKDOWN", tbl_hide_dataframe_shape=True, tbl_rows=-1, float_precision=3):
        return str(grid)


def degeneracy(grid: pl.DataFrame) -> Verdict:
    """At least one cell holds enough rows that are worth a trade."""
    tradeable = int(grid["tradeable"].sum())
    return Verdict("degeneracy", tradeable > 0, {"cells": grid.height, "tradeable": tradeable})


def leakage(settings: Settings, lake: Lake, part: Part, frame: pl.DataFrame) -> Verdict:
    """Labels stay the same when the market beyond their exit is poisoned."""
    sample, instrument = first_events(lake, part, SAMPLE_EVENTS), settings.instrument(part.symbol)
    book = opening_state(settings, lake, part)[:3]
    row_ts = frame["row_ts"].to_numpy()[:SAMPLE_ROWS]
    instants = np.quantile(row_ts, np.linspace(0.3, 0.9, LEAK_INSTANTS)).astype(np.int64)

    def labels_of(events: Events) -> pl.DataFrame:
        return label_rows(events, row_ts, settings.labels, instrument, book)

    report = labels_ignore_beyond_exit(labels_of, sample, map(int, instants), settings.labels.horizons_ms)
    return Verdict("leakage", report.clean, {"labels_compared": report.checked, "first_leak": report.first_ts or 0})
