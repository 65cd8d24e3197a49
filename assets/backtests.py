"""What a slice's models would have done on Test: network, median band, quotes and the probe, with a tear sheet."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import dagster as dg
import polars as pl

from assets.bundles import NETWORK, slice_model
from assets.checks import Verdict
from assets.execution_study import execution_table
from assets.fitting import longest_memory_rows
from assets.partitions import Part, part_of, symbol_slices
from assets.scores import scores_beside_rules
from assets.search import MODEL_ROOMS
from assets.simulation import WARM_MARGIN_ROWS, came_of, labelled
from assets.slice_data import compiled_before, slice_of, upstream_shas
from assets.studies import case_of, configured_grid, study_of
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from assets.venue_models import traded_against, venue_in_force
from backtest.engine import Window
from backtest.performance import minute_regimes
from backtest.report import Page, Study, render
from backtest.runs import Run, grouped
from config.settings import Settings, config_sha
from market.schema import schema_sha
from modeling.snapshot import MEDIAN_BAND
from storage.files import replace_file
from storage.lake import Lake
from trading.parameters import PolicyKind

RUNS: tuple[tuple[str, str, PolicyKind], ...] = (
    ("model", NETWORK, "take"),
    ("median band", MEDIAN_BAND, "take"),
    ("quote", NETWORK, "quote"),
    ("probe", NETWORK, "probe"),
)
ON_SURFACE: Final = "model"  # the run that is also made at other fees, latencies and sizes
ORDERS: Final = "backtest_orders"  # tables beside the fills, in the lake
FIGURES: Final = "backtest_figures"
MINUTES: Final = "backtest_minutes"
BESIDE: Final = (ORDERS, FIGURES, MINUTES)


class Results(NamedTuple):
    """Every policy's run over Test, and what was asked of some beyond it."""

    runs: list[Run]
    studies: list[Study]


def backtests_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a slice's backtests are made from."""
    upstream = [upstream_shas(lake, part), content_shas(passed(lake, "models", part))[:1], config_sha(settings)]
    upstream.append(venue_in_force(settings, part.symbol).sha256)
    return inputs_sha("backtests", [settings.reports], upstream, MODEL_ROOMS)


@dg.asset(partitions_def=symbol_slices, deps=["models"], group_name="models", kinds={"html"})
def backtests(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Fills of each policy over Test, forecast by the streaming runtime; orders, figures and page beside them."""
    part = part_of(context)
    results = run_policies(settings, lake, part)
    page = write_page(settings, lake, part, results)
    tables = (stacked(results.runs, "orders"), grouped(results.runs), minutes_of(results.runs))
    beside = dict(zip(BESIDE, tables, strict=True))
    for table, frame in beside.items():
        lake.write(table, *part, frame, schema_sha=schema_sha(frame.schema))
    pages = {"page": dg.MetadataValue.url(page.resolve().as_uri())}
    facts = {
        "figures": figures_of(results),
        "report": str(page),
        **venue_facts(settings, part.symbol),
        **{name: frame.height for name, frame in beside.items()},
    }
    table = Table(stacked(results.runs, "fills"), facts, pages=pages)
    return publish(lake, "backtests", part, table, backtests_inputs(settings, lake, part))


@dg.multi_asset_check(
    specs=blocking(
        "backtests",
        conserved="What each run holds at its end is the sum of its fills, and it ended for a stated reason.",
        accounted="Every fill belongs to an order in the lake, and no order holds more or less than its fills.",
    )
)
def backtests_hold(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Positions are the sums of fills, fills those of the orders, and every run ended for a stated reason."""
    part = part_of(context)
    fills, orders = (lake.scan(name, *_one(part), unchecked=True).collect() for name in ("backtests", ORDERS))
    verdicts = [conserved(fills, lake.manifest("backtests", *part).metadata["figures"]), accounted(fills, orders)]
    sound = all(verdict.passed for verdict in verdicts)
    for table in BESIDE:
        lake.set_verdict(table, *part, sound, {verdict.name: verdict.passed for verdict in verdicts})
    yield from judge(lake, "backtests", part, verdicts)


def run_policies(settings: Settings, lake: Lake, part: Part) -> Results:
    """Each policy over Test, from the same opening."""
    span = Window(*slice_of(lake, part).test)
    memory = longest_memory_rows(settings) + WARM_MARGIN_ROWS
    stretch = compiled_before(settings, lake, part.symbol, span, memory)
    found = {kind: slice_model(settings, lake, part, kind) for kind in (NETWORK, MEDIAN_BAND)}
    cases = {name: case_of(settings, part.symbol, found[kind], policy, span, stretch) for name, kind, policy in RUNS}
    venue, came = venue_in_force(settings, part.symbol), came_of(settings, lake, part.symbol, span)
    cases = {n: case._replace(desk=labelled(traded_against(case.desk, venue), came)) for n, case in cases.items()}
    runs = {name: case.run(name) for name, case in cases.items()}
    grids, jobs = {ON_SURFACE: configured_grid(settings)}, settings.reports.jobs
    studies = [study_of(settings, cases[name], run, grids.get(name), jobs) for name, run in runs.items()]
    executed = execution_table(cases[ON_SURFACE])
    studies = [study._replace(execution=executed) if study.name == ON_SURFACE else study for study in studies]
    return Results(list(runs.values()), studies)


def stacked(runs: Sequence[Run], table: str) -> pl.DataFrame:
    """A table of every run, one below the other, with the run's name."""
    return pl.concat([getattr(run, table).with_columns(run=pl.lit(run.name)) for run in runs])


def minutes_of(runs: Sequence[Run]) -> pl.DataFrame:
    """Net profit of every run in every UTC minute that holds a row, with the regime of most of its rows."""
    return pl.concat([minute_regimes(run.steps.rows).with_columns(run=pl.lit(run.name)) for run in runs])


def venue_facts(settings: Settings, symbol: str) -> dict[str, Any]:
    """Which venue the runs traded against, and the mean of an order's way there and back, ms."""
    venue = venue_in_force(settings, symbol)
    legs, table = venue.parameters, venue.table
    constant = legs.order_latency_ms + legs.ack_latency_ms
    fitted = float((table.entry_ns + table.ack_ns).mean()) / 1e6 if table else constant
    return {"venue_version": venue.version, "round_trip_ms": fitted}


def figures_of(results: Results) -> dict[str, dict[str, Any]]:
    """Every figure of every run, JSON-able: those of the whole, markouts, what survived, and the study's tables."""
    found = {
        run.name: run.performance.as_dict()
        | {"implementability": asdict(run.implementability), "markouts": run.markouts.to_dicts()}
        | {"served": asdict(run.served)}
        for run in results.runs
    }
    for study in results.studies:
        tables = {
            "budgets": study.budgets,
            "surface": study.surface,
            "queue_band": study.queue_band,
            "execution": study.execution,
        }
        found[study.name] |= {name: frame.to_dicts() for name, frame in tables.items() if frame is not None}
    return found


def _one(part: Part) -> tuple[str, list[str]]:
    return part.symbol, [part.key]


def report_path(settings: Settings, part: Part) -> Path:
    """Where a slice's tear sheet lies."""
    return settings.paths.reports / part.symbol / f"{part.key}.html"


def report_exists(settings: Settings, lake: Lake, part: Part) -> bool:
    """Whether a slice's tear sheet is there, and the tables that lie beside its fills are whole."""
    return report_path(settings, part).is_file() and all(passed(lake, table, part) for table in BESIDE)


def write_page(settings: Settings, lake: Lake, part: Part, results: Results) -> Path:
    """The tear sheet, published whole; returns where it lies."""
    made = lake.manifest("models", *part).metadata
    piece = slice_of(lake, part)
    maker, taker = settings.venue.charged(settings.instrument(part.symbol).venue, *piece.test).fees
    seconds = (piece.test[1] - piece.test[0]) / 1e9
    notes = (
        f"{seconds:.0f} s of Test: enough to show that the chain works, far too short for any claim about profit.",
        f"Traded at a round-trip budget of {settings.trading.budget_bp:g} bp: "
        f"maker fee {1e4 * maker:g} bp, taker fee {1e4 * taker:g} bp a leg.",
    )
    facts = {
        "symbol": part.symbol,
        "slice": part.key,
        "bundle sha": made["bundle_sha"],
        "config sha": config_sha(settings),
        "captures": settings.data.described(part.symbol),
        "venue": ", ".join(
            f"{name} {source}" for name, source in venue_in_force(settings, part.symbol).sources.items()
        ),
    }
    scores, path = scores_beside_rules(settings, lake, part), report_path(settings, part)
    page = Page(f"{part.symbol}, {part.key}", notes, facts, scores, results.studies)
    replace_file(path, render(page, results.runs, settings.instrument(part.symbol)).encode())
    return path


def conserved(fills: pl.DataFrame, figures: dict[str, dict[str, object]]) -> Verdict:
    """What each run holds at its end is the sum of its fills."""
    held = {name: int((rows["side"] * rows["qty"]).sum()) for (name,), rows in fills.group_by("run")}
    odd = [name for name, run in figures.items() if held.get(name, 0) != run["open_lots"] or not run["end_reason"]]
    facts: dict[str, float | int | str] = {f"fills: {name}": int(str(run["fills"])) for name, run in figures.items()}
    return Verdict("conserved", bool(figures) and not odd, facts | {"odd": ", ".join(odd)})


def accounted(fills: pl.DataFrame, orders: pl.DataFrame) -> Verdict:
    """The lots that each run's orders say were filled are those of its fills, order by order."""
    keys = ["run", "order_id"]
    of_fills = fills.group_by(keys).agg(seen=pl.col("qty").sum())
    joined = orders.join(of_fills, on=keys, how="full", coalesce=True)
    odd = joined.filter(pl.col("filled").is_null() | (pl.col("filled") != pl.col("seen").fill_null(0)))
    return Verdict("accounted", odd.height == 0, {"orders": orders.height, "odd": odd.height})
