"""Aligned events in ClickHouse, where people ask for them in SQL; what is there says what the lake says."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import polars as pl

from assets.checks import Verdict
from assets.partitions import Part, part_of, symbol_days
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from storage.clickhouse import Warehouse, identity_of, login_from, open_warehouse
from storage.clickhouse_parity import Parity, parity_with_lake
from storage.clickhouse_schema import TABLES, kept_tables, schema_version
from storage.lake import Lake
from storage.progress import Weighed, unweighed


def warehouse_events_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a day of the warehouse is made from, and of where it lies."""
    events = content_shas(passed(lake, "aligned_events", part))
    chosen = settings.warehouse
    place = [chosen.url, chosen.database, chosen.cluster]
    return inputs_sha("warehouse_events", place, [events[:1], schema_version()], [])


def warehouse_holds(settings: Settings, lake: Lake, part: Part) -> bool:
    """Whether a day went into the warehouse that is there now."""
    loaded_into = lake.manifest("warehouse_events", *part).metadata["warehouse"]
    return bool(loaded_into == identity_of(settings.paths.clickhouse))


@dg.asset(partitions_def=symbol_days, deps=["aligned_events"], group_name="data", kinds={"clickhouse"})
def warehouse_events(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Events of one day with their candles of 1 s and 1 m, in ClickHouse; the lake keeps a receipt."""
    part = part_of(context)
    with opened(settings) as warehouse:
        facts = load_day(warehouse, lake, part)
        rows = {table: warehouse.rows_of(table, *part) for table in TABLES}
    facts |= {"warehouse": identity_of(settings.paths.clickhouse)}
    receipt = pl.DataFrame({"table": list(rows), "rows": list(rows.values())})
    inputs = warehouse_events_inputs(settings, lake, part)
    return publish(lake, "warehouse_events", part, Table(receipt, facts), inputs)


@dg.multi_asset_check(
    specs=blocking(
        "warehouse_events",
        warehouse_parity="The warehouse and DuckDB over the lake say the same of the day, to the last row.",
    )
)
def warehouse_events_hold(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """The warehouse and DuckDB over the lake say the same of the day, to the last row."""
    part = part_of(context)
    with opened(settings) as warehouse:
        found = parity_of(warehouse, lake, part)
    kept = kept_tables(settings.warehouse, part.key, datetime.now(UTC))
    yield from judge(lake, "warehouse_events", part, [parity_verdict(found, kept)])


def opened(settings: Settings) -> AbstractContextManager[Warehouse]:
    """The profile's warehouse; raises WarehouseError on entering if another process owns it."""
    return open_warehouse(settings.warehouse, settings.paths.clickhouse, login_from(os.environ))


def load_day(warehouse: Warehouse, lake: Lake, part: Part, told: Weighed = unweighed) -> dict[str, Any]:
    """Put a day of aligned events in place of what the warehouse has of it; ``told`` hears what share has been sent.

    Raises LakeError if the day is not in the lake or did not pass its checks.
    """
    manifest, start = lake.manifest("aligned_events", *part), time.monotonic()
    batches = told("rows sent", lake.batches("aligned_events", part.symbol, [part.key]), manifest.rows, len)
    rows = warehouse.rebuild(*part, manifest.sha256, batches)
    seconds = time.monotonic() - start
    sizes = {f"bytes: {table}": size for table, size in warehouse.sizes().items()}
    return {"events": rows, "rows_per_s": rows / seconds, "insert_s": seconds, **sizes}


def parity_of(warehouse: Warehouse, lake: Lake, part: Part) -> Parity:
    """A day of the warehouse held against the lake's."""
    return parity_with_lake(
        warehouse,
        *part,
        lambda connection: lake.relation(connection, "aligned_events", part.symbol, [part.key]),
    )


def parity_verdict(found: Parity, kept: list[str]) -> Verdict:
    """Nothing differs in the tables that still hold the whole day."""
    differing = {f"differing: {table}": count for table, count in found.differing.items() if table in kept}
    rows = {f"rows: {table}": count for table, count in found.rows.items()}
    whole = found.rows["events"] > 0 and not any(differing.values())
    return Verdict("warehouse_parity", whole, rows | differing)
