"""How often label shift cries out on a market that stays as it is, and how soon on one that does not."""

from datetime import date, timedelta
from functools import cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import Figure, print_figures
from market.simulator.fast import fast_rows
from market.simulator.parameters import SimulationParameters, VolatilityParameters
from monitoring.label_shift import DailyCounts, LabelShiftReport, label_shift_report
from monitoring.parameters import LabelShiftParameters

Counts = NDArray[np.int64]

PARAMETERS: Final = LabelShiftParameters(
    min_points=10.0,
    training_quantile=0.99,
    interval=0.95,
    draws=1_000,
    votes=2,
    of_days=3,
    min_rows=200,
    min_day_share=0.5,
    min_training_days=5,
    seed=3,
)
REGIMES: Final = ("trend", "range", "high volatility")  # in the order of the simulator's codes
TRAINING_DAYS: Final = 30
SHORT_TRAINING_DAYS: Final = 10  # what the profile prod trains on
LIVE_DAYS: Final = 60
CHANGE_DAY: Final = 40  # of the live ones, from which on a change is planted
STEP_MS: Final = 10_000
DAY_ROWS: Final = 86_400_000 // STEP_MS
COST_BP: Final = 4.0
FIRST: Final = date(2024, 1, 1)
SEEDS: Final = range(100, 120)
CALM: Final = VolatilityParameters()
RESTLESS: Final = VolatilityParameters(burst_deviation=0.5, burst_halflife_s=21_600.0)  # whole days differ


def main() -> None:
    """Print every figure."""
    print_figures(figures())


def figures() -> list[Figure]:
    """False alarms a day with either length of training, the naive rule's, and the days until a change is found."""
    return [
        *_quiet("30 training days", TRAINING_DAYS, CALM),
        *_quiet("10 training days", SHORT_TRAINING_DAYS, CALM),
        *_quiet("restless, 30 training days", TRAINING_DAYS, RESTLESS),
        *(_found(number, points, CALM) for number in range(3) for points in (20.0, 30.0)),
        *(_found(1, points, RESTLESS) for points in (20.0, 40.0)),
    ]


def _quiet(name: str, training_days: int, volatility: VolatilityParameters) -> list[Figure]:
    reports = [stationary(seed, training_days, volatility) for seed in SEEDS]
    days = LIVE_DAYS * len(SEEDS)
    alarms = 100 * sum(map(alarms_in, reports)) / days
    runs = sum(alarms_in(report) > 0 for report in reports)
    naive = 100 * sum(day.naive_points > PARAMETERS.min_points for r in reports for day in r.days[::3]) / days
    return [
        Figure(f"false alarms, {name}: days", alarms, None, "%", "< 1"),
        Figure(f"false alarms, {name}: runs of 60 days with one", runs, None, f"of {len(SEEDS)}"),
        Figure(f"the naive rule, {name}: days", naive, None, "%"),
    ]


def _found(regime: int, points: float, volatility: VolatilityParameters) -> Figure:
    delays = [delay_of(seed, regime, points, volatility) for seed in SEEDS]
    soon = 100 * float(np.mean([delay is not None and delay <= PARAMETERS.of_days for delay in delays]))
    kind = "restless, " if volatility is RESTLESS else ""
    return Figure(f"{kind}{points:g} points in {REGIMES[regime]}: found within three days", soon, None, "% of runs")


@cache
def simulated(seed: int, volatility: VolatilityParameters = CALM) -> Counts:
    """(days, regimes, classes) of a stationary market whose regimes come and go: ten seconds ahead, at a cost."""
    last = FIRST + timedelta(days=TRAINING_DAYS + LIVE_DAYS - 1)
    market = SimulationParameters(seed=seed, volatility=volatility)
    frame = pl.concat(fast_rows(market, FIRST, last, STEP_MS)).select("mid", "regime")
    mid, regime = frame["mid"].to_numpy(), frame["regime"].to_numpy()
    change_bp = np.append(1e4 * (mid[1:] / mid[:-1] - 1), 0.0)
    kinds = 1 + (change_bp > COST_BP).astype(np.int64) - (change_bp < -COST_BP)
    counts = np.zeros((TRAINING_DAYS + LIVE_DAYS, 3, 3), np.int64)
    np.add.at(counts, (np.arange(mid.size) // DAY_ROWS, regime, kinds), 1)
    return counts


def moved(counts: Counts, regime: int, points: float) -> Counts:
    """The same days, with so many points of one regime's rows turned from no trade to up, as far as there are."""
    shifted = counts.copy()
    turned = np.round(counts[:, regime].sum(axis=1) * points / 100).astype(np.int64)
    turned = np.minimum(turned, counts[:, regime, 1])
    shifted[:, regime, 1] -= turned
    shifted[:, regime, 2] += turned
    return shifted


def judged(live: Counts, training: Counts, parameters: LabelShiftParameters = PARAMETERS) -> LabelShiftReport:
    """The report on live days that follow the training days."""
    return label_shift_report(daily(live, len(training)), daily(training, 0), REGIMES, parameters)


def daily(counts: Counts, first: int) -> DailyCounts:
    """Counts of consecutive dates, the first of them so many days after FIRST."""
    days = tuple(str(FIRST + timedelta(days=first + day)) for day in range(len(counts)))
    return DailyCounts(days, counts, DAY_ROWS)


def stationary(
    seed: int, training_days: int = TRAINING_DAYS, volatility: VolatilityParameters = CALM
) -> LabelShiftReport:
    """Sixty days of a market that goes on as it was."""
    counts = simulated(seed, volatility)
    return judged(counts[TRAINING_DAYS:], counts[TRAINING_DAYS - training_days : TRAINING_DAYS])


def alarms_in(report: LabelShiftReport) -> int:
    """Days on which the verdict of some regime is a shift."""
    return len({day.day for day in report.days if day.verdict == "shift"})


def changed(seed: int, regime: int, points: float, volatility: VolatilityParameters = CALM) -> LabelShiftReport:
    """The same sixty days, with a change of one regime from CHANGE_DAY on."""
    counts = simulated(seed, volatility)
    live = counts[TRAINING_DAYS:].copy()
    live[CHANGE_DAY:] = moved(live[CHANGE_DAY:], regime, points)
    return judged(live, counts[:TRAINING_DAYS])


def delay_of(seed: int, regime: int, points: float, volatility: VolatilityParameters = CALM) -> int | None:
    """Days from the change to the first alarm about its regime, the day of the change counted as one; None: none."""
    since = str(FIRST + timedelta(days=TRAINING_DAYS + CHANGE_DAY))
    report = changed(seed, regime, points, volatility)
    found = [day.day for day in report.days if day.verdict == "shift" and day.regime == REGIMES[regime]]
    after = [day for day in found if day >= since]
    return (date.fromisoformat(after[0]) - date.fromisoformat(since)).days + 1 if after else None


if __name__ == "__main__":
    main()
