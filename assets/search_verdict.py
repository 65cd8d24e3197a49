"""What the statistics say of a slice's search: the best trial beside every one that was ever begun on the slice."""

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
    """Is the best trial better than not trading? A position of a trial is held to its horizon."""
    horizon = settings.trading.horizon_ms / _MS_PER_MINUTE
    return judge_search(trial_table(ledger), horizon, horizon, np.random.default_rng(0))


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
