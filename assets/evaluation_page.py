"""An evaluation as people read it: each table in Markdown for Dagster, and one HTML page with the curves for MLflow."""

from html import escape
from typing import Final

import numpy as np
import polars as pl

from assets.plots import number_chart, svg_of
from assets.scores import Evaluation
from backtest.report import document, frame_table
from modeling.forecast import Cell

ABOUT: Final = {
    "scores": "Everybody on the same rows of Test; a dash: nothing can be said.",
    "regimes": "The same on the rows of each regime.",
    "coverage": "The same among the most confident rows; share is how many of all they are.",
    "risk_coverage": "Share of errors among the surest rows, by how many of all they are; aurc is the mean of a curve.",
    "conformal": "Adaptive sets as a session serves them, and (fixed) sets that keep the threshold of Val.",
    "intervals": "Adaptive intervals of gross returns as a session serves them.",
    "members": "Mean and spread of the members of the ensemble, each by itself.",
}


def evaluation_pages(found: Evaluation) -> dict[str, str]:
    """Verdicts, scores, regimes, confidence and its curves, conformal sets and intervals, each in Markdown."""
    verdicts = "\n".join(f"- {one.sentence}" for one in found.comparisons)
    tables = {name: score_page(table) for name, table in tables_of(found).items()}
    return {"verdicts": verdicts} | tables | {f"picture_{name}": chart for name, chart in risk_charts(found).items()}


def tables_of(found: Evaluation) -> dict[str, pl.DataFrame]:
    """The tables of an evaluation that hold anything, in the order of a page."""
    names = ("scores", "regimes", "coverage", "conformal", "intervals", "members")
    return {name: table for name in names if (table := getattr(found, name)).height}


def evaluation_document(title: str, found: Evaluation) -> str:
    """All of an evaluation as one HTML page that holds its pictures."""
    verdicts = "".join(f"<li>{escape(one.sentence)}</li>" for one in found.comparisons)
    parts = {name: frame_table(table) for name, table in tables_of(found).items()}
    curves = {"risk_coverage": "".join(map(_drawn, risk_charts(found).values()))}
    body = "".join(_section(name, part) for name, part in ({"scores": parts["scores"]} | curves | parts).items())
    return document(title, f"<h2>verdicts</h2><ul>{verdicts}</ul>{body}")


def _section(name: str, content: str) -> str:
    return f"<h2>{name.replace('_', ' ')}</h2><p>{ABOUT[name]}</p>{content}"


def _drawn(chart: str) -> str:
    return f'<div class="picture">{svg_of(chart).decode()}</div>'


def risk_charts(found: Evaluation) -> dict[str, str]:
    """The risk-coverage curves of every cell, a line a predictor, each in Markdown by ``risk_coverage_<cell>``."""
    cells = found.risks.partition_by("horizon_ms", "budget_bp", maintain_order=True)
    charts = ((Cell(*table.select("horizon_ms", "budget_bp").row(0)).name, risk_chart(table)) for table in cells)
    return {f"risk_coverage_{name}": chart for name, chart in charts}


def risk_chart(risks: pl.DataFrame) -> str:
    """The curves of one cell, see ``modeling.evaluation.evaluate_risks``."""
    lines = {str(one["model"][0]): one["error"].to_numpy() for one in risks.partition_by("model", maintain_order=True)}
    cell = Cell(*risks.select("horizon_ms", "budget_bp").row(0))
    return number_chart(f"error among the surest rows, {cell.name}, by %", np.arange(1, 101), lines)


def score_page(scores: pl.DataFrame) -> str:
    """A table in Markdown."""
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN", tbl_hide_dataframe_shape=True, tbl_rows=-1, tbl_cols=-1, tbl_width_chars=10_000
    ):
        return str(scores)
