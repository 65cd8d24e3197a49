"""What a run of the chain came to, as plain values: read from the manifests, computed nowhere else."""

from typing import Any, Final

import polars as pl

from assets.partitions import WHOLE, Part
from assets.resources import lake_of
from assets.tables import passed
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from storage.lake import Lake

TABLES: Final = ("raw_ticks", "aligned_events", "features", "labels")
CLOCK: Final = ("offset_ms", "delay_p95_ms")
SCORES: Final = ("model", "macro_f1", "mcc", "nll_skill", "hit_rate", "gross_edge_bp")
Facts = dict[str, Any]


def demo_facts(settings: Settings) -> Facts:
    """The symbols, from their rows to the figures of their newest slice, and what the gates decided.

    Raises LakeError if the chain has not run.
    """
    lake = lake_of(settings)
    decisions = lake.manifest("promotion", WHOLE, WHOLE).metadata["decisions"]
    return {
        "symbols": [symbol_facts(settings, lake, symbol) for symbol in settings.data.symbols],
        "decisions": decisions,
    }


def symbol_facts(settings: Settings, lake: Lake, symbol: str) -> Facts:
    """The chain of one symbol."""
    slices = [piece.key for piece in frame_slices(lake.scan("walk_forward_slices", symbol, [WHOLE]).collect())]
    searched = [passed(lake, "search", Part(symbol, key)) for key in slices]
    newest = Part(symbol, slices[-1])
    backtests = lake.manifest("backtests", *newest).metadata
    return {
        "symbol": symbol,
        "source": settings.data.described(symbol),
        "days": [day_facts(lake, Part(symbol, day)) for day in lake.dates("raw_ticks", symbol)],
        "slices": slices,
        "trials": sum(manifest.rows for manifest in searched if manifest),
        "cell": {"horizon_ms": settings.trading.horizon_ms, "budget_bp": settings.trading.budget_bp},
        "scores": cell_scores(settings, lake, newest),
        "backtests": backtests["figures"],
        "report": backtests["report"],
    }


def day_facts(lake: Lake, part: Part) -> Facts:
    """Rows of every table of a day that passed its checks, and what the clock found."""
    found = {table: passed(lake, table, part) for table in TABLES}
    rows = {table: manifest.rows for table, manifest in found.items() if manifest}
    events = found["aligned_events"]
    return {"date": part.key, "rows": rows, **({name: events.metadata[name] for name in CLOCK} if events else {})}


def cell_scores(settings: Settings, lake: Lake, part: Part) -> list[Facts]:
    """The traded cell's scores on Test, one entry a predictor."""
    cell = (pl.col("horizon_ms") == settings.trading.horizon_ms) & (pl.col("budget_bp") == settings.trading.budget_bp)
    return lake.scan("evaluation", part.symbol, [part.key]).filter(cell).select(SCORES).collect().to_dicts()
