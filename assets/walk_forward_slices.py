"""Train, validation and test windows of a symbol, over all of its days."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl

from assets.checks import Verdict
from assets.labels import LONGEST_WAIT
from assets.partitions import WHOLE, Part, part_of, slices, symbols, valid_slice, whole_symbol
from assets.tables import Table, blocking, inputs_sha, judge, passed, publish
from config.settings import Settings
from features.catalogue import VALID
from market.errors import LeakageError, NotEnoughData
from modeling.parameters import WalkForwardParameters
from modeling.walk_forward import Slice, ValParts, Window, assert_purged, split_validation, walk_forward
from storage.lake import Lake, Manifest

NS_PER_S = 1_000_000_000


def walk_forward_slices_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a symbol's slices are made from."""
    days = [manifest.rows_sha256 for manifest in passed_days(lake, "labels", part.symbol)]
    return inputs_sha(
        "walk_forward_slices", [settings.models.walk_forward, settings.trained_labels], days, ["modeling"]
    )


@dg.asset(
    partitions_def=symbols,
    deps=[dg.AssetDep(name, partition_mapping=whole_symbol) for name in ("features", "labels", "aligned_events")],
    group_name="slices",
    kinds={"parquet"},
)
def walk_forward_slices(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Windows that only move forward, each pair purged; every slice becomes a partition of the models."""
    part = Part(part_of(context).symbol, WHOLE)
    pieces = slices_of(settings, *valid_span(lake, part.symbol))
    context.instance.add_dynamic_partitions(slices.name, [valid_slice(piece.key) for piece in pieces])
    facts = {"slices": len(pieces), **purge_facts(settings, lake, part.symbol)}
    inputs = walk_forward_slices_inputs(settings, lake, part)
    return publish(lake, "walk_forward_slices", part, Table(slice_frame(pieces), facts), inputs)


@dg.multi_asset_check(
    specs=blocking(
        "walk_forward_slices",
        purged="Every purge, inside Val too, covers the longest horizon, the latencies and the clock error.",
    )
)
def walk_forward_slices_hold(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """No label of one window, or of one part of Val, ends inside the next."""
    part = Part(part_of(context).symbol, WHOLE)
    facts = lake.manifest("walk_forward_slices", *part).metadata
    frame = lake.scan("walk_forward_slices", part.symbol, [WHOLE], unchecked=True).collect()
    yield from judge(lake, "walk_forward_slices", part, [purged(frame, facts)])


def slices_of(settings: Settings, start: int, end: int) -> list[Slice]:
    """All slices between two instants, ns, Val split. Raises NotEnoughData if not one fits."""
    lengths = settings.models.walk_forward
    windows = (lengths.train_s, lengths.val_s, lengths.test_s, lengths.purge_s)
    whole = walk_forward(start, end, *(round(seconds * NS_PER_S) for seconds in windows))
    pieces = [divided(piece, lengths) for piece in whole]
    if not pieces:
        needed = lengths.train_s + lengths.val_s + lengths.test_s + 2 * lengths.purge_s
        raise NotEnoughData(
            f"{(end - start) / NS_PER_S:.0f} s of valid rows; one walk-forward slice needs {needed:g} s"
        )
    return pieces


def divided(piece: Slice, lengths: WalkForwardParameters) -> Slice:
    """The slice with its Val split as the settings say."""
    purge = round(lengths.purge_s * NS_PER_S)
    parts = split_validation(piece.val, lengths.search_share, lengths.calibration_share, purge)
    return replace(piece, parts=parts)


def valid_span(lake: Lake, symbol: str) -> tuple[int, int]:
    """From the first valid row of a symbol to past its last, ns. Raises NotEnoughData if it has none."""
    dates = [manifest.key for manifest in passed_days(lake, "features", symbol)]
    if not dates:
        raise NotEnoughData(f"{symbol} has no day of features that passed its checks")
    valid = lake.scan("features", symbol, dates).filter(pl.col("status") == VALID).select("row_ts")
    first, last = (
        valid.select(pl.col("row_ts").min().alias("first"), pl.col("row_ts").max().alias("last")).collect().row(0)
    )
    if first is None:
        raise NotEnoughData(f"{symbol} has no valid row in {', '.join(dates)}")
    return int(first), int(last) + 1


def passed_days(lake: Lake, dataset: str, symbol: str) -> list[Manifest]:
    """Manifests of a symbol's days that passed their checks, oldest first."""
    found = (passed(lake, dataset, Part(symbol, date)) for date in lake.dates(dataset, symbol))
    return [manifest for manifest in found if manifest is not None]


def purge_facts(settings: Settings, lake: Lake, symbol: str) -> dict[str, int]:
    """What a purge has to cover, ns: longest trained horizon, order latency with the slowest feed, clock error."""
    days = [manifest.metadata for manifest in passed_days(lake, "aligned_events", symbol)]
    slowest_ms = max((day["delay_p999_ms"] for day in days), default=0.0)
    waits = [day.metadata.get(LONGEST_WAIT, 0) for day in passed_days(lake, "labels", symbol)]
    return {
        "longest_horizon_ns": settings.models.horizons_ms[-1] * 1_000_000,
        "latency_ns": max(settings.labels.latency_ns, *waits, 0) + round(slowest_ms * 1e6),
        "clock_error_ns": round(max((day["clock_error_ms"] for day in days), default=0.0) * 1e6),
    }


def purged(frame: pl.DataFrame, facts: dict[str, int]) -> Verdict:
    """Every purge, inside Val too, covers the longest horizon, the latencies and the clock error."""
    reach = (facts["longest_horizon_ns"], facts["latency_ns"], facts["clock_error_ns"])
    try:
        for piece in (pieces := frame_slices(frame)):
            assert_purged(piece, *reach)
    except LeakageError as leak:
        return Verdict("purged", False, {"reach_ms": sum(reach) / 1e6, "leak": str(leak)})
    return Verdict("purged", bool(pieces), {"slices": len(pieces), "reach_ms": sum(reach) / 1e6})


def slice_frame(pieces: Sequence[Slice]) -> pl.DataFrame:
    """One row a slice: its key, then start and end of each window and of each part of Val, ns."""
    return pl.DataFrame(
        [
            {"slice": piece.key} | {f"{name}_{edge}": at for name, span in _spans(piece) for edge, at in _edges(span)}
            for piece in pieces
        ]
    )


def frame_slices(frame: pl.DataFrame) -> list[Slice]:
    """The slices that ``slice_frame`` was given."""
    return [
        Slice(row["slice"], *_windows(row, "train", "val", "test"), ValParts(*_windows(row, *ValParts._fields)))
        for row in frame.iter_rows(named=True)
    ]


def _windows(row: dict[str, Any], *names: str) -> Iterator[Window]:
    return ((row[f"{name}_start"], row[f"{name}_end"]) for name in names)


def _spans(piece: Slice) -> tuple[tuple[str, Window], ...]:
    return *piece.windows, *piece.split._asdict().items()


def _edges(window: tuple[int, int]) -> Iterator[tuple[str, int]]:
    yield from zip(("start", "end"), window, strict=True)
