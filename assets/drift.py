"""Live features against those that the champion was trained on."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.checks import Verdict
from assets.features import REGIME
from assets.journal_tables import EVENTS_TABLE
from assets.live_journal import live_table
from assets.partitions import WHOLE, Part
from assets.slice_data import days_of, slice_of
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from features.batch import feature_rows, frame_to_rows
from features.catalogue import VALID, catalogue_sha, feature_names
from features.step import new_state
from market.errors import DataError, LakeError
from market.schema import frame_to_events
from monitoring.drift import DriftReport, drift_report, should_retrain
from storage.lake import Lake

Floats = NDArray[np.float32]
NS_PER_S = 1_000_000_000


@dg.asset(deps=["live_journal", "registered_model"], group_name="monitoring", kinds={"parquet"})
def drift(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """One line a feature: how far it went, and whether chance could have brought that."""
    part = Part(settings.live.symbol, WHOLE)
    champion = champion_slice(lake, part.symbol)
    live, reference = live_values(settings, lake, part.symbol), reference_values(settings, lake, champion)
    report = drift_report(feature_names(settings.features_of(part.symbol)), live, reference, settings.drift)
    slices = {"champion_slice": champion.key, "newest_slice": newest_slice(lake, part.symbol)}
    facts = {**report_facts(report), **slices, "live_until_ts": live_until(lake, part.symbol)}
    upstream = [content_shas(passed(lake, "live_journal", part))[:1], champion.key]
    inputs = inputs_sha("drift", [settings.drift], upstream, ["features", "monitoring"])
    frame = pl.DataFrame(list(report.as_dict()["features"]), infer_schema_length=None)
    return publish(lake, "drift", part, Table(frame, facts), inputs)


@dg.multi_asset_check(
    specs=blocking(
        "drift",
        every_feature_judged_once="The table has every catalogued feature once, each with a distance between 0 and 1.",
    )
)
def drift_hold(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
    """The table has every catalogued feature once, each with a distance between 0 and 1."""
    part = Part(settings.live.symbol, WHOLE)
    table = lake.scan("drift", part.symbol, [part.key], unchecked=True).collect()
    same = tuple(table["name"]) == feature_names(settings.features_of(part.symbol))
    inside = bool(table["ks"].is_between(0, 1).all())
    yield from judge(
        lake, "drift", part, [Verdict("every_feature_judged_once", same and inside, {"features": table.height})]
    )


def report_facts(report: DriftReport) -> dict[str, Any]:
    """The report in brief; the sensor reads ``verdict`` and ``retrain_reason`` and nothing else of it."""
    return {
        "verdict": report.verdict,
        "retrain_reason": should_retrain(report) or "",
        "min_p": report.min_p if report.min_p is not None else "insufficient",
        "worst_feature": report.worst_feature,
        "worst_shift": report.worst_shift,
        "feature_shift_ks": report.worst_ks,
        "judged": report.judged,
        "live_rows": report.live_rows,
        "reference_rows": report.reference_rows,
        "report_sha": report.sha256,
    }


def champion_slice(lake: Lake, symbol: str) -> Part:
    """The slice that the registered model of a symbol was trained on. Raises LakeError if there is none."""
    registered = lake.scan("registered_model", WHOLE, [WHOLE]).filter(pl.col("symbol") == symbol).collect()
    if registered.is_empty():
        raise LakeError(f"no model of {symbol} is registered: there is nothing to compare its features with")
    return Part(symbol, registered["slice"][0])


def newest_slice(lake: Lake, symbol: str) -> str:
    """Key of the last walk-forward slice of a symbol."""
    return frame_slices(lake.scan("walk_forward_slices", symbol, [WHOLE]).collect())[-1].key


def live_until(lake: Lake, symbol: str) -> int:
    """Stamp of the newest record of the present journal, ns UTC."""
    return int(lake.scan("live_journal", symbol, [WHOLE]).collect()["last_ts"].max())  # type: ignore[arg-type]


def live_values(settings: Settings, lake: Lake, symbol: str) -> Floats:
    """Normalised valid rows of the present journal, newest ``window_s`` seconds, recomputed by the compiled step.

    Raises DataError if the journal was written under another catalogue.
    """
    journal = lake.scan("live_journal", symbol, [WHOLE]).collect()
    parameters = settings.features_of(symbol)
    if set(journal["catalogue_sha"]) != {catalogue_sha(parameters)}:
        raise DataError(f"the journal of {symbol} was written under another feature catalogue than the settings'")
    events = frame_to_events(live_table(lake, symbol, journal, EVENTS_TABLE))
    end = int(events["ingest_ts"][-1])
    rows = feature_rows(events, new_state(parameters), parameters, end)
    kept = (rows.status == VALID) & (rows.row_ts > end - round(settings.drift.window_s * NS_PER_S))
    return rows.values[kept]


def reference_values(settings: Settings, lake: Lake, part: Part) -> Floats:
    """Normalised valid rows of a slice's Train, newest ``reference_s`` seconds."""
    start, end = slice_of(lake, part).train
    start = max(start, end - round(settings.drift.reference_s * NS_PER_S))
    within = pl.col("row_ts").is_between(start, end, closed="left") & (pl.col("status") == VALID)
    frame = lake.scan("features", part.symbol, days_of(lake, part.symbol, start, end)).filter(within).collect()
    return frame_to_rows(frame.drop(REGIME), settings.features_of(part.symbol)).values
