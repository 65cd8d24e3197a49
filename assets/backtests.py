"""What a slice's models would have done on Test: network, median band and the quoting probe, with a tear sheet."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from assets.checks import Verdict
from assets.fitting import longest_memory_rows
from assets.models import NETWORK, slice_model
from assets.partitions import Part, part_of, symbol_slices
from assets.scores import scores_on_test
from assets.search import MODEL_ROOMS
from assets.simulation import WARM_MARGIN_ROWS, simulate, strategy_of
from assets.slice_data import opening_before, slice_of, upstream_shas
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from backtest.engine import Window
from backtest.report import Page, Run, render
from config.settings import Settings, config_sha
from modeling.snapshot import MEDIAN_BAND
from storage.files import replace_file
from storage.lake import Lake
from trading.parameters import PolicyKind

RUNS: tuple[tuple[str, str, PolicyKind], ...] = (
    ("model", NETWORK, "take"),
    ("median band", MEDIAN_BAND, "take"),
    ("probe", NETWORK, "probe"),
)


def backtests_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a slice's backtests are made from."""
    upstream = [upstream_shas(lake, part), content_shas(passed(lake, "models", part))[:1], config_sha(settings)]
    return inputs_sha("backtests", [], upstream, MODEL_ROOMS)


@dg.asset(partitions_def=symbol_slices, deps=["models"], group_name="models", kinds={"html"})
def backtests(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Fills of each policy over Test, forecast by the streaming runtime; figures and page beside them."""
    part = part_of(context)
    runs = run_policies(settings, lake, part)
    page = write_page(settings, lake, part, runs)
    facts = {"figures": {run.name: run.performance.as_dict() for run in runs}, "report": str(page)}
    pages = {"page": dg.MetadataValue.url(page.resolve().as_uri())}
    table = Table(pl.concat([run.fills.with_columns(run=pl.lit(run.name)) for run in runs]), facts, pages=pages)
    return publish(lake, "backtests", part, table, backtests_inputs(settings, lake, part))


@dg.multi_asset_check(
    specs=blocking(
        "backtests",
        conserved="What each run holds at its end is the sum of its fills, and it ended for a stated reason.",
    )
)
def backtests_hold(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Positions are the sums of fills, and every run ended for a stated reason."""
    part = part_of(context)
    fills = lake.scan("backtests", part.symbol, [part.key], unchecked=True).collect()
    figures = lake.manifest("backtests", *part).metadata["figures"]
    yield from judge(lake, "backtests", part, [conserved(fills, figures)])


def run_policies(settings: Settings, lake: Lake, part: Part) -> list[Run]:
    """Each policy over Test, from the same opening."""
    span = Window(*slice_of(lake, part).test)
    memory = longest_memory_rows(settings) + WARM_MARGIN_ROWS
    opening = opening_before(settings, lake, part.symbol, span, memory)
    found = {kind: slice_model(settings, lake, part, kind) for kind in (NETWORK, MEDIAN_BAND)}
    strategies = ((name, strategy_of(settings, part.symbol, found[model], policy)) for name, model, policy in RUNS)
    return [simulate(settings, part.symbol, opening, strategy, name, span) for name, strategy in strategies]


def report_path(settings: Settings, part: Part) -> Path:
    """Where a slice's tear sheet lies."""
    return settings.paths.reports / part.symbol / f"{part.key}.html"


def report_exists(settings: Settings, _: Lake, part: Part) -> bool:
    """Whether a slice's tear sheet is there."""
    return report_path(settings, part).is_file()


def write_page(settings: Settings, lake: Lake, part: Part, runs: list[Run]) -> Path:
    """The tear sheet, published whole; returns where it lies."""
    made = lake.manifest("models", *part).metadata
    piece, fees = slice_of(lake, part), settings.venue
    seconds = (piece.test[1] - piece.test[0]) / 1e9
    notes = (
        f"{seconds:.0f} s of Test: enough to show that the chain works, far too short for any claim about profit.",
        f"Traded at a round-trip budget of {settings.trading.budget_bp:g} bp: "
        f"maker fee {1e4 * fees.maker_fee:g} bp, taker fee {1e4 * fees.taker_fee:g} bp a leg.",
    )
    facts = {
        "symbol": part.symbol,
        "slice": part.key,
        "bundle sha": made["bundle_sha"],
        "config sha": config_sha(settings),
        "captures": settings.data.described(part.symbol),
    }
    page = Page(f"{part.symbol}, {part.key}", notes, facts, scores_on_test(settings, lake, part))
    path = report_path(settings, part)
    replace_file(path, render(page, runs, settings.instrument(part.symbol)).encode())
    return path


def conserved(fills: pl.DataFrame, figures: dict[str, dict[str, object]]) -> Verdict:
    """What each run holds at its end is the sum of its fills."""
    held = {name: int((rows["side"] * rows["qty"]).sum()) for (name,), rows in fills.group_by("run")}
    odd = [name for name, run in figures.items() if held.get(name, 0) != run["open_lots"] or not run["end_reason"]]
    facts: dict[str, float | int | str] = {f"fills: {name}": int(str(run["fills"])) for name, run in figures.items()}
    return Verdict("conserved", bool(figures) and not odd, facts | {"odd": ", ".join(odd)})
