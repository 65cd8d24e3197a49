"""What the statistics say of a slice's search: the best trial beside every one that was ever begun on the slice."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from assets.fitting import LEDGER
from backtest.statistics import SearchVerdict, judge_search, trial_table
from config.settings import Settings
from storage.trials import read_trials

_MS_PER_MINUTE: Final = 60_000


def whole_ledger(folder: Path) -> list[dict[str, object]]:
    """Every trial of every study below a slice's folder, named after the study's folder.

    Studies under settings that have changed since were tries as well: what was looked at counts, not what was kept.
    """
    return [
        {**trial, "study": ledger.parent.name}
        for ledger in sorted(folder.glob(f"*/{LEDGER}"))
        for trial in read_trials(ledger)
    ]


def verdict_of(settings: Settings, ledger: list[dict[str, object]]) -> SearchVerdict:
    """Is the best trial better than not trading, by blocks that hold the longest position of any that earned?"""
    horizon = settings.trading.horizon_ms / _MS_PER_MINUTE
    return judge_search(trial_table(ledger), horizon, longest_held(ledger, horizon), np.random.default_rng(0))


def longest_held(ledger: Iterable[Mapping[str, Any]], horizon: float) -> float:
    """The longest position of a trial that earned, minutes; ``horizon`` where none is known to be longer.

    A forecast that keeps its sign keeps the position: who holds one side all along has made one bet on the drift.

    >>> longest_held([{"value": 2.0, "held_minutes": 0.5}, {"value": -1.0, "held_minutes": 9.0}, {"value": 1.0}], 0.1)
    0.5
    """
    earned = [trial for trial in ledger if (trial.get("value") or 0.0) > 0]
    return max([horizon, *(float(trial.get("held_minutes") or 0.0) for trial in earned)])


def facts_of(verdict: SearchVerdict) -> dict[str, Any]:
    """A verdict as metadata: in words, and the numbers that a gate compares; None where it is insufficient."""
    return {
        "verdict": verdict.verdict,
        "sentences": list(verdict.sentences),
        "trials": verdict.trials,
        "silent": verdict.silent,
        "spa_p": verdict.spa_p,
        "reality_check_p": verdict.reality_check.p,
        "step_m_better": len(verdict.step_m.better),
        "deflated_sharpe": verdict.deflated_sharpe.probability,
        "pbo": verdict.overfitting.pbo,
        "minutes": verdict.spa.observations,
    }


def metrics_of(facts: dict[str, Any]) -> dict[str, float]:
    """``search/<figure>`` for every figure that is a number."""
    return {f"search/{name}": float(value) for name, value in facts.items() if isinstance(value, int | float)}
