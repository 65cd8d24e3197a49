"""The slice's verdict in numbers: scores beside the baselines, logged with bundle and page as one MLflow run."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import polars as pl

from assets.bundles import NETWORK, bundle_folder
from assets.checks import Verdict
from assets.evaluation_metrics import figure_metrics, metrics_on_test, risk_metrics
from assets.evaluation_page import evaluation_document, evaluation_pages, risk_charts
from assets.partitions import Part, part_of, symbol_slices
from assets.resources import registry_of
from assets.scores import Evaluation, evaluation_on_test, headline, verdict_of
from assets.search import MODEL_ROOMS
from assets.search_verdict import metrics_of
from assets.slice_data import data_fingerprint, upstream_shas
from assets.study_pages import curve_chart, curve_metrics, fit_metrics, study_pages, write_pictures
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from assets.train_parts import traded_cell
from config.settings import Settings, config_sha
from features.catalogue import CATALOGUE_VERSION, catalogue_sha
from modeling.snapshot import MEDIAN_BAND
from storage.files import replace_file
from storage.lake import Lake
from storage.registry import Registry, RunRecord
from storage.trials import append_trial

BASELINE_LEDGER = "baselines.jsonl"  # of the searches for the settings of learners
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a run's description


def evaluation_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a slice's evaluation is made from; where the registry is gone, its run is recorded again."""
    made = [content_shas(passed(lake, table, part))[:1] for table in ("models", "backtests")]
    upstream = [upstream_shas(lake, part), made, config_sha(settings), registry_of(settings).identity]
    return inputs_sha("evaluation", [], upstream, MODEL_ROOMS)


@dg.asset(partitions_def=symbol_slices, deps=["models", "backtests"], group_name="models", kinds={"mlflow"})
def evaluation(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: dg.ResourceParam[Lake],
    registry: dg.ResourceParam[Registry],
) -> dg.MaterializeResult:
    """Scores of the model and of every baseline, cell by cell, on Test."""
    part = part_of(context)
    found = evaluation_on_test(settings, lake, part)
    run_id, verdict = (
        record_run(settings, lake, registry, part, found),
        verdict_of(found.comparisons, traded_cell(settings)),
    )
    shown = evaluation_pages(found) | {f"picture_{name}": chart for name, chart in pictures(lake, part).items()}
    pages = {name: dg.MetadataValue.md(page) for name, page in shown.items()}
    facts = {"mlflow_run": run_id, "verdict": verdict, **headline(settings, found), **run_tags(settings, lake, part)}
    inputs = evaluation_inputs(settings, lake, part)
    record_baselines(settings, part, inputs, found)
    return publish(lake, "evaluation", part, Table(found.scores, facts, pages=pages), inputs)


@dg.multi_asset_check(
    specs=blocking(
        "evaluation",
        scored="Every predictor has a finite log-loss on the same rows of every cell.",
    )
)
def evaluation_hold(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Every predictor has a finite log-loss on the same rows of every cell."""
    part = part_of(context)
    table = lake.scan("evaluation", part.symbol, [part.key], unchecked=True).collect()
    yield from judge(lake, "evaluation", part, [scored(table)])


def record_baselines(settings: Settings, part: Part, inputs: str, found: Evaluation) -> None:
    """Add the trials of the baselines' searches to a ledger of their own: none of them ever stood for trading."""
    for trial in found.trials:
        append_trial(settings.paths.trials / part.symbol / part.key / inputs[:12] / BASELINE_LEDGER, trial)


def run_tags(settings: Settings, lake: Lake, part: Part) -> dict[str, str]:
    """By what a run can be found again."""
    return {
        "symbol": part.symbol,
        "slice": part.key,
        "bundle_sha": lake.manifest("models", *part).metadata["bundle_sha"],
        "catalogue_sha": catalogue_sha(settings.features_of(part.symbol)),
        "catalogue_version": CATALOGUE_VERSION,
        "config_sha": config_sha(settings),
        "data_fingerprint": data_fingerprint(lake, part),
    }


def record_run(settings: Settings, lake: Lake, registry: Registry, part: Part, found: Evaluation) -> str:
    """Id of the MLflow run of this bundle; one that is there already is found again.

    Its description is the verdict, and its page of the evaluation lies beside the bundle and the tear sheet.
    """
    experiment, tags = settings.registry.experiment, run_tags(settings, lake, part)
    registry.end_interrupted_runs(experiment)
    known = registry.find_run(experiment, {name: tags[name] for name in ("bundle_sha", "config_sha")})
    if known is not None:
        return known
    epochs = lake.manifest("models", *part).metadata["epochs"]
    described = tags | {DESCRIPTION: "\n\n".join(verdict_of(found.comparisons, traded_cell(settings)))}
    run = RunRecord(
        f"{part.symbol} {part.key}",
        run_params(settings, lake, part),
        headline(settings, found) | metrics_on_test(found) | metrics_before(lake, part),
        described,
        run_artifacts(settings, lake, part, found),
        curve_metrics(epochs) | risk_metrics(found.risks),
    )
    return registry.record(experiment, run)


def metrics_before(lake: Lake, part: Part) -> dict[str, float]:
    """What the slice's search, fits and backtests came to."""
    search, models, backtests = (lake.manifest(name, *part).metadata for name in ("search", "models", "backtests"))
    return metrics_of(search["statistics"]) | fit_metrics(models["epochs"]) | figure_metrics(backtests["figures"])


def run_artifacts(settings: Settings, lake: Lake, part: Part, found: Evaluation) -> dict[str, Path]:
    """What lies beside a run: bundles, tear sheet, the evaluation's page, pictures."""
    report = report_path(lake, part)
    page = report.with_suffix(".evaluation.html")
    replace_file(page, evaluation_document(f"Evaluation of {part.symbol} {part.key}", found).encode())
    drawn = pictures(lake, part) | risk_charts(found)
    return {
        "bundle": bundle_folder(settings, part, NETWORK),
        "fallback": bundle_folder(settings, part, MEDIAN_BAND),
        "report": report,
        "evaluation": page,
        "pictures": write_pictures(report.with_suffix(".pictures"), drawn),
    }


def pictures(lake: Lake, part: Part) -> dict[str, str]:
    """The study's history and importances, and the curves of the fits."""
    trials, found = lake.scan("search", part.symbol, [part.key]).collect(), lake.manifest("search", *part).metadata
    epochs = lake.manifest("models", *part).metadata["epochs"]
    curves = {name: curve_chart(epochs, name) for name in ("train_loss", "val_nll")}
    return study_pages(trials, found["importances"]) | curves


def report_path(lake: Lake, part: Part) -> Path:
    """Where the slice's tear sheet lies."""
    return Path(lake.manifest("backtests", *part).metadata["report"])


def run_params(settings: Settings, lake: Lake, part: Part) -> dict[str, object]:
    """Settings of the network that was chosen, and of what surrounds it."""
    found = lake.manifest("search", *part).metadata
    others = {"labels": asdict(settings.labels), "walk_forward": asdict(settings.models.walk_forward)}
    groups = {"network": found["network"], "training": found["training"], **others}
    return {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}


def scored(scores: pl.DataFrame) -> Verdict:
    """All predictors were scored on the same rows of each cell."""
    rows = scores.group_by("horizon_ms", "budget_bp").agg(pl.col("rows").n_unique().alias("kinds"))
    finite = bool(scores["nll"].is_finite().all())
    same = bool((rows["kinds"] == 1).all())
    return Verdict("scored", scores.height > 0 and finite and same, {"lines": scores.height, "cells": rows.height})
