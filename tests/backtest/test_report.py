"""What stands on the page is what the runs hold."""

from dataclasses import asdict

import polars as pl

from backtest.report import Page, Study, figure_text, group_rows, markout_rows, render
from backtest.surface import Grid, budgets, figures_at, queue_band, run_desk, surface
from tests.builders_backtest import desk, imbalance_forecasts, stretch
from tests.builders_market import COINM_BTC


def test_a_page_shows_every_figure_note_score_and_fact() -> None:
    compiled, forecasts = stretch()[0], imbalance_forecasts()
    runs = [run_desk(name, desk(kind), compiled, forecasts) for name, kind in (("model", "take"), ("probe", "probe"))]
    sweep = lambda points: [figures_at(desk("take"), compiled, forecasts, point) for point in points]  # noqa: E731
    study = Study(
        "model", budgets(sweep, desk("take"), runs[0], (0.0, 2.0)), surface(sweep, Grid((0.0,), (1.0, 2.0), (1.0,)))
    )
    band = Study("probe", queue_band=queue_band(sweep))
    scores = pl.DataFrame({"model": ["cnn <3>"], "macro_f1": [0.512]})
    notes, facts = ("minutes only, no claim about profit",), {"bundle": "abc123"}
    html = render(Page("Probe & model", notes, facts, scores, [study, band]), runs, COINM_BTC)
    for text in ("Probe &amp; model", "no claim about profit", "abc123", "cnn &lt;3&gt;", "0.512", "end of"):
        assert text in html
    tables = [study.budgets, study.surface, band.queue_band]
    shown = [value for run in runs for value in (run.performance.as_dict() | asdict(run.implementability)).values()]
    shown += [value for table in tables if table is not None for row in table.rows() for value in row]
    cells = [figure_text(value) for value in shown]
    cells += [cell for run in runs for row in [*group_rows(run), *markout_rows(run)] for cell in row]
    assert len(cells) > 150
    assert [cell for cell in cells if f"<td>{cell}</td>" not in html] == []
    assert html.count("plotly-graph-div") == 4
    assert "<script src" not in html


def test_an_interval_stands_in_the_cell_of_its_figure() -> None:
    run = run_desk("model", desk("take"), stretch()[0], imbalance_forecasts())
    assert all("[" not in cell for row in group_rows(run) for cell in row)  # seconds of market have none
