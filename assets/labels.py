"""Cost-aware labels of a day's rows: what a round trip from each row would have paid."""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.checks import Verdict
from assets.features import aligned_day, opening_state
from assets.label_latency import latency_inputs, row_latencies
from assets.partitions import Part, day_and_after, day_beside, part_of, symbol_days
from assets.plots import heat_map, markdown_table
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from labeling.leakage import LeakReport, labels_ignore_beyond_exit
from labeling.replay import DEPTH_SHORT, OK
from labeling.targets import label_rows, tradeable_grid
from labeling.uniqueness import effective_size
from labeling.venue_order import Tape, venue_tape
from market.book import Book, apply_events
from market.counter_hash import draw
from market.events import Events, empty_events, venue_ts
from market.funding import still_told, tells_funding
from market.schema import frame_to_events
from storage.lake import Lake

SEAM_NS = 10_000_000_000  # beyond the longest horizon: how late a message of the next day may still arrive
SAMPLES = 4  # stretches of a day that the leakage check labels anew, one somewhere in each quarter of its rows
SAMPLE_ROWS = 400  # of each
PIECE = 1_000_000  # events that are copied at once
STRETCH_SEED = 1  # of where they lie
LONGEST_WAIT = "longest_wait_ns"  # fact: from a row to its entry, at most


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
    context.log.info(worth_a_trade(grid, settings.trading.budget_bp))
    table = Table(frame, facts, pages={"cells": dg.MetadataValue.md(grid_page(grid))})
    return publish(lake, "labels", part, table, labels_inputs(settings, lake, part))


@dg.multi_asset_check(
    specs=blocking(
        "labels",
        degeneracy="At least one cell of a trained horizon holds enough rows that are worth a trade.",
        leakage="Labels stay the same when the market beyond their exit is poisoned.",
    )
)
def labels_hold(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Some cell is worth trading, and no label reads the market beyond its exit."""
    part = part_of(context)
    frame = lake.scan("labels", part.symbol, [part.key], unchecked=True).collect()
    verdicts = [degeneracy(settings, part, frame), leakage(settings, lake, part, frame)]
    yield from judge(lake, "labels", part, verdicts)


def tape_with_seam(settings: Settings, lake: Lake, part: Part) -> Events:
    """Events of a day and, where the next day is there, the first of that: the last rows look into it."""
    tomorrow = day_beside(part, 1)
    if passed(lake, "aligned_events", tomorrow) is None or not lake.manifest("aligned_events", *part).rows:
        return aligned_day(lake, part)
    today = lake.scan("aligned_events", part.symbol, [part.key])
    until = today.select(pl.col("ingest_ts").last()).collect().item() + settings.labels.longest_ns + SEAM_NS
    rows = lake.scan("aligned_events", tomorrow.symbol, [tomorrow.key]).filter(pl.col("ingest_ts") <= until).collect()
    return aligned_day(lake, part, frame_to_events(rows))


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


def worth_a_trade(grid: pl.DataFrame, budget_bp: float) -> str:
    """The share of labelled rows that a round trip pays at a fee budget, at each horizon, for whoever waits."""
    cells = grid.filter((pl.col("budget_bp") == budget_bp) & pl.col("no_trade").is_not_nan())
    shares = zip(cells["horizon_ms"], cells["no_trade"], strict=True)
    told = ", ".join(f"{100 * (1 - no_trade):.1f} % at {horizon} ms" for horizon, no_trade in shares)
    return f"rows worth a trade after {budget_bp:g} bp of fees: {told or 'no row has a label'}"


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


def degeneracy(settings: Settings, part: Part, frame: pl.DataFrame) -> Verdict:
    """At least one cell of a trained horizon holds enough rows that are worth a trade; the taker's fees beside it."""
    grid = tradeable_grid(frame, settings.trained_labels, settings.instrument(part.symbol).contract)
    taker_bp = taker_budget_bp(settings, part)
    tradeable = int(grid["tradeable"].sum())
    facts = {"cells": grid.height, "tradeable": tradeable, "untradeable": untradeable(grid), "taker_bp": taker_bp}
    return Verdict("degeneracy", tradeable > 0, facts, {"shares": grid_page(grid)})


def leakage(settings: Settings, lake: Lake, part: Part, frame: pl.DataFrame) -> Verdict:
    """Labels of some stretches of the day are those that a tape makes which is poisoned beyond their exits."""
    events, book = tape_with_seam(settings, lake, part), opening_state(settings, lake, part)[:3]
    tape, row_ts, done = venue_tape(events), frame["row_ts"].to_numpy(), 0
    latency_ns, reports = row_latencies(settings, lake, part.symbol, events, row_ts), []
    for span in stretches(part, frame.height):
        rows, place = frame[span], int(np.searchsorted(tape.times, row_ts[span.start]))
        for first in range(done, place, PIECE):
            apply_events(book, tape.events[tape.order[first : min(first + PIECE, place)]])
        done, waits = place, None if latency_ns is None else latency_ns[span]
        longest = settings.labels.longest_ns if waits is None else int(waits.max()) + settings.labels.longest_ns
        sample = stretch_of(tape, place, int(row_ts[span.stop - 1]) + longest)
        reports.append(stretch_leaks(settings, part, rows, waits, sample, (book[0], book[1], book[2])))
    leaks = [report.first_ts for report in reports if report.first_ts is not None]
    checked = sum(report.checked for report in reports)
    facts = {"labels_compared": checked, "stretches": len(reports), "first_leak": min(leaks, default=0)}
    return Verdict("leakage", checked > 0 and not leaks, facts)


def stretches(part: Part, rows: int) -> list[slice]:
    """One stretch of consecutive rows in each of SAMPLES equal parts of a day, where a hash of the day puts it."""
    day = int.from_bytes(sha256(f"{part.symbol}|{part.key}".encode()).digest()[:8])
    found, edges = [], np.linspace(0, rows, SAMPLES + 1).astype(int)
    for number, (low, high) in enumerate(pairwise(edges.tolist())):
        length = min(SAMPLE_ROWS, high - low)
        first = low + int(draw(STRETCH_SEED, np.uint64(day), number) * (high - low - length + 1))
        found.append(slice(first, first + length))
    return [span for span in found if span.start < span.stop]


def stretch_of(tape: Tape, place: int, until: int) -> Events:
    """Events of a tape from a place on, in order of arrival, and the marks and fundings before that still hold."""
    before = np.sort(tape.order[:place][tells_funding(tape.events)[tape.order[:place]]])
    told = still_told(tape.events[before], int(tape.times[place - 1])) if place else empty_events(0)
    last = int(np.searchsorted(tape.times, until, side="right"))
    return np.concatenate([told, tape.events[np.sort(tape.order[place : last + 1])]])


def stretch_leaks(
    settings: Settings, part: Part, rows: pl.DataFrame, latency_ns: NDArray[np.int64] | None, sample: Events, book: Book
) -> LeakReport:
    """What moves of consecutive rows of a day when poison lies right behind one exit of each horizon, and the last.

    latency_ns : of these rows, as they are drawn today and not as the table has it; None: the constant
    sample : events from the first row on, in order of arrival; ``book`` is the venue's before them
    """
    instrument, stamps = settings.instrument(part.symbol), rows["row_ts"].to_numpy()
    te = stamps + (settings.labels.latency_ns if latency_ns is None else latency_ns)
    horizons_ms = settings.labels.horizons_ms

    def labels_of(events: Events) -> pl.DataFrame:
        return label_rows(events, stamps, settings.labels, instrument, book, latency_ns=latency_ns)

    times = np.sort(venue_ts(sample))
    instants = [soonest_exit(times, te + horizon_ms * 1_000_000) for horizon_ms in horizons_ms]
    instants.append(int(te.max()) + horizons_ms[-1] * 1_000_000)
    return labels_ignore_beyond_exit(labels_of, sample, instants, horizons_ms, rows)


def soonest_exit(times: NDArray[np.int64], exits: NDArray[np.int64]) -> int:
    """Of the later half of exits the one that the market follows soonest: there the least look beyond it shows.

    times : of the events, rising
    """
    late = np.sort(exits)[exits.size // 2 :]
    following = np.append(times, np.iinfo(np.int64).max)[np.searchsorted(times, late, side="right")]
    return int(late[np.argmin(following - late)])
