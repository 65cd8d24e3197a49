"""Live features against those that the champion was trained on."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from assets.champion import champion_slice, newest_slice
from assets.checks import Verdict
from assets.drift_rows import live_sample, live_until, reference_sample
from assets.partitions import WHOLE, Part
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from features.catalogue import feature_names
from market.schema import schema_sha
from monitoring.drift import DriftReport, Sample, drift_report, should_retrain
from storage.lake import Lake

SAMPLES: Final = "drift_samples"  # rows of either side, for whoever draws them
SIDE: Final = "side"


@dg.asset(deps=["live_journal", "registered_model"], group_name="monitoring", kinds={"parquet"})
def drift(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """One line a window and feature: how far it went, and whether chance could have brought that."""
    part, rules = Part(settings.live.symbol, WHOLE), settings.drift
    champion, names = champion_slice(settings, lake, part.symbol), feature_names(settings.features_of(part.symbol))
    live, reference = live_sample(settings, lake, part.symbol), reference_sample(settings, lake, champion)
    report = drift_report(names, live, reference, rules)
    newest = live.between(report.newest.start_ts, report.newest.end_ts)
    write_samples(lake, part, names, {"reference": reference, "live": newest}, rules.page_rows)
    slices = {"champion_slice": champion.key, "newest_slice": newest_slice(lake, part.symbol)}
    reason = should_retrain(report, rules) or ""
    facts = {**report_facts(report), "retrain_reason": reason, **slices, "live_until_ts": live_until(lake, part.symbol)}
    upstream = [content_shas(passed(lake, "live_journal", part))[:1], champion.key]
    inputs = inputs_sha("drift", [rules], upstream, ["features", "monitoring"])
    frame = pl.DataFrame(report.rows(), infer_schema_length=None)
    return publish(lake, "drift", part, Table(frame, facts), inputs)


@dg.multi_asset_check(
    specs=blocking(
        "drift",
        every_feature_judged_once="Every window has each catalogued feature once, with a distance between 0 and 1.",
    )
)
def drift_hold(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
    """Every window has each catalogued feature once, with a distance between 0 and 1."""
    part = Part(settings.live.symbol, WHOLE)
    table = lake.scan("drift", part.symbol, [part.key], unchecked=True).collect()
    found = judged_once(table, feature_names(settings.features_of(part.symbol)))
    lake.set_verdict(SAMPLES, *part, found.passed, {found.name: found.passed})
    yield from judge(lake, "drift", part, [found])


def judged_once(table: pl.DataFrame, names: tuple[str, ...]) -> Verdict:
    """Every window has each feature once, with a distance between 0 and 1."""
    windows = table.group_by("start_ts", maintain_order=True).agg("name")["name"].to_list()
    odd = sum(tuple(window) != names for window in windows)
    inside = bool(table["ks"].is_between(0, 1).all() and table["shift"].is_between(0, 1).all())
    facts: dict[str, float | int | str] = {"windows": len(windows), "odd_windows": odd}
    return Verdict("every_feature_judged_once", bool(windows) and not odd and inside, facts)


def report_facts(report: DriftReport) -> dict[str, Any]:
    """The report in brief; a sensor reads ``verdict``, ``said`` and what the asset adds, and nothing else of it."""
    newest, worst = report.newest, report.worst
    p_values = [feature.p for feature in newest.features if feature.p is not None]
    whole = sum(window.whole for window in report.windows)
    farthest = f"{worst.name} by {worst.shift:.3f}, raw KS {worst.ks:.3f}"
    return {
        "verdict": report.verdict,
        "said": f"{whole} whole windows, {newest.judged} features judged in the newest; farthest {farthest}",
        "min_p": min(p_values, default="insufficient"),
        "worst_feature": worst.name,
        "worst_shift": worst.shift,
        "feature_shift_ks": worst.ks,
        "judged": newest.judged,
        "live_rows": newest.rows,
        "reference_rows": report.reference_rows,
        "report_sha": report.sha256,
    }


def write_samples(lake: Lake, part: Part, names: tuple[str, ...], sides: dict[str, Sample], most: int) -> None:
    """At most so many rows of either side, evenly chosen."""
    chosen = {side: sample.values[_evenly(len(sample.values), most)] for side, sample in sides.items()}
    frame = pl.concat(
        [
            pl.DataFrame(rows, schema=list(names), orient="row").insert_column(0, _named(side, rows))
            for side, rows in chosen.items()
        ]
    )
    lake.write(SAMPLES, *part, frame, schema_sha=schema_sha(frame.schema))


def _named(side: str, rows: np.ndarray[Any, Any]) -> pl.Series:
    return pl.Series(SIDE, [side] * len(rows), dtype=pl.String)


def _evenly(rows: int, most: int) -> np.ndarray[Any, Any]:
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(np.int64))
