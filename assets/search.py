"""The search over network settings on one slice: trained on Train, judged by what the first part of Val would earn."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import dagster as dg
import polars as pl

from assets.checks import Verdict
from assets.colleagues import colleagues
from assets.fitting import bench, run_study, searched_space
from assets.partitions import Part, part_of, symbol_slices, whole_symbol
from assets.resources import lake_of
from assets.search_verdict import facts_of, verdict_of, whole_ledger
from assets.slice_data import upstream_shas
from assets.study_pages import study_pages
from assets.tables import Table, blocking, inputs_sha, judge, publish
from config.settings import Settings
from storage.lake import Lake

MODEL_ROOMS = ("market", "features", "labeling", "modeling", "trading", "backtest")


def search_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a slice's search is made from."""
    models = replace(settings.models, search=settings.models.search.space)
    used = [models, settings.trading, settings.venue, settings.labels, settings.instrument(part.symbol)]
    return inputs_sha("search", used, upstream_shas(lake, part), MODEL_ROOMS)


@dg.asset(
    partitions_def=symbol_slices,
    deps=[dg.AssetDep("walk_forward_slices", partition_mapping=whole_symbol)],
    group_name="models",
    kinds={"optuna"},
)
def search(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """All trials of a slice, abandoned ones included; an interrupted study goes on where it stopped."""
    from modeling.search import best_candidate, importances, ledger_lines

    part = part_of(context)
    inputs = search_inputs(settings, lake, part)
    folder = settings.paths.trials / part.symbol / part.key / inputs[:12]
    with colleagues(search_beside, settings.models.search.workers - 1, (settings, part, folder), context.log.info):
        on = bench(settings, lake, part)
        study = run_study(on, folder, context.log.info, context.log.debug)
    trials, best = ledger_lines(study), best_candidate(study, searched_space(on))
    verdict = facts_of(verdict_of(settings, whole_ledger(folder.parent)))
    facts = {"trials": len(trials), "network": asdict(best.network), "training": asdict(best.training)}
    facts |= {"statistics": verdict, "importances": importances(study)}
    frame = trial_frame(list(map(asdict, trials)))
    pages = study_pages(frame, facts["importances"])
    table = Table(frame, facts, pages={f"picture_{name}": dg.MetadataValue.md(page) for name, page in pages.items()})
    return publish(lake, "search", part, table, inputs)


def search_beside(settings: Settings, part: Part, folder: Path) -> None:
    """What another process of the search does: trials of the same study, until all have ended."""
    run_study(bench(settings, lake_of(settings), part), folder, lambda _: None, lambda _: None)


@dg.multi_asset_check(
    specs=blocking(
        "search",
        found="Some trial came to a finite value.",
    )
)
def search_hold(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
    """Some trial came to a finite value."""
    part = part_of(context)
    trials = lake.scan("search", part.symbol, [part.key], unchecked=True).collect()
    finite = trials["value"].is_finite().fill_null(False).sum()
    found = Verdict("found", finite > 0, {"trials": trials.height, "with_a_value": int(finite)})
    yield from judge(lake, "search", part, [found])


def trial_frame(trials: list[dict[str, object]]) -> pl.DataFrame:
    """The trial ledger as a table; settings as JSON."""
    schema = {
        "number": pl.Int64,
        "state": pl.String,
        "value": pl.Float64,
        "nll_skill": pl.Float64,
        "settings": pl.String,
        "minute_ts": pl.List(pl.Int64),
        "minute_net": pl.List(pl.Float64),
        "held_minutes": pl.Float64,
        "reason": pl.String,
    }
    rows = [{**trial, "settings": json.dumps(trial["settings"], sort_keys=True)} for trial in trials]
    return pl.DataFrame([[row[name] for name in schema] for row in rows], schema=schema, orient="row")
