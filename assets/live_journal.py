"""Finished segments of the runner's journal, back in the lake: what was seen, decided and filled."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from assets.checks import Verdict
from assets.journal_tables import DECISIONS_TABLE, EVENTS_TABLE, TABLES, read_tables, reader_for
from assets.partitions import WHOLE, Part
from assets.tables import INPUTS, Table, blocking, inputs_sha, judge, publish
from config.settings import Settings
from market.errors import JournalError
from market.schema import schema_sha
from storage.journal import finished_segments, read_headers, segments
from storage.lake import FAILED, Lake

COUNTS = ("frames", "events", "decisions", "reports", "fills", "disconnections", "lost_by_sequence")
MODELS = ("running_sha", "challenger_sha")  # the newest at either desk, empty where there is none
LATENCIES = ("ingest_lag_p95_ms", "batch_to_decision_p95_ms")


@dg.asset(group_name="live", kinds={"parquet"})
def live_journal(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """One line a segment; its events, decisions and reports are partitions of their own, written once."""
    symbol = settings.live.symbol
    rows = import_segments(settings, lake, symbol)
    table = pl.DataFrame(rows)
    inputs = inputs_sha("live_journal", [], table["segment"].to_list(), ["market", "storage"])
    return publish(lake, "live_journal", Part(symbol, WHOLE), Table(table, journal_facts(table)), inputs)


@dg.multi_asset_check(
    specs=blocking(
        "live_journal",
        ordered="No event bears an earlier stamp than the one before it.",
        rows_without_holes="Each desk decides on every row of the grid, none left out and none twice.",
    )
)
def live_journal_hold(
    settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Events stand in the order of their arrival, and every desk has decided on every row once."""
    symbol = settings.live.symbol
    table = lake.scan("live_journal", symbol, [WHOLE], unchecked=True).collect()
    stamps = lake.batches(EVENTS_TABLE, symbol, table["segment"].to_list(), columns=["ingest_ts"], unchecked=True)
    decisions = live_table(lake, symbol, table, DECISIONS_TABLE, ["desk", "row_ts"], unchecked=True)
    verdicts = [in_order(stamps), without_holes(decisions, settings.features.row_interval_ms * 1_000_000)]
    checks = {verdict.name: verdict.passed for verdict in verdicts}
    for name in TABLES:
        for key in table["segment"]:
            lake.set_verdict(name, symbol, key, all(checks.values()), checks)
    yield from judge(lake, "live_journal", Part(symbol, WHOLE), verdicts)


def import_segments(settings: Settings, lake: Lake, symbol: str) -> list[dict[str, Any]]:
    """A line for each finished segment of the present journal, oldest first; those not yet in the lake are written.

    Raises JournalError if there is none, or one is damaged.
    """
    folder = settings.paths.journal(symbol)
    finished, every = finished_segments(folder), segments(folder)
    headers = dict(read_headers(folder))
    rows, reader = [], None
    for segment in (segment for segment in finished if segment in headers):
        reader = reader or reader_for(headers[segment])
        tables = read_tables(reader, segment, newest=segment == every[-1])
        if tables is None:
            continue
        for name, frame in tables.frames.items():
            _write_once(lake, name, Part(symbol, tables.key), frame, tables.facts)
        shas = {name: headers[segment][name] for name in ("config_sha", "catalogue_sha")}
        rows.append({"segment": tables.key, "file": segment.name, **tables.facts, **shas})
    if not rows:
        raise JournalError(f"no finished segment with a record in {folder}")
    return rows


def live_table(
    lake: Lake,
    symbol: str,
    journal: pl.DataFrame,
    name: str,
    columns: Sequence[str] | None = None,
    *,
    unchecked: bool = False,
) -> pl.DataFrame:
    """One table of all segments of the present journal, in order; ``columns`` of it, None for all."""
    rows = lake.scan(name, symbol, journal["segment"].to_list(), unchecked=unchecked)
    return (rows if columns is None else rows.select(columns)).collect()


def journal_facts(table: pl.DataFrame) -> dict[str, Any]:
    """The whole journal in numbers; percentiles are those of the worst segment."""
    sums = {name: int(table[name].sum()) for name in COUNTS}
    worst = {name: float(table[name].fill_nan(None).max() or float("nan")) for name in LATENCIES}  # type: ignore[arg-type]
    models = {name: ["", *table[name].drop_nulls()][-1] for name in MODELS}
    return {"segments": table.height, **sums, **worst, **models}


def in_order(batches: Iterable[pl.DataFrame]) -> Verdict:
    """No event bears an earlier stamp than the one before it.

    batches : ``ingest_ts`` of all events, piece by piece; a day of them does not fit into memory
    """
    count, backwards, newest = 0, 0, None
    for batch in batches:
        stamps = batch["ingest_ts"].to_numpy()
        if not stamps.size:
            continue
        backwards += int(np.count_nonzero(np.diff(stamps, prepend=stamps[0] if newest is None else newest) < 0))
        count, newest = count + stamps.size, stamps[-1]
    return Verdict("ordered", count > 0 and backwards == 0, {"events": count, "backwards": backwards})


def without_holes(decisions: pl.DataFrame, row_ns: int) -> Verdict:
    """Each desk decides on every row of the grid, none left out and none twice."""
    odd = {
        int(desk): int((rows["row_ts"].diff().drop_nulls() != row_ns).sum())
        for (desk,), rows in decisions.group_by("desk", maintain_order=True)
    }
    facts: dict[str, float | int | str] = {"decisions": decisions.height, "odd_steps": sum(odd.values())}
    return Verdict("rows_without_holes", decisions.height > 0 and not any(odd.values()), facts)


def _write_once(lake: Lake, name: str, part: Part, frame: pl.DataFrame, facts: dict[str, Any]) -> None:
    """The key holds the segment's hash: a partition that is there, and was not refused, is the same."""
    if lake.holds(name, *part) and lake.manifest(name, *part).verdict != FAILED:
        return
    lake.write(name, *part, frame, schema_sha=schema_sha(frame.schema), metadata={**facts, INPUTS: part.key})
