"""What ``main.py cells`` does: a slice's model traded at every cell that it answers for, each a trial of the ledger."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from assets.bundles import NETWORK, slice_model
from assets.fitting import LEDGER, Bench, bench, profit, skills
from assets.partitions import Part
from assets.plots import markdown_table
from assets.report import Report
from assets.resources import lake_of
from assets.search_verdict import facts_of, verdict_of, whole_ledger
from assets.train_parts import traded_cell
from assets.walk_forward_slices import NS_PER_S
from config.settings import Settings
from market.errors import NotEnoughData
from modeling.forecast import Cell
from modeling.snapshot import ModelSnapshot
from storage.lake import Lake
from storage.progress import Counting, Told, untold
from storage.trials import append_trial

if TYPE_CHECKING:
    from modeling.search import Trial


def cell_report(settings: Settings, arguments: argparse.Namespace) -> Report:
    """Net profit over the first part of Val by cell, and what the statistics say of all trials of the slice.

    Raises NotEnoughData if the symbol has no slice with a model, LakeError if it has not this one.
    """
    lake = lake_of(settings)
    part = asked_part(settings, lake, arguments)
    on, model = bench(settings, lake, part), slice_model(settings, lake, part, NETWORK)
    bundle_sha = str(lake.manifest("models", *part).metadata["bundle_sha"])
    folder = settings.paths.trials / part.symbol / part.key / f"cells-{bundle_sha[:12]}"
    trials = list(cell_trials(on, replace(model, certainty=None), "/".join(folder.parts[-3:]), Counting("cells")))
    for trial in trials:
        append_trial(folder / LEDGER, trial)
    longest = at_cell(settings, Cell(max(on.shape.horizons_ms), settings.trading.budget_bp))
    verdict = facts_of(verdict_of(longest, whole_ledger(folder.parent)))
    return Report(text_of(on, trials, verdict["sentences"]), {"trials": [*map(asdict, trials)], "statistics": verdict})


def asked_part(settings: Settings, lake: Lake, arguments: argparse.Namespace) -> Part:
    """The slice that the command line names, the symbol's newest with a model unless it does."""
    symbol = arguments.symbol or settings.data.symbols[0]
    keys = lake.dates("models", symbol)
    if not keys:
        raise NotEnoughData(f"{symbol} has no slice with a model; main.py run makes them")
    return Part(symbol, arguments.slice or keys[-1])


def cell_trials(on: Bench, model: ModelSnapshot, study: str, told: Told = untold) -> Iterator["Trial"]:
    """A trial a cell: the model asked that question alone, under the fees in force, without the traded cell's sets.

    told : hears of every cell
    """
    from modeling.search import COMPLETE, Trial

    skill = skills(on, model)
    for number, cell in enumerate(told(on.shape.cells, len(on.shape.cells))):
        earned = profit(replace(on, settings=at_cell(on.settings, cell)), model)
        asked = {"horizon_ms": cell.horizon_ms, "budget_bp": cell.budget_bp}
        minutes = earned.minute_ts, earned.minute_net, "", earned.held_minutes
        yield Trial(study, number, COMPLETE, asked, earned.net, skill[cell], *minutes)


def at_cell(settings: Settings, cell: Cell) -> Settings:
    """The settings with another traded cell."""
    return replace(settings, trading=replace(settings.trading, horizon_ms=cell.horizon_ms, budget_bp=cell.budget_bp))


def text_of(on: Bench, trials: list["Trial"], sentences: list[str]) -> str:
    """Over what, a line a cell, then the verdict over every trial of the slice."""
    traded, seconds = traded_cell(on.settings).name, (on.span.end - on.span.start) / NS_PER_S
    head = f"{on.symbol}, the first part of Val: {seconds:g} s; {traded} is what is traded"
    quote = on.settings.instrument(on.symbol).quote
    heads = ("horizon_ms", "budget_bp", f"net, {quote}", "nll_skill")
    lines = ((*trial.settings.values(), f"{trial.value:+.3f}", f"{trial.nll_skill:+.4f}") for trial in trials)
    return "\n\n".join((head, markdown_table(heads, lines), "\n".join(f"- {sentence}" for sentence in sentences)))
