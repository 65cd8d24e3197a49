"""What a search and its fits looked like, as pictures for Dagster's pages and MLflow: history, importances, curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from assets.plots import heat_map, number_chart, svg_of
from storage.files import replace_file

CURVES: Final = ("train_loss", "val_nll", "learning_rate", "seconds", "predictions_per_s")  # of a fit, by epoch


def study_pages(trials: pl.DataFrame, importances: Mapping[str, float]) -> dict[str, str]:
    """Optimisation history and importance of the settings, each in Markdown; see assets.search.trial_frame."""
    shares = np.array([[share] for share in importances.values()])
    bars = heat_map("share of the values' spread, %", ["importance"], list(importances), shares) if shares.size else ""
    return {"history": history_chart(trials), "importances": bars or "none: too few trials, or all came to one value"}


def history_chart(trials: pl.DataFrame) -> str:
    """The value of every trial, and the best until then."""
    value = trials.sort("number")["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    best = np.fmax.accumulate(value) if value.size else value
    return number_chart("trial", np.arange(value.size), {"value": value, "best so far": best})


def curve_chart(epochs: Sequence[Mapping[str, Any]], name: str) -> str:
    """One figure of every member's fit by epoch."""
    found = {f"member {member}": line for member, line in curves_of(epochs, name).items()}
    longest = max(map(len, found.values()), default=0)
    lines = {title: np.pad(line, (0, longest - len(line)), constant_values=np.nan) for title, line in found.items()}
    return number_chart(f"{name} by epoch", np.arange(longest), lines)


def curves_of(epochs: Sequence[Mapping[str, Any]], name: str) -> dict[int, np.ndarray]:
    """One figure of each member's fit, epoch by epoch; see assets.fitting.curve_of."""
    members = sorted({int(epoch.get("member", 0)) for epoch in epochs})
    return {
        member: np.array([float(e[name]) for e in epochs if e.get("member", 0) == member and e.get(name) is not None])
        for member in members
    }


def curve_metrics(epochs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """``fit/<figure>/member<number>`` for MLflow, a value an epoch."""
    return {
        f"fit/{name}/member{member}": line.tolist()
        for name in CURVES
        for member, line in curves_of(epochs, name).items()
        if line.size
    }


def fit_metrics(epochs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """``fit/total_seconds`` and ``fit/mean_predictions_per_s`` over all members, empty where nothing was timed."""
    timed = [epoch for epoch in epochs if epoch.get("seconds")]
    seconds = sum(epoch["seconds"] for epoch in timed)
    rows = sum(epoch["rows"] for epoch in timed)
    return {"fit/total_seconds": seconds, "fit/mean_predictions_per_s": rows / seconds} if timed else {}


def write_pictures(folder: Path, charts: Mapping[str, str]) -> Path:
    """The charts as files ``<name>.svg`` in a folder; what has no picture has no file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in charts.items():
        if picture := svg_of(chart):
            replace_file(folder / f"{name}.svg", picture)
    return folder
