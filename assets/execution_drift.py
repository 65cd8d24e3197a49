"""Live orders against the models that the champion was judged by: how long, how often filled, how dear."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from assets.backtests import ON_SURFACE, ORDERS
from assets.champion import champion_slice, newest_slice
from assets.checks import Verdict
from assets.journal_tables import DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE
from assets.live_journal import live_table
from assets.partitions import WHOLE, Part
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from assets.venue_models import tapes_of
from backtest.answers import ANSWER, legs_of_answers
from config.settings import Settings
from market.events import empty_events
from market.orders import FILL
from monitoring.execution_drift import (
    FILL_RATIO,
    LATENCY,
    PAID_COST,
    ExecutionReport,
    Observations,
    execution_report,
    should_retrain,
)
from storage.journal import TRADING_DESK
from storage.lake import Lake
from trading.records import PLACE

DAYS: Final = {
    "day": pl.String,
    "measure": pl.String,
    "expected": pl.Float64,
    "hours": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "off": pl.Int64,
    "reason": pl.String,
}


@dg.asset(
    deps=["live_journal", "paid_cost", "registered_model", "backtests"], group_name="monitoring", kinds={"parquet"}
)
def execution_drift(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """One line a measure and day: what was seen, what was expected, and whether the day is off."""
    part = Part(settings.live.symbol, WHOLE)
    champion = champion_slice(settings, lake, part.symbol)
    report = execution_report(observed(lake, part, champion), settings.execution_drift)
    slices = {"champion_slice": champion.key, "newest_slice": newest_slice(lake, part.symbol)}
    tables = ("live_journal", "paid_cost")
    upstream = [*(content_shas(passed(lake, name, part))[:1] for name in tables), champion.key]
    inputs = inputs_sha("execution_drift", [settings.execution_drift], upstream, ["backtest", "monitoring"])
    frame = pl.DataFrame(report.rows(), schema=DAYS)
    return publish(lake, "execution_drift", part, Table(frame, {**report_facts(report), **slices}), inputs)


@dg.multi_asset_check(
    specs=blocking("execution_drift", every_day_measured_once="The table has each measure of a day once, in order.")
)
def execution_drift_hold(
    settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """The table has each measure of a day once, in order."""
    part = Part(settings.live.symbol, WHOLE)
    table = lake.scan("execution_drift", part.symbol, [part.key], unchecked=True).collect()
    yield from judge(lake, "execution_drift", part, [measured_once(table)])


def observed(lake: Lake, part: Part, champion: Part) -> tuple[Observations, ...]:
    """Legs, fills and costs of the model's desk, each with what the champion's backtest took for granted."""
    journal = lake.scan("live_journal", part.symbol, [WHOLE]).collect()
    names = (DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE)
    desk = [live_table(lake, part.symbol, journal, name).filter(pl.col("desk") == TRADING_DESK) for name in names]
    costs = lake.scan("paid_cost", part.symbol, [WHOLE]).filter(pl.col("desk") == TRADING_DESK).collect()
    round_trip_ms, fill_ratio = assumed(lake, champion)
    return legs_seen(*desk, round_trip_ms), fills_seen(desk[1], desk[2], fill_ratio), costs_seen(costs)


def assumed(lake: Lake, champion: Part) -> tuple[float | None, float | None]:
    """An order's mean way to the venue and back, ms, and the share of its lots that is filled, in the backtest."""
    found = passed(lake, "backtests", champion)
    if found is None or "round_trip_ms" not in found.metadata:
        return None, None
    orders = lake.scan(ORDERS, champion.symbol, [champion.key]).filter(pl.col("run") == ON_SURFACE).collect()
    placed = int(orders["qty"].sum())
    return float(found.metadata["round_trip_ms"]), int(orders["filled"].sum()) / placed if placed else None


def legs_seen(
    decisions: pl.DataFrame, orders: pl.DataFrame, reports: pl.DataFrame, round_trip_ms: float | None
) -> Observations:
    """Each answered order's way to the venue and back over the mean that is assumed."""
    tapes = tapes_of(empty_events(0), decisions, orders, reports)
    answers = np.concatenate([np.zeros(0, ANSWER), *(tape.answers for tape in tapes)])
    answered = answers[(answers["verb"] == PLACE) & (answers["kind"] != 0)]
    legs = legs_of_answers(answered)
    ms = (legs[:, 2] + legs[:, 3]) / 1e6
    expected = None if not round_trip_ms else 1.0
    return Observations(LATENCY, expected, answered["sent_ts"], ms / (round_trip_ms or 1.0), np.ones(ms.size))


def fills_seen(orders: pl.DataFrame, reports: pl.DataFrame, expected: float | None) -> Observations:
    """Share of each order's lots that was filled, which counts as many times as it has lots."""
    filled = reports.filter(pl.col("kind") == FILL).group_by("order_id").agg(filled=pl.col("qty").sum())
    placed = orders.filter(pl.col("verb") == PLACE).join(filled, on="order_id", how="left", maintain_order="left")
    lots, got = placed["qty"].to_numpy().astype(np.float64), placed["filled"].fill_null(0).to_numpy()
    return Observations(FILL_RATIO, expected, placed["sent_ts"].to_numpy(), got / np.maximum(lots, 1), lots)


def costs_seen(costs: pl.DataFrame) -> Observations:
    """What each fill cost beyond its decision's assumption, bp; fills whose decision assumed none are left out."""
    known = costs.filter(pl.col("excess_bp").is_finite())
    values = (known[name].to_numpy() for name in ("decided_ts", "excess_bp", "quote_value"))
    return Observations(PAID_COST, 0.0, *values)


def report_facts(report: ExecutionReport) -> dict[str, Any]:
    """The report in brief; a sensor reads ``verdict``, ``said`` and ``retrain_reason`` and nothing else of it."""
    by_measure = {f"{found.measure}: verdict": found.verdict for found in report.measures}
    return {
        "verdict": report.verdict,
        "said": "; ".join(f"{found.measure} {found.verdict}, {found.reason}" for found in report.measures),
        "retrain_reason": should_retrain(report) or "",
        **by_measure,
        "report_sha": report.sha256,
    }


def measured_once(table: pl.DataFrame) -> Verdict:
    """The table has each measure of a day once, in order."""
    twice = table.height - table.select("day", "measure").n_unique()
    ordered = table.group_by("measure").agg(pl.col("day").is_sorted())["day"].all()
    return Verdict("every_day_measured_once", not twice and bool(ordered), {"days": table.height, "twice": twice})
