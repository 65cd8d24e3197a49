"""What a run of the chain came to, on one screen: read from the manifests, computed nowhere else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from assets.partitions import WHOLE, Part
from assets.resources import lake_of
from assets.tables import passed
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from modeling.walk_forward import Slice
from storage.lake import Lake
from storage.registry import CHALLENGER, CHAMPION

TABLES: Final = ("raw_ticks", "aligned_events", "features", "labels")


def demo_summary(settings: Settings, live: Sequence[str] = ()) -> str:
    """Rows, slices, scores beside the baselines, backtest figures, bundle sha, report, and the command for the UIs.

    live : lines about the live half

    Raises LakeError if the chain has not run.
    """
    lake = lake_of(settings)
    lines = [line for symbol in settings.data.symbols for line in symbol_lines(settings, lake, symbol)]
    return "\n".join([*lines, *registry_lines(lake), *live, "  pages      make ui"])


def symbol_lines(settings: Settings, lake: Lake, symbol: str) -> list[str]:
    """The chain of one symbol, from its rows to the figures of its newest slice."""
    pieces = frame_slices(lake.scan("walk_forward_slices", symbol, [WHOLE]).collect())
    newest = Part(symbol, pieces[-1].key)
    report = lake.manifest("backtests", *newest).metadata["report"]
    return [
        f"{symbol}   {source_line(settings, symbol)}",
        *row_lines(lake, symbol),
        *slice_lines(lake, symbol, pieces),
        *score_lines(settings, lake, newest),
        *figure_lines(lake, newest),
        f"  report     {from_here(report)}",
    ]


def source_line(settings: Settings, symbol: str) -> str:
    """Where the ticks come from."""
    return settings.data.described(symbol)


def row_lines(lake: Lake, symbol: str) -> list[str]:
    """Rows of every table, day by day, and what the clock found."""
    lines = []
    for day in lake.dates("raw_ticks", symbol):
        found = {table: passed(lake, table, Part(symbol, day)) for table in TABLES}
        rows = "  ".join(f"{table} {manifest.rows:,}" for table, manifest in found.items() if manifest)
        events = found["aligned_events"]
        clock = events.metadata if events else {}
        offset = f"  offset {clock['offset_ms']:,.0f} ms  delay p95 {clock['delay_p95_ms']:.1f} ms" if clock else ""
        lines.append(f"  {day} {rows}{offset}")
    return lines


def slice_lines(lake: Lake, symbol: str, pieces: list[Slice]) -> list[str]:
    """How many slices there are, and what the search tried on each."""
    trials = [manifest.rows for piece in pieces if (manifest := passed(lake, "search", Part(symbol, piece.key)))]
    return [f"  slices     {len(pieces)}, trials {sum(trials)}; newest {pieces[-1].key}"]


def score_lines(settings: Settings, lake: Lake, part: Part) -> list[str]:
    """The traded cell's scores on Test, one line a predictor."""
    cell = (pl.col("horizon_ms") == settings.trading.horizon_ms) & (pl.col("budget_bp") == settings.trading.budget_bp)
    scores = lake.scan("evaluation", part.symbol, [part.key]).filter(cell).collect()
    traded = f"{settings.trading.horizon_ms} ms, {settings.trading.budget_bp:g} bp"
    lines = [f"  {f'Test, {traded}':<26}macro-F1      MCC  NLL skill  hit rate  gross edge bp"]
    for row in scores.iter_rows(named=True):
        numbers = (row["macro_f1"], row["mcc"], row["nll_skill"], row["hit_rate"], row["gross_edge_bp"])
        lines.append(f"    {row['model']:<24}" + "  ".join(_number(number, 8) for number in numbers))
    better = beaten_by(scores)
    return [*lines, f"    here {', '.join(better)} score no less than the model in macro-F1"] if better else lines


def beaten_by(scores: pl.DataFrame) -> list[str]:
    """The baselines whose macro-F1 in one cell is at least the model's."""
    own = scores.filter(pl.col("model") == "model")["macro_f1"]
    others = scores.filter(pl.col("model") != "model")
    return others.filter(pl.col("macro_f1") >= own[0])["model"].to_list() if own.len() else []


def figure_lines(lake: Lake, part: Part) -> list[str]:
    """The backtests of Test, one line a policy."""
    figures: dict[str, dict[str, Any]] = lake.manifest("backtests", *part).metadata["figures"]
    lines = [f"  {'Backtest':<26}   fills    trips  net quote    net bp  max drawdown"]
    for name, run in figures.items():
        counts = f"{run['fills']:>8,}  {run['round_trips']:>7,}"
        money = f"{_number(run['net_quote'], 9)}  {_number(run['net_bp'], 8)}"
        lines.append(f"    {name:<24}{counts}  {money}  {run['max_drawdown']:12.3g} {run['currency']}")
    return lines


def from_here(path: str) -> str:
    """A path as a person in the working directory types it; whole where it lies elsewhere.

    >>> from_here("/nowhere/page.html")
    '/nowhere/page.html'
    """
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def registry_lines(lake: Lake) -> list[str]:
    """The versions that were registered, what the gates let them become, and the page to approve them from."""
    return [
        line
        for row in lake.manifest("promotion", WHOLE, WHOLE).metadata["decisions"]
        for line in (
            f"  {CHAMPION if row['champion'] else CHALLENGER:<10} {row['model']} version {row['version']}, "
            f"bundle {row['bundle_sha']}",
            f"             {row['reason']}",
            f"  approve by {from_here(row['page'])}",
        )
    ]


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.3f}"
