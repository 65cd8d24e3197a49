"""The one page that a person approves a model from: what it is, against whom, every gate, and what nobody knows."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, NamedTuple

import polars as pl

from backtest.gates import FAILED, INSUFFICIENT, PASSED, Gate
from backtest.report import document, figure_text, frame_table, html_table

_OF_REGIMES: Final = ("group", "net", "net_bp", "fills", "round_trips", "hit_rate", "max_drawdown", "minutes")
_OF_RUNS: Final = ("net", "net_bp", "fills", "round_trips", "hit_rate", "average_r_bp", "max_drawdown")
_COSTS: Final = {
    "fees": "fees paid",
    "volume": "turnover",
    "cost_pct": "fees and distance from the mid, % of turnover",
    "breakeven_fee_bp": "break-even fee a leg, bp",
    "breakeven_low_bp": "– its 95 % interval, low",
    "breakeven_high_bp": "– its 95 % interval, high",
    "orders_refused_share": "share of orders that the venue refused",
}


class PromotionPage(NamedTuple):
    """Everything on the page."""

    title: str
    decision: str  # what became of it, or who is asked
    facts: Mapping[str, str]  # model, version, shas, windows
    gates: Sequence[Gate]
    runs: Mapping[str, Mapping[str, Any]]  # figures of the candidate, first, and its rivals over Test
    forecasts: Sequence[str]  # how its forecasts compare with the baselines', in words
    regimes: pl.DataFrame  # of the candidate; rows of backtest.runs.grouped
    surface: Sequence[Mapping[str, Any]]  # fee_bp, latency, size, net_bp
    contest: Sequence[str]  # what its A/B against the champion says, in words; nothing without one
    unknown: Sequence[str]  # what was not measured


def promotion_html(page: PromotionPage) -> str:
    """One self-contained HTML page."""
    runs = [[name, *(figure_text(run.get(key)) for key in _OF_RUNS)] for name, run in page.runs.items()]
    own = next(iter(page.runs.values()))
    parts = {
        "What it is": html_table(["", ""], [[key, value] for key, value in page.facts.items()], "facts"),
        "Gates": html_table(["gate", "verdict", "figure", "why"], gate_rows(page.gates), "facts"),
        "Against whom, over Test": html_table(["", *(key.replace("_", " ") for key in _OF_RUNS)], runs),
        "Its forecasts beside the baselines'": _lines(page.forecasts),
        "By regime": frame_table(page.regimes.select(pl.col(name) for name in _OF_REGIMES)),
        "Fee x latency x size, net bp": surface_table(page.surface),
        "Costs": html_table(["", ""], [[label, figure_text(own.get(key))] for key, label in _COSTS.items()], "figures"),
        "A/B against the champion": _lines(page.contest),
        "What is unknown": _lines(page.unknown),
    }
    note = f'<p class="note">{escape(summary_of(page.gates))} {escape(page.decision)}</p>'
    return document(page.title, note + "".join(f"<h2>{escape(head)}</h2>{part}" for head, part in parts.items()))


def summary_of(gates: Sequence[Gate]) -> str:
    """How many gates passed, failed, and could not be judged.

    >>> summary_of([Gate("parity", "passed", None, "", ""), Gate("latency budget", "failed", 9.0, "us", "")])
    '1 of 2 gates passed; failed: latency budget.'
    """
    found = {word: [gate.name for gate in gates if gate.verdict == word] for word in (PASSED, FAILED, INSUFFICIENT)}
    others = "".join(f"; {word}: {', '.join(found[word])}" for word in (FAILED, INSUFFICIENT) if found[word])
    return f"{len(found[PASSED])} of {len(gates)} gates passed{others}."


def gate_rows(gates: Sequence[Gate]) -> list[list[str]]:
    """Cells of the gates, a row each."""
    return [[gate.name, gate.verdict, figure_cell(gate), gate.why] for gate in gates]


def gate_line(gate: Gate) -> str:
    """A gate's answer in one line, its verdict first.

    >>> gate_line(Gate("latency budget", "failed", 9.0, "us", "its budget is 8 us"))
    'failed: 9 us, its budget is 8 us'
    """
    return f"{gate.verdict}: {figure_cell(gate)}, {gate.why}"


def figure_cell(gate: Gate) -> str:
    """What a gate compared, with its unit; a dash where nothing could be."""
    return f"{figure_text(gate.figure)} {gate.unit}".strip() if gate.figure is not None else figure_text(None)


def surface_table(surface: Sequence[Mapping[str, Any]]) -> str:
    """Net bp of every point: a row a latency and size, a column a fee."""
    fees = sorted({point["fee_bp"] for point in surface})
    places = sorted({(point["latency"], point["size"]) for point in surface})
    found = {(point["latency"], point["size"], point["fee_bp"]): point["net_bp"] for point in surface}
    rows = [
        [f"latency x {latency:g}, size x {size:g}", *(figure_text(found.get((latency, size, fee))) for fee in fees)]
        for latency, size in places
    ]
    return html_table(["round-trip fee", *(f"{fee:g} bp" for fee in fees)], rows)


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines) or "<p>nothing</p>"
