"""What a run of the chain came to, on one screen."""

from collections.abc import Sequence
from pathlib import Path

from orchestration.facts import SCORES, Facts
from storage.registry import CHALLENGER, CHAMPION


def demo_summary(facts: Facts, live: Sequence[str] = ()) -> str:
    """Rows, slices, scores beside the baselines, backtest figures, bundle sha, report, and the command for the UIs.

    facts : of ``demo_facts``
    live : lines about the live half
    """
    lines = [line for symbol in facts["symbols"] for line in symbol_lines(symbol)]
    return "\n".join([*lines, *registry_lines(facts["decisions"]), *live, "  pages      make ui"])


def symbol_lines(facts: Facts) -> list[str]:
    """The chain of one symbol, from its rows to the figures of its newest slice."""
    return [
        f"{facts['symbol']}   {facts['source']}",
        *(row_line(day) for day in facts["days"]),
        f"  slices     {len(facts['slices'])}, trials {facts['trials']}; newest {facts['slices'][-1]}",
        *score_lines(facts),
        *figure_lines(facts["backtests"]),
        f"  report     {from_here(facts['report'])}",
    ]


def row_line(day: Facts) -> str:
    """Rows of every table of a day, and what the clock found."""
    rows = "  ".join(f"{table} {count:,}" for table, count in day["rows"].items())
    if "offset_ms" not in day:
        return f"  {day['date']} {rows}"
    return f"  {day['date']} {rows}  offset {day['offset_ms']:,.0f} ms  delay p95 {day['delay_p95_ms']:.1f} ms"


def score_lines(facts: Facts) -> list[str]:
    """The traded cell's scores on Test, one line a predictor."""
    traded = f"{facts['cell']['horizon_ms']} ms, {facts['cell']['budget_bp']:g} bp"
    lines = [f"  {f'Test, {traded}':<26}macro-F1      MCC  NLL skill  hit rate  gross edge bp"]
    for row in facts["scores"]:
        lines.append(f"    {row['model']:<24}" + "  ".join(_number(row[name], 8) for name in SCORES[1:]))
    better = beaten_by(facts["scores"])
    return [*lines, f"    here {', '.join(better)} score no less than the model in macro-F1"] if better else lines


def beaten_by(scores: Sequence[Facts]) -> list[str]:
    """The baselines whose macro-F1 in one cell is at least the model's.

    >>> beaten_by([{"model": "prior", "macro_f1": 0.2}, {"model": "model", "macro_f1": 0.2}])
    ['prior']
    """
    macro_f1 = {row["model"]: row["macro_f1"] for row in scores}
    own = macro_f1.pop("model", None)
    return [name for name, score in macro_f1.items() if score >= own] if own is not None else []


def figure_lines(figures: dict[str, Facts]) -> list[str]:
    """The backtests of Test, one line a policy."""
    lines = [f"  {'Backtest':<26}   fills    trips  net quote    net bp  max drawdown"]
    for name, run in figures.items():
        counts = f"{run['fills']:>8,}  {run['round_trips']:>7,}"
        money = f"{_number(run['net_quote'], 9)}  {_number(run['net_bp'], 8)}"
        lines.append(f"    {name:<24}{counts}  {money}  {run['max_drawdown']:12.3g} {run['currency']}")
    return lines


def from_here(path: str) -> str:
    """A path as a person in the working directory types it; whole where it lies elsewhere.

    >>> from_here("/nowhere/page.html")
    '/nowhere/page.html'
    """
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def registry_lines(decisions: Sequence[Facts]) -> list[str]:
    """The versions that were registered, what the gates let them become, and the page to approve them from."""
    return [
        line
        for row in decisions
        for line in (
            f"  {CHAMPION if row['champion'] else CHALLENGER:<10} {row['model']} version {row['version']}, "
            f"bundle {row['bundle_sha']}",
            f"             {row['reason']}",
            f"  approve by {from_here(row['page'])}",
        )
    ]


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.3f}"
