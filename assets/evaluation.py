"""The slice's verdict in numbers: scores beside the baselines, logged with bundle and page as one MLflow run."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from assets.bundles import NETWORK, bundle_folder
from assets.checks import Verdict
from assets.member_scores import member_metrics
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
from modeling.forecast import Cell
from modeling.snapshot import MEDIAN_BAND
from storage.files import replace_file
from storage.lake import Lake
from storage.registry import Registry, RunRecord
from storage.trials import append_trial

SCORES = ("macro_f1", "mcc", "nll", "nll_skill", "ece", "hit_rate", "gross_edge_bp", "breakeven_fee_bp", "p_t")
BASELINE_LEDGER = "baselines.jsonl"  # of the searches for the settings of learners
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a run's description
STUDIES = {
    "budgets": ("fee_bp",),
    "surface": ("fee_bp", "latency", "size"),
    "queue_band": ("queue_model",),
    "execution": ("baseline",),
}


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
    page = report_path(lake, part).with_suffix(".evaluation.md")
    replace_file(page, "\n\n".join(f"## {name}\n\n{text}" for name, text in evaluation_pages(found).items()).encode())
    epochs = lake.manifest("models", *part).metadata["epochs"]
    artifacts = {
        "bundle": bundle_folder(settings, part, NETWORK),
        "fallback": bundle_folder(settings, part, MEDIAN_BAND),
        "report": report_path(lake, part),
        "evaluation": page,
        "pictures": write_pictures(report_path(lake, part).with_suffix(".pictures"), pictures(lake, part)),
    }
    metrics = headline(settings, found) | score_metrics(found.scores) | conformal_metrics(found.conformal)
    metrics |= regime_metrics(found.regimes) | figure_metrics(lake.manifest("backtests", *part).metadata["figures"])
    metrics |= metrics_of(lake.manifest("search", *part).metadata["statistics"])
    metrics |= fit_metrics(epochs) | member_metrics(found.members)
    described = tags | {DESCRIPTION: "\n\n".join(verdict_of(found.comparisons, traded_cell(settings)))}
    run = RunRecord(
        f"{part.symbol} {part.key}",
        run_params(settings, lake, part),
        metrics,
        described,
        artifacts,
        curve_metrics(epochs),
    )
    return registry.record(experiment, run)


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


def score_metrics(scores: pl.DataFrame) -> dict[str, float]:
    """``test/<score>/<cell>/<predictor>`` for every score that is a number."""
    return {
        f"test/{score}/{_cell(row)}/{row['model']}": float(row[score])
        for row in scores.iter_rows(named=True)
        for score in SCORES
        if row[score] is not None and np.isfinite(row[score])
    }


def regime_metrics(regimes: pl.DataFrame) -> dict[str, float]:
    """``test/<score>/<cell>/<predictor>/<regime>`` for macro-F1 and skill."""
    return {
        f"test/{score}/{_cell(row)}/{row['model']}/{row['regime'].replace(' ', '_')}": float(row[score])
        for row in regimes.iter_rows(named=True)
        for score in ("macro_f1", "nll_skill")
        if row[score] is not None and np.isfinite(row[score])
    }


def conformal_metrics(conformal: pl.DataFrame) -> dict[str, float]:
    """``test/conformal_<figure>/<cell>/<regime>`` for coverage and set size, of adaptive and of fixed sets."""
    return {
        f"test/conformal_{figure}/{_cell(row)}/{row['regime'].replace(' ', '_')}": float(row[figure])
        for row in conformal.iter_rows(named=True)
        for figure in ("coverage", "set_size", "fixed_coverage", "fixed_set_size")
    }


def _cell(row: dict[str, Any]) -> str:
    return Cell(row["horizon_ms"], row["budget_bp"]).name


def figure_metrics(figures: dict[str, dict[str, Any]]) -> dict[str, float]:
    """``backtest/<figure>/<run>`` for every figure that is a number; of a table, ``<table>/<its terms>/<figure>``."""
    named: dict[str, Any] = {}
    for name, run in figures.items():
        for key, value in (_flat(run) | _of_markouts(run["markouts"])).items():
            named[f"backtest/{key}/{name.replace(' ', '_')}"] = value
    return {key: float(value) for key, value in named.items() if isinstance(value, int | float)}


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    """The run's own numbers, what survived, and each row of its tables under the terms that it is of."""
    plain = {key: value for key, value in run.items() if not isinstance(value, list | dict)}
    for group in ("implementability", "served"):
        plain |= {f"{group}/{key}": value for key, value in run[group].items()}
    for table, terms in STUDIES.items():
        for row in run.get(table, ()):
            place = "_".join(f"{row[term]:g}" if isinstance(row[term], float) else str(row[term]) for term in terms)
            plain |= {f"{table}/{place}/{key}": value for key, value in row.items() if key not in terms}
    return plain


def _of_markouts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"markout_bp/{row['kind']}_{row['horizon_ms']}": row["markout_bp"] for row in rows}


def evaluation_pages(found: Evaluation) -> dict[str, str]:
    """Verdicts, scores, regimes, confidence, conformal sets and intervals, each in Markdown."""
    verdicts = "\n".join(f"- {one.sentence}" for one in found.comparisons)
    tables = {
        "regimes": found.regimes,
        "coverage": found.coverage,
        "conformal": found.conformal,
        "intervals": found.intervals,
    } | ({"members": found.members} if found.members.height else {})
    return {"verdicts": verdicts, "scores": score_page(found.scores)} | {
        name: score_page(table) for name, table in tables.items()
    }


def score_page(scores: pl.DataFrame) -> str:
    """A table in Markdown."""
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN", tbl_hide_dataframe_shape=True, tbl_rows=-1, tbl_cols=-1, tbl_width_chars=10_000
    ):
        return str(scores)


def scored(scores: pl.DataFrame) -> Verdict:
    """All predictors were scored on the same rows of each cell."""
    rows = scores.group_by("horizon_ms", "budget_bp").agg(pl.col("rows").n_unique().alias("kinds"))
    finite = bool(scores["nll"].is_finite().all())
    same = bool((rows["kinds"] == 1).all())
    return Verdict("scored", scores.height > 0 and finite and same, {"lines": scores.height, "cells": rows.height})
