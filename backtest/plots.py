"""The curves of the tear sheet, legible on a light and on a dark page; plotly is imported only when one is drawn."""

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from backtest.performance import minute_profits
from backtest.runs import Run
from market.instrument import Instrument

MOST_POINTS: Final = 4_000  # of a line on a plot; the tables are computed from all rows
_COLOURS: Final = ("#4c8bf5", "#e8710a", "#12a594", "#b36ae2", "#d64570")
_GREY: Final = "#8b949e"
_GRID: Final = "rgba(128,128,128,.22)"
_UP: Final = "#12a594"
_DOWN: Final = "#d64570"


def equity_plot(runs: Sequence[Run], instrument: Instrument) -> Any:
    """Equity, position and profit a minute of every run, one below the other."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = (f"Equity, {instrument.settlement}", "Position, lots", f"Profit a minute, {instrument.settlement}")
    plot = make_subplots(rows=3, cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.07)
    for place, run in enumerate(runs):
        colour = _colour(place)
        frame = _thin(_decisions_frame(run))
        minutes = minute_profits(run.result.decisions["row_ts"], run.result.decisions["equity"])
        minute = minutes.select(time=pl.from_epoch("minute", time_unit="ns"), net="net")
        style: dict[str, Any] = {"name": run.name, "legendgroup": run.name}
        line = {"color": colour, "width": 1.5}
        plot.add_trace(go.Scatter(x=frame["time"].to_list(), y=frame["equity"].to_list(), line=line, **style), 1, 1)
        steps = {"x": frame["time"].to_list(), "y": frame["position"].to_list(), "line_shape": "hv"}
        plot.add_trace(go.Scatter(**steps, line=line, showlegend=False, **style), 2, 1)
        bars = {"x": minute["time"].to_list(), "y": minute["net"].to_list(), "marker_color": colour}
        plot.add_trace(go.Bar(**bars, showlegend=False, **style), 3, 1)
    return _dressed(plot, 720)


def fills_plot(run: Run, instrument: Instrument) -> Any:
    """The touch as we knew it, and where a run bought and sold."""
    import plotly.graph_objects as go

    frame = _thin(_decisions_frame(run).filter(pl.col("best_bid") > 0))
    plot = go.Figure()
    for column in ("best_bid", "best_ask"):
        prices = (frame[column] * instrument.tick_size).to_list()
        line = {"width": 1, "color": _GREY}
        plot.add_trace(go.Scatter(x=frame["time"].to_list(), y=prices, name=column.replace("_", " "), line=line))
    for side, name, symbol, colour in ((1, "bought", "triangle-up", _UP), (-1, "sold", "triangle-down", _DOWN)):
        fills = run.fills.filter(pl.col("side") == side).with_columns(pl.from_epoch("visible_ts", time_unit="ns"))
        marker = {"symbol": symbol, "color": colour, "size": 8}
        points = {"x": fills["visible_ts"].to_list(), "y": fills["price"].to_list(), "marker": marker}
        plot.add_trace(go.Scatter(mode="markers", name=name, **points))
    return _dressed(plot, 420, f"Fills of {run.name}, {instrument.quote}")


def markout_plot(runs: Sequence[Run]) -> Any:
    """Markouts over the time since the fill, a line a run and kind."""
    import plotly.graph_objects as go

    plot = go.Figure()
    for place, run in enumerate(runs):
        for kind, dash in (("maker", "dot"), ("taker", "solid")):
            known = run.markouts.filter((pl.col("kind") == kind) & pl.col("markout_bp").is_not_null())
            if known.height:
                line = {"color": _colour(place), "dash": dash, "width": 2}
                x = [f"{horizon / 1e3:g} s" for horizon in known["horizon_ms"]]
                y, name = known["markout_bp"].to_list(), f"{run.name}, {kind}"
                plot.add_trace(go.Scatter(x=x, y=y, name=name, line=line, mode="lines+markers"))
    plot.update_xaxes(type="category")
    return _dressed(plot, 320, "Markout, bp")


def surface_plot(surface: pl.DataFrame) -> Any:
    """Net bp over fee and latency, a panel a size; what did not trade is left blank."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    sizes = surface["size"].unique().sort().to_list()
    plot = make_subplots(
        rows=1, cols=len(sizes), shared_yaxes=True, subplot_titles=[f"size × {size:g}" for size in sizes]
    )
    known = surface["net_bp"].drop_nulls().abs()
    most = float(known.max()) if known.len() else 1.0  # type: ignore[arg-type]
    for column, size in enumerate(sizes, 1):
        of_size = surface.filter(pl.col("size") == size)
        table = of_size.pivot("fee_bp", index="latency", values="net_bp")
        fees = [f"{float(name):g} bp" for name in table.columns[1:]]
        values = table.drop("latency").rows()
        text = [[f"{value:.3g}" if value is not None else "–" for value in row] for row in values]
        rows = [f"latency × {latency:g}" for latency in table["latency"]]
        heat = {"x": fees, "y": rows, "z": values, "text": text, "texttemplate": "%{text}", "zmid": 0}
        scale = {"colorscale": [[0, _DOWN], [0.5, "rgba(128,128,128,.15)"], [1, _UP]], "zmin": -most, "zmax": most}
        plot.add_trace(go.Heatmap(**heat, **scale, showscale=column == len(sizes), xgap=2, ygap=2), 1, column)
    plot.update_xaxes(type="category")
    return _dressed(plot, 300)


def _dressed(plot: Any, height: int, title: str = "") -> Any:
    """The same plain look for every plot: no background of its own, so that the page's shows."""
    clear = "rgba(0,0,0,0)"
    legend = {"orientation": "h", "y": -0.12 if height > 500 else -0.2}
    plot.update_layout(
        height=height, paper_bgcolor=clear, plot_bgcolor=clear, font={"color": _GREY, "size": 12}, legend=legend
    )
    plot.update_layout(title={"text": title, "font": {"size": 14}}, margin={"t": 44, "b": 36, "l": 10, "r": 10})
    plot.update_xaxes(gridcolor=_GRID, zerolinecolor=_GRID, automargin=True)
    plot.update_yaxes(gridcolor=_GRID, zerolinecolor=_GRID, automargin=True)
    return plot


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _thin(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.gather_every(max(1, frame.height // MOST_POINTS))


def _decisions_frame(run: Run) -> pl.DataFrame:
    decisions = run.result.decisions
    frame = pl.DataFrame({name: decisions[name] for name in ("row_ts", "equity", "position", "best_bid", "best_ask")})
    return frame.with_columns(pl.from_epoch("row_ts", time_unit="ns").alias("time"))
