"""Cost-aware labels of a day's rows: what a round trip from each row would have paid."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import numpy as np
import polars as pl

from assets.checks import Verdict
from assets.features import aligned_day, opening_state
from assets.label_latency import latency_inputs, row_latencies
from assets.partitions import Part, day_and_after, day_beside, part_of, symbol_days
from assets.plots import heat_map, markdown_table
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from labeling.leakage import LeakReport, labels_ignore_beyond_exit
from labeling.replay import DEPTH_SHORT, OK, Tape, venue_tape
from labeling.targets import label_rows, tradeable_grid
from labeling.uniqueness import effective_size
from market.book import Book, apply_events
from market.events import FUNDING, MARK, Events, empty_events
from market.schema import frame_to_events
from storage.lake import Lake

SEAM_NS = 10_000_000_000  # beyond the longest horizon: how late a message of the next day may still arrive
SAMPLES = 4  # stretches of a day that the leakage check labels anew, from its beginning to its end
SAMPLE_ROWS = 400  # of each
LONGEST_WAIT = "longest_wait_ns"  # fact: from a row to its entry, at most
TOLD_BEFORE = 50_000  # events before a stretch among which its funding rate and mark were said


def labels_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a day's labels are made from; the day after counts, as its first events close the last labels."""
    here = [passed(lake, "features", part), passed(lake, "aligned_events", part)]
    beside = content_shas(passed(lake, "features", day_beside(part, -1)))[1:]
    after = content_shas(passed(lake, "aligned_events", day_beside(part, 1)))[:1]
    upstream = [[content_shas(manifest)[:1] for manifest in here], beside, after]
    upstream += latency_inputs(settings, lake, part.symbol)
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
    latency_ns, book = row_latencies(settings, lake, part.symbol, tape, row_ts), opening_state(settings, lake, part)[:3]
    frame = label_rows(tape, row_ts, settings.labels, instrument, book, latency_ns=latency_ns)
    grid = tradeable_grid(frame, settings.labels, instrument.contract)
    facts: dict[str, object] = {"seam": lake.holds("aligned_events", *day_beside(part, 1)), **label_facts(frame, grid)}
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
    yield from judge(
        lake, "labels", part, [degeneracy(grid, taker_budget_bp(settings, part)), leakage(settings, lake, part, frame)]
    )


def tape_with_seam(settings: Settings, lake: Lake, part: Part) -> Events:
    """Events of a day and, where the next day is there, the first of that: the last rows look into it."""
    today, tomorrow = aligned_day(lake, part), day_beside(part, 1)
    if passed(lake, "aligned_events", tomorrow) is None or not today.size:
        return today
    until = int(today["ingest_ts"][-1]) + settings.labels.longest_ns + SEAM_NS
    rows = lake.scan("aligned_events", tomorrow.symbol, [tomorrow.key]).filter(pl.col("ingest_ts") <= until).collect()
    return np.concatenate([today, frame_to_events(rows) if rows.height else empty_events(0)])


def label_facts(frame: pl.DataFrame, grid: pl.DataFrame) -> dict[str, float | str]:
    """Of each horizon the share of rows with a label, of those that the book was too thin for, and how many
    independent labels they are worth; of each cell the no-trade share; and the cells that are not trained on."""
    horizons = grid["horizon_ms"].unique(maintain_order=True)
    waited = (frame["te"] - frame["row_ts"]).to_numpy()
    facts: dict[str, float | str] = {LONGEST_WAIT: int(waited.max(initial=0))}
    for horizon in horizons:
        status, te = frame[f"status_{horizon}"].to_numpy(), frame["te"].to_numpy()
        known = te[status == OK]
        facts[f"labelled_{horizon}ms"] = float((status == OK).mean()) if status.size else 0.0
        facts[f"depth_short_{horizon}ms"] = float((status == DEPTH_SHORT).mean()) if status.size else 0.0
        facts[f"effective_{horizon}ms"] = effective_size(known, known + horizon * 1_000_000)
    cells = grid.select("horizon_ms", "budget_bp", "no_trade").iter_rows()
    shares = {f"no_trade_{horizon}ms_{budget:g}bp": share for horizon, budget, share in cells}
    return facts | shares | {"untradeable": untradeable(grid)}


def untradeable(grid: pl.DataFrame) -> str:
    """The cells whose rows are too seldom worth a trade to train on, by name."""
    cells = grid.filter(~pl.col("tradeable")).select("horizon_ms", "budget_bp").iter_rows()
    return ", ".join(f"{horizon} ms {budget:g} bp" for horizon, budget in cells) or "none"


def grid_page(grid: pl.DataFrame) -> str:
    """The shares of each class by horizon and budget as heat maps, then as a Markdown table."""
    budgets, horizons = (grid[name].unique(maintain_order=True) for name in ("budget_bp", "horizon_ms"))
    across, down = [f"{budget:g} bp" for budget in budgets], [f"{horizon} ms" for horizon in horizons]
    maps = [
        heat_map(f"{name}, % of rows", across, down, grid[column].to_numpy().reshape(len(down), len(across)))
        for column, name in (("no_trade", "no trade"), ("up", "up"), ("down", "down"))
    ]
    table = markdown_table(grid.columns, grid.iter_rows())
    return "\n\n".join([*maps, f"Not trained on: {untradeable(grid)}", table])


def taker_budget_bp(settings: Settings, part: Part) -> float:
    """What the configured venue charged that day for a round trip that takes twice, bp of notional.

    Raises DataError if a tier is configured, and the fee table has no entry of it for the day.
    """
    day_ns = int(datetime.fromisoformat(part.key).replace(tzinfo=UTC).timestamp()) * 1_000_000_000
    return 2e4 * settings.venue.charged(settings.instrument(part.symbol).venue, day_ns, day_ns).fees[1]


def degeneracy(grid: pl.DataFrame, taker_bp: float) -> Verdict:
    """At least one cell holds enough rows that are worth a trade; ``taker_bp`` stands beside them."""
    tradeable = int(grid["tradeable"].sum())
    facts = {"cells": grid.height, "tradeable": tradeable, "untradeable": untradeable(grid), "taker_bp": taker_bp}
    return Verdict("degeneracy", tradeable > 0, facts, {"shares": grid_page(grid)})


def leakage(settings: Settings, lake: Lake, part: Part, frame: pl.DataFrame) -> Verdict:
    """Labels of some stretches of the day are those that a tape makes which is poisoned beyond their exits."""
    tape, book = venue_tape(tape_with_seam(settings, lake, part)), opening_state(settings, lake, part)[:3]
    reports, done = [], 0
    for first in np.linspace(0, max(0, frame.height - SAMPLE_ROWS), SAMPLES).astype(int):
        rows = frame[int(first) : int(first) + SAMPLE_ROWS]
        place = int(np.searchsorted(tape.times, rows["row_ts"][0])) if rows.height else done
        apply_events(book, tape.events[tape.order[done:place]])
        done = place
        sample = stretch_of(
            tape, place, int(rows["te"].to_numpy().max()) + settings.labels.longest_ns if rows.height else 0
        )
        reports.append(stretch_leaks(settings, part, rows, sample, (book[0], book[1], book[2])))
    leaks = [report.first_ts for report in reports if report.first_ts is not None]
    checked = sum(report.checked for report in reports)
    facts = {"labels_compared": checked, "stretches": len(reports), "first_leak": min(leaks, default=0)}
    return Verdict("leakage", checked > 0 and not leaks, facts)


def stretch_of(tape: Tape, place: int, until: int) -> Events:
    """Events of a tape from a place on, in order of arrival, and marks and fundings of shortly before: they hold on."""
    before = tape.order[max(0, place - TOLD_BEFORE) : place]
    told = before[np.isin(tape.events["kind"][before], (MARK, FUNDING))]
    last = int(np.searchsorted(tape.times, until, side="right"))
    return tape.events[np.sort(np.concatenate([told, tape.order[place : last + 1]]))]


def stretch_leaks(settings: Settings, part: Part, rows: pl.DataFrame, sample: Events, book: Book) -> LeakReport:
    """What moves of consecutive rows of a day when poison lies after each horizon's middle exit, and after the last.

    sample : events from the first row on, in order of arrival; ``book`` is the venue's before them
    """
    instrument, te = settings.instrument(part.symbol), rows["te"].to_numpy()
    latency_ns = te - rows["row_ts"].to_numpy()
    horizons_ms = settings.labels.horizons_ms

    def labels_of(events: Events) -> pl.DataFrame:
        stamps = rows["row_ts"].to_numpy()
        return label_rows(events, stamps, settings.labels, instrument, book, latency_ns=latency_ns)

    if not te.size:
        return LeakReport(0, None)
    middle, last = int(np.median(te)), int(te.max())
    instants = [*(middle + horizon_ms * 1_000_000 for horizon_ms in horizons_ms), last + horizons_ms[-1] * 1_000_000]
    return labels_ignore_beyond_exit(labels_of, sample, instants, horizons_ms, rows)
