"""Classes of the traded cell since the champion was trained, against those that it was trained on, regime by regime."""

import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.champion import champion_slice, newest_slice
from assets.checks import DAY_NS, Verdict, day_start
from assets.features import REGIME
from assets.partitions import WHOLE, Part
from assets.slice_data import slice_of
from assets.tables import Table, blocking, inputs_sha, judge, passed, publish
from assets.train_parts import traded_cell
from assets.walk_forward_slices import passed_days
from config.settings import Settings
from features.regimes import REGIME_NAMES, UNKNOWN
from labeling.targets import DOWN, NO_TRADE, UP, classes
from market.errors import NotEnoughData
from market.units import NS_PER_MS
from monitoring.label_shift import DailyCounts, LabelShiftReport, label_shift_report, should_retrain
from storage.lake import FAILED, Lake

REGIMES: Final = tuple(name for code, name in REGIME_NAMES.items() if code != UNKNOWN)
KINDS: Final = (DOWN, NO_TRADE, UP)
CHAMPION: Final = "champion_slice"  # column: which training the days of a row were held against


@dg.asset(deps=["labels", "registered_model"], group_name="monitoring", kinds={"parquet"})
def label_shift(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """One line a day and regime: how far its classes went from training, the verdict of that day, and the reason."""
    part = Part(settings.live.symbol, WHOLE)
    champion = champion_slice(settings, lake, part.symbol)
    start, end = slice_of(lake, champion).train
    training, live = (daily_counts(settings, lake, part.symbol, *span) for span in ((start, end), (end, None)))
    report = label_shift_report(live, training, REGIMES, settings.label_shift)
    seen = {"skipped_days": skipped_days(lake, part.symbol, start), **newest_age(report, time.time_ns())}
    facts = {**report_facts(report), **seen, CHAMPION: champion.key, "newest_slice": newest_slice(lake, part.symbol)}
    days = [manifest.rows_sha256 for manifest in passed_days(lake, "labels", part.symbol)]
    used = [settings.label_shift, settings.labels, list(traded_cell(settings))]
    inputs = inputs_sha("label_shift", used, [days, champion.key], ["labeling", "monitoring"])
    frame = with_history(past_verdicts(lake, part), shift_frame(report, champion.key))
    pages = {"regimes": dg.MetadataValue.md(regime_page(report))}
    return publish(lake, "label_shift", part, Table(frame, facts, pages=pages), inputs)


@dg.multi_asset_check(
    specs=blocking(
        "label_shift",
        every_day_judged_once="Each training's days are in the table once for every regime, and in order.",
    )
)
def label_shift_hold(
    settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Each training's days are in the table once for every regime, and in order."""
    part = Part(settings.live.symbol, WHOLE)
    table = lake.scan("label_shift", part.symbol, [part.key], unchecked=True).collect()
    yield from judge(lake, "label_shift", part, [judged_once(table)])


def daily_counts(settings: Settings, lake: Lake, symbol: str, start: int, end: int | None) -> DailyCounts:
    """Labelled rows of the traded cell from ``start`` to before ``end`` (None: to the newest), by day.

    A date between two others without labels counts nothing. Raises NotEnoughData if there is no date at all.
    """
    within = pl.col("row_ts") >= start
    if end is not None:
        within &= pl.col("row_ts") < end
    here = {
        manifest.key: _counts_of_day(settings, lake, Part(symbol, manifest.key), within)
        for manifest in passed_days(lake, "labels", symbol)
        if day_start(manifest.key) + DAY_NS > start and (end is None or day_start(manifest.key) < end)
    }
    if not here:
        raise NotEnoughData(f"{symbol} has no day of labels that passed its checks from {start} ns on")
    first, last = (date.fromisoformat(end_day) for end_day in (min(here), max(here)))
    dates = [str(first + timedelta(days=number)) for number in range((last - first).days + 1)]
    nothing = np.zeros((len(REGIMES), len(KINDS)), np.int64)
    counts = np.stack([here.get(day, nothing) for day in dates])
    return DailyCounts(tuple(dates), counts, DAY_NS // (settings.features.row_interval_ms * NS_PER_MS))


def skipped_days(lake: Lake, symbol: str, start: int) -> int:
    """Days from ``start`` (ns) on whose labels nobody may read: torn, failed a check, or not checked."""
    since = [day for day in lake.dates("labels", symbol) if day_start(day) + DAY_NS > start]
    return sum(passed(lake, "labels", Part(symbol, day)) is None for day in since)


def newest_age(report: LabelShiftReport, now_ns: int) -> dict[str, float]:
    """How long before ``now_ns`` the newest day that was judged ended, days: a verdict on old days is no news."""
    return {"newest_day_age_days": round((now_ns - day_start(report.days[-1].day) - DAY_NS) / DAY_NS, 2)}


def _counts_of_day(settings: Settings, lake: Lake, part: Part, within: pl.Expr) -> NDArray[np.int64]:
    """Rows of a day by regime and class, (R, 3); rows without a regime or a class are left out."""
    cell, contract = traded_cell(settings), settings.instrument(part.symbol).contract
    regimes = lake.scan("features", part.symbol, [part.key]).select("row_ts", REGIME)
    others = [f"^.*_{horizon_ms}$" for horizon_ms in settings.labels.horizons_ms if horizon_ms != cell.horizon_ms]
    rows = (
        lake.scan("labels", part.symbol, [part.key])
        .select(pl.exclude(others))
        .filter(within)
        .join(regimes, on="row_ts")
    )
    frame = rows.collect()
    kinds = classes(frame, cell.horizon_ms, cell.budget_bp, settings.labels.margin_bp, contract)
    return count_classes(frame[REGIME].to_numpy(), kinds)


def count_classes(regimes: NDArray[np.int8], kinds: NDArray[np.int8]) -> NDArray[np.int64]:
    """Rows by regime and class, (R, 3)."""
    codes = [code for code in REGIME_NAMES if code != UNKNOWN]
    return np.array([[np.count_nonzero((regimes == code) & (kinds == kind)) for kind in KINDS] for code in codes])


def shift_frame(report: LabelShiftReport, champion: str) -> pl.DataFrame:
    """The report's days, each beside the training that it was held against."""
    frame = pl.DataFrame(report.rows(), infer_schema_length=None)
    return frame.insert_column(0, pl.Series(CHAMPION, [champion] * frame.height, dtype=pl.String))


def past_verdicts(lake: Lake, part: Part) -> pl.DataFrame | None:
    """The table as it was last judged; None before the first time, or where it is torn or was refused."""
    if not lake.intact("label_shift", *part) or lake.manifest("label_shift", *part).verdict == FAILED:
        return None
    return lake.scan("label_shift", part.symbol, [part.key], unchecked=True).collect()


def with_history(before: pl.DataFrame | None, now: pl.DataFrame) -> pl.DataFrame:
    """What was said against earlier trainings, then what is said against the present one."""
    if before is None or before.schema != now.schema:
        return now
    return pl.concat([before.filter(~pl.col(CHAMPION).is_in(now[CHAMPION].unique().to_list())), now])


def report_facts(report: LabelShiftReport) -> dict[str, Any]:
    """The report in brief; a sensor reads ``verdict`` and ``retrain_reason`` and nothing else of it."""
    newest = report.days[-len(report.regimes) :]
    by_regime = {
        f"{said.regime}: {name}": value
        for said, day in zip(report.regimes, newest, strict=True)
        for name, value in (("verdict", said.verdict), ("reason", said.reason), ("points", _known(day.change_points)))
    }
    return {
        "verdict": report.verdict,
        "said": "; ".join(f"{said.regime}: {said.reason}" for said in report.regimes),
        "retrain_reason": should_retrain(report) or "",
        "naive_points": _known(report.naive_points),
        "naive_fires": report.naive_fires,
        "newest_day": newest[0].day,
        "training_rows": sum(day.training_rows for day in newest),
        "rows": sum(day.rows for day in newest),
        **by_regime,
        "report_sha": report.sha256,
    }


def _known(points: float) -> float | str:
    """A figure as a manifest can hold it, which knows no NaN."""
    return "insufficient" if np.isnan(points) else points


def regime_page(report: LabelShiftReport) -> str:
    """What is said of each regime, as Markdown."""
    lines = [f"| {said.regime} | {said.verdict} | {said.reason} |" for said in report.regimes]
    naive = f"All regimes together, the naive figure: {report.naive_points:.1f} points."
    return "\n".join(["| regime | verdict | why |", "| --- | --- | --- |", *lines, "", naive])


def judged_once(table: pl.DataFrame) -> Verdict:
    """Each training's days are in the table once for every regime, and in order."""
    sizes = table.group_by(CHAMPION, "day").agg(pl.len(), pl.col("regime").n_unique().alias("regimes"))
    odd = sizes.filter((pl.col("len") != len(REGIMES)) | (pl.col("regimes") != len(REGIMES))).height
    days = table.group_by(CHAMPION, maintain_order=True).agg(pl.col("day").is_sorted().alias("sorted"))
    good = table.height > 0 and odd == 0 and bool(days["sorted"].all())
    return Verdict("every_day_judged_once", good, {"days": sizes.height, "odd_days": odd})
