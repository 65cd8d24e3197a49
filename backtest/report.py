"""The HTML tear sheet of one or more runs: figures in a table, equity, position, fills and reasons as plots.

Everything on the page comes from the runs that it is given; plotly is imported only when a page is drawn.
"""

from html import escape
from typing import Any, Final, NamedTuple

import polars as pl

from backtest.engine import Result
from backtest.performance import Performance, minute_profits, reason_counts
from market.instrument import Instrument

MOST_POINTS: Final = 4_000  # of a line on a plot; the table is computed from all rows
_LABELS: Final = {
    "currency": "currency",
    "decisions": "decisions",
    "orders": "orders and cancels",
    "fills": "fills",
    "maker_share": "maker share of lots",
    "round_trips": "round trips",
    "hit_rate": "hit rate",
    "average_r_bp": "average R, bp",
    "net": "net profit",
    "net_quote": "net profit, quote currency at the last mid",
    "fees": "fees",
    "volume": "turnover",
    "net_bp": "net, bp of turnover",
    "breakeven_fee_bp": "break-even fee a leg, bp",
    "max_drawdown": "largest drawdown",
    "information_ratio": "information ratio, one minute",
    "minutes": "minutes",
    "open_lots": "lots still open",
    "end_reason": "ended at",
}
_STYLE: Final = """
:root { --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { padding: .2rem .8rem; border-bottom: 1px solid var(--line); }
td { text-align: right; font-variant-numeric: tabular-nums; } td:first-child, th:first-child { text-align: left; }
.note { border-left: 4px solid #d80; padding: .3rem .8rem; margin: 1rem 0; }
code { overflow-wrap: anywhere; }
"""


class Run(NamedTuple):
    """One strategy's run and its figures."""

    name: str
    result: Result
    fills: pl.DataFrame  # see fills_frame
    performance: Performance


class Page(NamedTuple):
    """What stands on the page beside the runs."""

    title: str
    notes: tuple[str, ...]  # cautions, shown first
    facts: dict[str, str]  # shas, window, fees: how to find this run again
    scores: pl.DataFrame | None  # model and baselines, one row each


def figure_text(value: Any) -> str:
    """A figure as people read it; None is a dash.

    >>> figure_text(None), figure_text(0.0123456), figure_text(1234), figure_text(-2.5e-7)
    ('–', '0.01235', '1,234', '-2.5e-07')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def figures_table(runs: list[Run]) -> str:
    """Every figure of every run, side by side, as HTML."""
    rows = [[label, *(figure_text(run.performance.as_dict()[key]) for run in runs)] for key, label in _LABELS.items()]
    return _table(["", *(run.name for run in runs)], rows)


def _frame_table(frame: pl.DataFrame) -> str:
    return _table(frame.columns, [[figure_text(value) for value in row] for row in frame.iter_rows()])


def _thin(frame: pl.DataFrame) -> pl.DataFrame:
    step = max(1, frame.height // MOST_POINTS)
    return frame.gather_every(step)


def _decisions_frame(run: Run) -> pl.DataFrame:
    decisions = run.result.decisions
    frame = pl.DataFrame({name: decisions[name] for name in ("row_ts", "equity", "position", "best_bid", "best_ask")})
    return frame.with_columns(pl.from_epoch("row_ts", time_unit="ns").alias("time"))


def _plots(runs: list[Run], instrument: Instrument) -> list[Any]:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = (f"Equity, {instrument.settlement}", "Position, lots", f"Profit a minute, {instrument.settlement}")
    lines = make_subplots(rows=3, cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.06)
    colours = ("#3366cc", "#dc3912", "#109618", "#990099", "#0099c6")
    for run, colour in zip(runs, colours * len(runs), strict=False):
        frame = _thin(_decisions_frame(run))
        minutes = minute_profits(run.result.decisions["row_ts"], run.result.decisions["equity"])
        minute = minutes.select(time=pl.from_epoch("minute", time_unit="ns"), net="net")
        style: dict[str, Any] = {"name": run.name, "legendgroup": run.name}
        line = {"color": colour, "width": 1.5}
        lines.add_trace(go.Scatter(x=frame["time"].to_list(), y=frame["equity"].to_list(), line=line, **style), 1, 1)
        steps = {"x": frame["time"].to_list(), "y": frame["position"].to_list(), "line_shape": "hv"}
        lines.add_trace(go.Scatter(**steps, line=line, showlegend=False, **style), 2, 1)
        bars = {"x": minute["time"].to_list(), "y": minute["net"].to_list(), "marker_color": colour}
        lines.add_trace(go.Bar(**bars, showlegend=False, **style), 3, 1)
    lines.update_layout(height=820, margin={"t": 40, "b": 30}, template="plotly_white", legend_orientation="h")
    return [lines, _fills_plot(runs[0], instrument)]


def _fills_plot(run: Run, instrument: Instrument) -> Any:
    import plotly.graph_objects as go

    frame = _thin(_decisions_frame(run).filter(pl.col("best_bid") > 0))
    plot = go.Figure()
    for column in ("best_bid", "best_ask"):
        prices = (frame[column] * instrument.tick_size).to_list()
        line = {"width": 1, "color": "#999999"}
        plot.add_trace(go.Scatter(x=frame["time"].to_list(), y=prices, name=column.replace("_", " "), line=line))
    for side, name, symbol, colour in (
        (1, "bought", "triangle-up", "#109618"),
        (-1, "sold", "triangle-down", "#dc3912"),
    ):
        fills = run.fills.filter(pl.col("side") == side).with_columns(pl.from_epoch("visible_ts", time_unit="ns"))
        marker = {"symbol": symbol, "color": colour, "size": 7}
        points = {"x": fills["visible_ts"].to_list(), "y": fills["price"].to_list(), "marker": marker}
        plot.add_trace(go.Scatter(mode="markers", name=name, **points))
    title = f"Fills of {run.name}, {instrument.quote}"
    plot.update_layout(title=title, height=460, margin={"t": 50, "b": 30}, template="plotly_white")
    return plot


def render(page: Page, runs: list[Run], instrument: Instrument) -> str:
    """One self-contained HTML page."""
    from plotly.io import to_html

    plots = _plots(runs, instrument)
    drawn = [to_html(plot, full_html=False, include_plotlyjs=index == 0) for index, plot in enumerate(plots)]
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in page.notes)
    facts = _table(["", ""], [[key, value] for key, value in page.facts.items()])
    scores = f"<h2>Scores beside the baselines</h2>{_frame_table(page.scores)}" if page.scores is not None else ""
    reasons = "".join(f"<h3>{escape(run.name)}</h3>{_frame_table(reason_counts(run.result.decisions))}" for run in runs)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(page.title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(page.title)}</h1>{notes}"
        f"<h2>Figures</h2>{figures_table(runs)}{scores}{''.join(drawn)}"
        f"<h2>Why each row was decided as it was</h2>{reasons}<h2>Where it comes from</h2>{facts}</body></html>\n"
    )
