"""The HTML tear sheet of one or more runs: every figure as text in tables, and the curves that go with them.

Everything on the page comes from the runs and studies that it is given; plotly is imported only when a page is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any, Final, NamedTuple

import polars as pl

from backtest.performance import reason_counts
from backtest.plots import equity_plot, fills_plot, markout_plot, surface_plot
from backtest.runs import Run, grouped
from market.instrument import Instrument

_LABELS: Final = {
    "currency": "currency",
    "net": "net profit",
    "trading": "– of trading",
    "funding": "– of funding, received less paid",
    "fees": "– fees, taken off",
    "net_quote": "net profit, {quote}",
    "settlement_price": "– {quote} a unit of what it settles in",
    "valued_at": "– valued at",
    "net_bp": "net, bp of turnover",
    "breakeven_fee_bp": "break-even fee a leg, bp",
    "breakeven_low_bp": "– its 95 % interval, low",
    "breakeven_high_bp": "– its 95 % interval, high",
    "round_trips": "round trips",
    "hit_rate": "hit rate",
    "average_r_bp": "average R, bp",
    "max_drawdown": "largest drawdown",
    "volume": "turnover",
    "cost_pct": "cost, % of turnover",
    "information_ratio": "information ratio, one minute",
    "information_ratio_low": "– its 95 % interval, low",
    "information_ratio_high": "– its 95 % interval, high",
    "effective_minutes": "effective minutes",
    "minutes": "minutes",
    "decisions": "decisions",
    "orders": "orders and cancels",
    "orders_met": "orders that reached the venue",
    "orders_refused_share": "– share that it refused for no reason of ours",
    "cancels_met": "cancels that reached the venue",
    "cancels_late_share": "– share that came too late",
    "cancels_refused_share": "– share that it refused",
    "cancels_unanswered_share": "– share that it never answered",
    "fills": "fills",
    "maker_share": "maker share of lots",
    "open_lots": "lots still open",
    "end_reason": "ended at",
    "quote": "quote currency",
}
_IMPLEMENTABILITY: Final = {
    "quantity_share": "share of the signalled quantity filled at or inside the modelled cost",
    "profit_share": "share that fills kept of the profit at the decision's mid",
    "signalled_bp": "net profit of the signals at the decision's mid, bp",
    "survived_bp": "what its fills kept, bp",
    "signals": "signals",
    "judged": "– with a mid at the horizon",
    "signalled_lots": "signalled lots",
    "inside_lots": "lots inside the modelled cost",
    "capped": "signals that a cap on rate or exposure stopped, counted as not filled",
    "gated_rows": "rows on which a gate or halt silenced a ready forecast, of unknown size and not counted",
    "cap_bound_share": "share of decisions for a position in which the cap bound, not the edge",
}
_SERVED: Final = {
    "rows": "rows with an interval whose return ended",
    "coverage": "share of returns inside",
    "width_bp": "median width, bp",
    "endless": "share of intervals without an end",
    "set_size": "classes in a set",
    "set_coverage": "share of labels in their set",
    "spread_bp": "median spread of the members, bp",
}
_COLUMNS: Final = {
    "queue_model": "queue model",
    "baseline": "against",
    "saved_bp": "saved, bp",
    "low_bp": "low",
    "high_bp": "high",
    "fee_bp": "round-trip fee, bp",
    "head_bp": "class head, bp",
    "same_fills_net_bp": "same fills, net bp",
    "latency": "latency, times",
    "size": "size, times",
    "round_trips": "round trips",
    "hit_rate": "hit rate",
    "average_r_bp": "average R, bp",
    "volume": "turnover",
    "net_bp": "net, bp",
    "max_drawdown": "drawdown",
    "horizon_ms": "after, ms",
    "markout_bp": "markout, bp",
    "breakeven_fee_bp": "break-even, bp",
    "breakeven_low_bp": "low",
    "breakeven_high_bp": "high",
    "cost_pct": "cost, %",
    "information_ratio": "IR",
    "information_ratio_low": "low",
    "information_ratio_high": "high",
    "effective_minutes": "effective min",
    "maker_share": "maker share",
}
_OF_GROUPS: Final = (
    "net",
    "net_bp",
    "breakeven_fee_bp",
    "fills",
    "round_trips",
    "hit_rate",
    "average_r_bp",
    "max_drawdown",
    "volume",
    "cost_pct",
    "information_ratio",
    "effective_minutes",
    "minutes",
    "decisions",
)
_INTERVALS: Final = {
    "breakeven_fee_bp": ("breakeven_low_bp", "breakeven_high_bp"),
    "information_ratio": ("information_ratio_low", "information_ratio_high"),
}
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #667; --page: #fbfbfa; --card: #fff; --line: #8883; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e6ea; --dim: #9aa4b0; --page: #14171a; --card: #1c2024; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; } h3 { font-size: .95rem; margin: 1.2rem 0 .2rem; color: var(--dim); }
p { margin: .3rem 0; color: var(--dim); max-width: 60rem; }
.note { border-left: 4px solid #d80; padding: .3rem .8rem; margin: .6rem 0; color: var(--ink); }
.wide { overflow-x: auto; margin: .6rem 0; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
td, th { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--dim); } tr:last-child td { border-bottom: 0; }
td:first-child, th:first-child { text-align: left; }
.facts td, .facts th { text-align: left; }
.facts td { white-space: normal; overflow-wrap: anywhere; }
.rows td, .rows th { padding: .25rem .5rem; }
.figures td:first-child { white-space: normal; min-width: 9rem; }
"""


class Study(NamedTuple):
    """What was asked of one run beyond itself; see backtest.surface for each table."""

    name: str  # of the run
    budgets: pl.DataFrame | None = None
    surface: pl.DataFrame | None = None
    queue_band: pl.DataFrame | None = None
    execution: pl.DataFrame | None = None  # see backtest.execution

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """Those that were asked for, by name."""
        return {name: table for name, table in self._asdict().items() if isinstance(table, pl.DataFrame)}


class Page(NamedTuple):
    """What stands on the page beside the runs."""

    title: str
    notes: tuple[str, ...]  # cautions, shown first
    facts: dict[str, str]  # shas, window, fees: how to find this run again
    scores: pl.DataFrame | None  # model and baselines, one row each
    studies: Sequence[Study] = ()


def figure_text(value: Any) -> str:
    """A figure as people read it; None is a dash.

    >>> figure_text(None), figure_text(0.0123456), figure_text(1234), figure_text(-2.5e-7), figure_text(61657.3)
    ('–', '0.01235', '1,234', '-2.5e-07', '61,657')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def render(page: Page, runs: Sequence[Run], instrument: Instrument) -> str:
    """One self-contained HTML page."""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in page.notes)
    scores = f"<h2>Scores beside the baselines</h2>{frame_table(page.scores)}" if page.scores is not None else ""
    curves = _drawn(equity_plot(runs, instrument), first=True) + _drawn(fills_plot(runs[0], instrument))
    facts = html_table(["", ""], [[key, value] for key, value in page.facts.items()], "facts")
    reasons = "".join(f"<h3>{escape(run.name)}</h3>{frame_table(reason_counts(run.result.decisions))}" for run in runs)
    body = (
        f"{notes}<h2>Figures</h2>{_money(instrument)}{figures_table(runs, instrument)}{curves}"
        f"{_groups(runs)}{_markouts(runs)}{_implementability(runs)}{_served(runs)}"
        f"{''.join(map(_study, page.studies))}{scores}"
        f"<h2>Why each row was decided as it was</h2>{reasons}<h2>Where it comes from</h2>{facts}"
    )
    return document(page.title, body)


def figures_table(runs: Sequence[Run], instrument: Instrument) -> str:
    """Every figure of every run, side by side, as HTML."""
    labels = {key: label.format(quote=instrument.quote) for key, label in _LABELS.items()}
    return _side_by_side(labels, {run.name: run.performance.as_dict() for run in runs})


def _money(instrument: Instrument) -> str:
    settled = f"Money is in {instrument.settlement}, which {escape(instrument.name)} settles in."
    mark = (
        f" In {instrument.quote} it is valued at the last mark price, or else the last mid."
        if instrument.inverse
        else ""
    )
    return f"<p>{settled}{mark} A dash: too little data for that figure.</p>"


def _groups(runs: Sequence[Run]) -> str:
    header = ["", *(_COLUMNS.get(name, name.replace("_", " ")) for name in _OF_GROUPS)]
    tables = "".join(f"<h3>{escape(run.name)}</h3>{html_table(header, group_rows(run))}" for run in runs)
    about = "Counts and money of one scope add up to the whole run; intervals hold 95 % and go by blocks of minutes."
    return f"<h2>By symbol, regime and hour (UTC)</h2><p>{about}</p>{tables}"


def group_rows(run: Run) -> list[list[str]]:
    """Cells of a run's groups, a row each; a figure with an interval bears it in the same cell."""
    return [
        [f"{row['scope']} {row['group']}", *(_with_interval(row, name) for name in _OF_GROUPS)]
        for row in grouped([run]).iter_rows(named=True)
    ]


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    low, high = (row[key] for key in _INTERVALS[name]) if name in _INTERVALS else (None, None)
    text = figure_text(row[name])
    return text if low is None else f"{text} [{figure_text(low)}, {figure_text(high)}]"


def _markouts(runs: Sequence[Run]) -> str:
    about = "Move of the venue's mid from the price of a fill, positive where it went our way; weighted by notional."
    horizons = [f"{horizon / 1e3:g} s" for horizon in runs[0].markouts["horizon_ms"].unique(maintain_order=True)]
    rows = [row for run in runs for row in markout_rows(run)]
    table = html_table(["bp (fills)", "", *horizons], rows)
    return f"<h2>Markouts</h2><p>{about}</p>{_drawn(markout_plot(runs))}{table}"


def markout_rows(run: Run) -> list[list[str]]:
    """Cells of a run's markouts, a row a kind that it has fills of: bp, and how many fills that is the mean of."""
    kinds = run.markouts.filter(pl.col("fills") + pl.col("unknown") > 0).partition_by("kind", maintain_order=True)
    found = [(kind["kind"][0], kind.select("markout_bp", "fills").rows()) for kind in kinds]
    return [[run.name, kind, *(f"{figure_text(bp)} ({fills:,})" for bp, fills in rows)] for kind, rows in found]


def _implementability(runs: Sequence[Run]) -> str:
    about = (
        "A signal is an order that opens on a forecast. Its profit at the decision's mid is what the market then did: "
        "the realised move from the touch that the session saw to the venue's mid at the horizon, less the modelled "
        "cost. What survives is what its fills kept of that in the replay."
    )
    table = _side_by_side(_IMPLEMENTABILITY, {run.name: asdict(run.implementability) for run in runs})
    return f"<h2>Implementability</h2><p>{about}</p>{table}"


def _served(runs: Sequence[Run]) -> str:
    about = (
        "Every forecast of the traded cell carried an interval of the gross return, fitted on the third part of Val, "
        "which went on learning from the run's own rows; and a set of classes. Both are judged as they were served: "
        "intervals by the mids of the run's own rows, sets by the labels."
    )
    table = _side_by_side(_SERVED, {run.name: asdict(run.served) for run in runs})
    return f"<h2>Intervals and sets as served</h2><p>{about}</p>{table}"


def _study(study: Study) -> str:
    name, parts = escape(study.name), ""
    if study.budgets is not None:
        about = (
            "The run's own fills at each round-trip fee, and beside it a run that decides afresh under that fee, by "
        )
        about += "the class head of that budget where the model has one; the column says which head it was."
        parts += f"<h2>Fee budgets, {name}</h2><p>{about}</p>{frame_table(study.budgets)}"
    if study.surface is not None:
        about = "Net bp of turnover; each point is a run of its own, and a dash is one that did not trade."
        parts += f"<h2>Fee, latency and size, {name}</h2><p>{about}</p>{_drawn(surface_plot(study.surface))}"
        parts += frame_table(study.surface)
    if study.queue_band is not None:
        about = "The same orders under every queue model, from the most pessimistic to the most optimistic."
        parts += f"<h2>Queue band, {name}</h2><p>{about}</p>{frame_table(study.queue_band)}"
    if study.execution is not None:
        about = "What a parent order worked by this forecast saved against other ways, bp of its arrival value."
        parts += f"<h2>Parent orders, {name}</h2><p>{about}</p>{frame_table(study.execution)}"
    return parts


def _drawn(plot: Any, *, first: bool = False) -> str:
    from plotly.io import to_html

    shown = {"displayModeBar": False, "responsive": True}
    return str(to_html(plot, full_html=False, include_plotlyjs=first, config=shown))


def _side_by_side(labels: Mapping[str, str], figures: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [[label, *(figure_text(of_run[key]) for of_run in figures.values())] for key, label in labels.items()]
    return html_table(["", *figures], rows, "figures")


def frame_table(frame: pl.DataFrame) -> str:
    """A frame as an HTML table, with the words of the tear sheet."""
    header = [_COLUMNS.get(name, name.replace("_", " ")) for name in frame.columns]
    return html_table(header, [[figure_text(value) for value in row] for row in frame.iter_rows()])


def document(title: str, body: str) -> str:
    """One self-contained HTML page.

    body : HTML, whatever it quotes escaped
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "rows") -> str:
    """Cells as an HTML table, escaped; ``kind`` is a class of the style: rows, facts or figures."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide {kind}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
