"""What the statistics say of a whole search: every trial of the ledger beside the others, the abandoned ones included.

``trial_table`` makes the ledger a table of minutes x trials, ``judge_search`` holds the best trial against all that
were tried. The tests themselves: ``reality`` (SPA, Reality Check, StepM), ``overfitting`` (deflated Sharpe, PBO),
``hac`` (means, regimes, forecasts), ``resampling`` (intervals, block lengths). docs/statistics.md says which to trust.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backtest.overfitting import DeflatedSharpe, Overfitting, deflated_sharpe, overfitting
from backtest.reality import BestTest, Resamples, StepTest, reality_check, resample, spa, step_m
from backtest.resampling import DRAWS, block_length, information_ratio
from market.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrialTable:
    """The trial ledger as the statistics read it."""

    names: tuple[str, ...]  # of the trials with a series, "study/number"
    minutes: NDArray[np.int64]  # (minutes,), ns UTC, rising
    net: Floats  # (minutes, trials with a series), not a number where a trial has no such minute
    silent: tuple[str, ...]  # trials without a series: failed, pruned, abandoned

    @property
    def trials(self) -> int:
        """All that were begun."""
        return len(self.names) + len(self.silent)


@dataclass(frozen=True, slots=True)
class SearchVerdict:
    """Everything that is asked of the best trial of a search."""

    spa: BestTest
    spa_p: float | None  # SPA's p raised for the silent trials: what a gate compares
    reality_check: BestTest
    step_m: StepTest
    deflated_sharpe: DeflatedSharpe
    overfitting: Overfitting
    trials: int
    silent: int
    verdict: Literal["better", "not shown", "insufficient"]  # SPA with the silent trials, and the deflated Sharpe

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a gate says, a line each."""
        told = (self.spa, self.reality_check, self.step_m, self.deflated_sharpe, self.overfitting)
        raised = "" if self.spa_p is None else f"; SPA's p with them is {self.spa_p:.3g}"
        last = f"{self.silent} of {self.trials} trials left no series{raised}: {self.verdict}"
        return (*(test.sentence for test in told), last)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def trial_table(ledger: Iterable[Mapping[str, Any]]) -> TrialTable:
    """The table of all trials of a ledger (``storage.trials.read_trials``), over every minute that some trial has.

    A minute that a trial does not have, or holds as null or not a number, is missing for it, and never 0: it did not
    stand aside, it was not there. A trial that stands twice, as one does whose abandonment was written down by a
    process that then died, counts once, by its last line.

    Raises DataError if a trial's minutes and profits do not fit together, or a profit is infinite.
    """
    rows = {f"{row.get('study', '')}/{row['number']}": row for row in ledger}
    series = {name: _series(name, row) for name, row in rows.items() if row["minute_net"]}
    minutes = np.unique(np.concatenate([[], *(ts for ts, _ in series.values())]).astype(np.int64))
    net = np.full((minutes.size, len(series)), np.nan)
    for column, (ts, profits) in enumerate(series.values()):
        net[np.searchsorted(minutes, ts), column] = profits
    return TrialTable(tuple(series), minutes, net, tuple(name for name in rows if name not in series))


def _series(name: str, row: Mapping[str, Any]) -> tuple[NDArray[np.int64], Floats]:
    """Minutes and profits of a trial."""
    ts, profits = np.array(row["minute_ts"], np.int64), np.array(row["minute_net"], np.float64)
    if ts.shape != profits.shape or np.unique(ts).size < ts.size:
        raise DataError(
            f"trial {name} has {profits.size} profits for {np.unique(ts).size} minutes: one each is allowed"
        )
    if np.isinf(profits).any():
        raise DataError(f"trial {name} has an infinite profit in minute {ts[np.isinf(profits)][0]}")
    return ts, profits


def judge_search(
    table: TrialTable,
    horizon: float,
    holding: float,
    generator: np.random.Generator,
    *,
    benchmark: Floats | None = None,
    draws: int = DRAWS,
    level: float = 0.05,
) -> SearchVerdict:
    """Is the best of all trials better than the benchmark: not trading, or another series of the same minutes?

    Trials without a series cannot stand in the table. They count all the same: the deflated Sharpe takes the best of
    all that were begun, and SPA's p is raised as if each had been as good a draw as those that are there
    (``raised_for``).

    horizon : of the forecast, minutes; holding : of a position, minutes
    benchmark : shape (minutes,), not a number where it is missing; those minutes are then missing for all
    """
    longest = max(horizon, holding)
    net, block = _differences(table, horizon, holding, benchmark)
    drawn = resample(table.names, net, block, generator, draws)
    found = spa(drawn, level)
    p = _raised(found, drawn, table)
    deflated = deflated_best(table, drawn, net, longest, level)
    return SearchVerdict(
        spa=found,
        spa_p=p,
        reality_check=reality_check(drawn, level),
        step_m=step_m(drawn, level),
        deflated_sharpe=deflated,
        overfitting=overfitting(net, block),
        trials=table.trials,
        silent=len(table.silent),
        verdict=_verdict(p, deflated, level),
    )


def raised_for(p: float, heard: int, trials: int) -> float:
    """The p of the best of ``trials`` where only ``heard`` of them could be tested, the others taken to be alike.

    1 - (1 - p)^(trials / heard): that of independent groups, so too high rather than too low where trials are alike.
    Source: Sidak (1967), Rectangular confidence regions for the means of multivariate normal distributions

    >>> round(raised_for(0.01, 10, 30), 4), raised_for(0.01, 10, 10)
    (0.0297, 0.01)
    """
    if not 0 < heard <= trials:
        raise DataError(f"{heard} of {trials} trials were tested")
    return p if heard == trials else -math.expm1(trials / heard * math.log1p(-min(p, 1 - 1e-12)))


def deflated_best(table: TrialTable, drawn: Resamples, net: Floats, holding: float, level: float) -> DeflatedSharpe:
    """Of the trial with the best Sharpe ratio of those that can be judged.

    net : shape (minutes, trials with a series), that ``drawn`` resamples; holding : of a position, minutes
    """
    columns = [net[:, table.names.index(name)] for name in drawn.names]
    present = [column[~np.isnan(column)] for column in columns]
    sharpes = np.array([information_ratio(column) for column in present])
    idle = np.zeros(len(drawn.idle))
    chosen = present[int(np.argmax(sharpes))] if len(sharpes) else np.empty(0)
    return deflated_sharpe(chosen, np.concatenate([sharpes, idle]), table.trials, holding, level)


def spa_over_ledger(
    table: TrialTable, holding: float, generator: np.random.Generator, benchmark: Floats, level: float = 0.05
) -> tuple[float | None, str]:
    """SPA's p of the best of all trials against a benchmark, raised for the silent trials, and the test in words.

    None where nothing can be said. holding : of a position, or the horizon if that is longer, minutes
    benchmark : shape (minutes,), not a number where it is missing
    """
    net, block = _differences(table, holding, holding, benchmark)
    drawn = resample(table.names, net, block, generator)
    found = spa(drawn, level)
    return _raised(found, drawn, table), found.sentence


def deflated_over_ledger(
    table: TrialTable, holding: float, generator: np.random.Generator, level: float = 0.05
) -> DeflatedSharpe:
    """The deflated Sharpe ratio of the best of all trials, those without a series counted."""
    net, block = _differences(table, holding, holding, None)
    return deflated_best(table, resample(table.names, net, block, generator, 99), net, holding, level)


def _differences(table: TrialTable, horizon: float, holding: float, benchmark: Floats | None) -> tuple[Floats, int]:
    """Every trial less the benchmark, and the longest block that one of them needs."""
    net = table.net if benchmark is None else table.net - benchmark[:, None]
    block = max((block_length(column[~np.isnan(column)], horizon, holding) for column in net.T), default=1)
    return net, block


def _raised(found: BestTest, drawn: Resamples, table: TrialTable) -> float | None:
    heard = len(drawn.names) + len(drawn.idle)
    return None if found.p is None else raised_for(found.p, heard, table.trials)


def _verdict(p: float | None, deflated: DeflatedSharpe, level: float) -> Literal["better", "not shown", "insufficient"]:
    if p is None or deflated.p is None:
        return "insufficient"
    return "better" if p <= level and deflated.verdict == "better" else "not shown"
