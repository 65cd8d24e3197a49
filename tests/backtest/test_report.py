"""What stands on the page is what the runs hold."""

import polars as pl

from backtest.engine import Window, fills_frame, run_backtest
from backtest.performance import performance
from backtest.report import Page, Run, figure_text, render
from backtest.venue import SimulatedVenue
from tests.builders_market import COINM_BTC, synthetic_events
from tests.builders_trading import VENUE, session


def test_a_page_shows_every_figure_note_score_and_fact() -> None:
    tape = synthetic_events(12.0)
    window = Window(int(tape["ingest_ts"][0]), int(tape["ingest_ts"][-1]))
    result = run_backtest(tape, session("probe"), SimulatedVenue(COINM_BTC, VENUE), window, 0)
    fills = fills_frame(result.reports, COINM_BTC, 0.0, 0.0)
    figures = performance(result.decisions, len(result.intents), fills, COINM_BTC, result.end_reason)
    scores = pl.DataFrame({"model": ["cnn <3>"], "macro_f1": [0.512]})
    page = Page("Probe & model", ("minutes only, no claim about profit",), {"bundle": "abc123"}, scores)
    html = render(page, [Run("probe", result, fills, figures)], COINM_BTC)
    for text in ("Probe &amp; model", "no claim about profit", "abc123", "cnn &lt;3&gt;", "0.512", "end of"):
        assert text in html
    for value in figures.as_dict().values():
        assert f"<td>{figure_text(value)}</td>" in html
    assert html.count("plotly-graph-div") == 2
