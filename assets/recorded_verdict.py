"""The page of ``main.py benchmark recordings``: tables, and what each kind's ensemble can claim, in plain words."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

import polars as pl

from assets.member_scores import OVERALL
from assets.plots import markdown_table
from assets.recorded_outcome import Outcome
from assets.report import Report

SKILL: Final = 0.15  # that a log-loss has to be better than the class prior's
CALIBRATION_ERROR: Final = 0.04  # at most
COVERAGE: Final = 0.9
COVERAGE_OVERALL: Final = 0.01  # that coverage may be off, over all ...
COVERAGE_REGIME: Final = 0.03  # ... and in each regime
_SCORES: Final = ("macro_f1", "mcc", "nll", "nll_skill", "ece", "hit_rate", "gross_edge_bp")
_SHOWN: Final = ("macro_f1", "nll_skill")


def report_of(symbols: Sequence[str], found: Outcome) -> Report:
    """The whole page, as text and as plain values."""
    seeds = spread_over_seeds(found.scores)
    sentences = [*(one.sentence for one in found.comparisons), *claims(found.scores, found.conformal)]
    missing = [f"not fitted, the time was up: {fit}" for one in found.contests for fit in one.missing]
    tables = {
        "scores over all slices": found.scores.select("model", "horizon_ms", "rows", *_SCORES),
        "mean and spread over seeds": seeds,
        "by slice": _wide(found.slices, "slice"),
        "by regime": _wide(found.regimes, "regime"),
        "conformal sets": found.conformal,
    }
    text = [f"## {title}\n\n{_page(table)}" for title, table in tables.items()]
    verdicts = "\n".join(f"- {sentence}" for sentence in (*sentences, *missing))
    trials = [{"slice": one.slice.piece.key, **asdict(trial)} for one in found.contests for trial in one.trials]
    plain: dict[str, Any] = {name.replace(" ", "_"): table.to_dicts() for name, table in tables.items()}
    return Report(
        "\n\n".join((_head(symbols, found), *text, f"## verdict\n\n{verdicts}")),
        plain | {"symbols": list(symbols), "verdict": sentences, "missing": missing, "trials": trials},
    )


def _head(symbols: Sequence[str], found: Outcome) -> str:
    rows = ", ".join(f"{len(one.slice.whole.train):,} / {int(one.scored[:, 0].sum()):,}" for one in found.contests)
    return f"{', '.join(symbols)}; gross three-class labels; rows of Train / scored rows of Test by slice: {rows}"


def spread_over_seeds(scores: pl.DataFrame) -> pl.DataFrame:
    """Mean and standard deviation of macro-F1, skill and calibration error over the seeds of each kind, by horizon."""
    singles = scores.filter(pl.col("model").str.contains(" seed "))
    kind = pl.col("model").str.split(" seed ").list.first().alias("kind")
    figures = [
        getattr(pl.col(name), how)().alias(f"{name} {label}")
        for name in ("macro_f1", "nll_skill", "ece")
        for how, label in (("mean", "mean"), ("std", "spread"))
    ]
    return singles.group_by(kind, "horizon_ms", maintain_order=True).agg(pl.len().alias("seeds"), *figures)


def _wide(table: pl.DataFrame, across: str) -> pl.DataFrame:
    """Macro-F1 and skill of each predictor but single seeds, a column a slice or regime."""
    kept = table.filter(~pl.col("model").str.contains(" seed "))
    return kept.pivot(across, index=["model", "horizon_ms"], values=list(_SHOWN))


def claims(scores: pl.DataFrame, conformal: pl.DataFrame) -> Iterator[str]:
    """Whether each ensemble meets the bars on skill, calibration and coverage, one sentence a bar and horizon."""
    for model, horizon in conformal.select("model", "horizon_ms").unique(maintain_order=True).iter_rows():
        at = (pl.col("model") == model) & (pl.col("horizon_ms") == horizon)
        (score,), sets = scores.filter(at).to_dicts(), conformal.filter(at)
        where = f"{model} at {horizon} ms"
        skill, error = score["nll_skill"], score["ece"]
        yield _claim(skill >= SKILL, where, f"a log-loss {100 * skill:.1f} % better than the class prior's", "15 %")
        yield _claim(error <= CALIBRATION_ERROR, where, f"a calibration error of {error:.3f}", "0.04 at most")
        yield from (_coverage(where, line) for line in sets.to_dicts())


def _coverage(where: str, line: dict[str, Any]) -> str:
    allowed = COVERAGE_OVERALL if line["regime"] == OVERALL else COVERAGE_REGIME
    said = f"a coverage of {100 * line['coverage']:.1f} % ({line['regime']}, {line['set_size']:.2f} classes a set)"
    met = abs(line["coverage"] - COVERAGE) <= allowed
    return _claim(met, where, said, f"90 % give or take {100 * allowed:.0f} points")


def _claim(met: bool, where: str, said: str, bar: str) -> str:
    return f"{where}: {'meets' if met else 'MISSES'} the bar of {bar}, with {said}."


def _page(table: pl.DataFrame) -> str:
    return markdown_table(table.columns, ([_short(value) for value in row] for row in table.iter_rows()))


def _short(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value
