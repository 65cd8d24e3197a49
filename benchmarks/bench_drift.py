"""How often the monitors ask for a model on months that stay as they are, and how soon on those that change."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from benchmarks.bench_label_shift import PARAMETERS as LABEL_SHIFT
from benchmarks.drifting_months import (
    DAILY_IR,
    FEATURES,
    FIRST_NS,
    LIVE_DAYS,
    REGIMES,
    SAMPLE_S,
    TRAINING_DAYS,
    Change,
    Market,
    as_known,
    executions_of,
    features_of,
    labels_of,
    profits_of,
)
from benchmarks.harness import Figure, print_figures
from monitoring.distances import effective_p
from monitoring.drift import DAY_NS, NS_PER_S, Reference, WindowReport, elected, judged_window
from monitoring.execution_drift import DayExecution, ExecutionReport, execution_report
from monitoring.ir_decay import ir_report
from monitoring.label_shift import label_shift_report
from monitoring.parameters import (
    DriftParameters,
    ExecutionDriftParameters,
    IrDecayParameters,
    RetrainingParameters,
)
from monitoring.retraining import Request, reason_to_wait

Days = list[float]  # at which a monitor gives a reason, live days since the start, rising

DRIFT: Final = DriftParameters(
    level=0.01,
    min_shift=0.1,
    tolerance=0.25,
    day_parts=24,
    sample_ms=SAMPLE_S * 1_000,
    block_times=5.0,
    min_blocks=10,
    min_judged=0.5,
    window_s=21_600.0,
    votes=2,
    of_windows=3,
    reference_s=864_000.0,
    page_rows=1_000,
    seed=17,
)
LABELS: Final = replace(LABEL_SHIFT, seed=19)
IR: Final = IrDecayParameters(
    window_days=30, min_days=20, max_decline=0.3, interval=0.95, draws=500, min_minutes=1_000, seed=23
)
EXECUTION: Final = ExecutionDriftParameters(
    latency_ratio=1.25, fill_points=10.0, cost_bp=0.5, min_hours=12, votes=2, of_days=3
)
RETRAINING: Final = RetrainingParameters(cooldown_s=604_800.0, most_per_day=2)

WINDOWS_A_DAY: Final = 4
CHANGE_DAY: Final = 5  # of the live ones
IR_CHANGE_DAY: Final = 30  # when a whole month of profits is known
STATIONARY_SEEDS: Final = range(20)
PLANTED_SEEDS: Final = range(40)
HALVED_SEEDS: Final = range(10)
PLANTED: Final = {  # name -> change, days until it has to be found; docs/drift.md stated both before the first run
    "drift": (Change(CHANGE_DAY, feature=1.0), 1.0),
    "label_shift": (Change(CHANGE_DAY, label_points=20.0), 3.0),
    "paid cost": (Change(CHANGE_DAY, cost_bp=1.0), 3.0),
    "latency": (Change(CHANGE_DAY, latency=1.5), 3.0),
    "fill ratio": (Change(CHANGE_DAY, fill_points=20.0), 3.0),
    "ir_decay": (Change(IR_CHANGE_DAY, daily_ir=DAILY_IR / 4), 25.0),
}


def main() -> None:
    """Print every figure."""
    print_figures(figures())


def figures() -> list[Figure]:
    """False requests in stationary months, and the changes found in time, each of the forty seeds."""
    months = [alarms(seed) for seed in STATIONARY_SEEDS]
    asked = sum(len(requests(month)) for month in months)
    found = [Figure(f"false requests, {len(months)} stationary months", asked, None, "requests", "<= 20")]
    for cause in CAUSES:
        days = sum(len({int(day) for day in month[cause]}) for month in months)
        found.append(Figure(f"days with a false reason, {cause}", days, None, f"of {len(months) * LIVE_DAYS}"))
    found += window_figures()
    for name, (change, delay) in PLANTED.items():
        late = [delay_of(name, seed) for seed in PLANTED_SEEDS]
        found.append(Figure(f"{name} found within {delay:g} days", timely(late, delay), None, "of 40 seeds", ">= 36"))
        known = [day for day in late if day is not None]
        found.append(Figure(f"{name}, median delay", float(np.median(known)), None, "days"))
        late = [delay_of(name, seed, halved(change)) for seed in HALVED_SEEDS]
        found.append(Figure(f"{name}, half the effect", timely(late, delay), None, f"of {len(HALVED_SEEDS)} seeds"))
    return found


def window_figures() -> list[Figure]:
    """Of the stationary months' windows: how many a feature drifts in, and what the plain test would have said."""
    windows = [window for seed in STATIONARY_SEEDS for window in windows_of(seed, Change(), 0, LIVE_DAYS)]
    features = [feature for window in windows for feature in window.features]
    day = DAY_NS / (SAMPLE_S * NS_PER_S)
    plain = sum(effective_p(feature.ks, day / WINDOWS_A_DAY, day * TRAINING_DAYS) < 0.01 for feature in features)
    return [
        Figure("windows with a false feature", sum(w.verdict == "drift" for w in windows), None, f"of {len(windows)}"),
        Figure("features judged", sum(f.p is not None for f in features), None, f"of {len(features)}"),
        Figure("features that plain KS at 1 % rejects", plain, None, f"of {len(features)}"),
    ]


def timely(late: list[float | None], delay: float) -> int:
    """How many were found within a delay, days."""
    return sum(day is not None and day <= delay for day in late)


def halved(change: Change) -> Change:
    """A change of half the effect."""
    return replace(
        change,
        feature=change.feature / 2,
        label_points=change.label_points / 2,
        cost_bp=change.cost_bp / 2,
        latency=1 + (change.latency - 1) / 2,
        fill_points=change.fill_points / 2,
        daily_ir=(DAILY_IR + change.daily_ir) / 2,
    )


def alarms(seed: int) -> dict[str, Days]:
    """When each monitor would have given a reason in a stationary month."""
    return {cause: found(seed, Change(), 0, LIVE_DAYS) for cause, found in CAUSES.items()}


def requests(month: dict[str, Days]) -> list[Request]:
    """The models that would have been asked for, by the rule that all causes share."""
    asked = list[Request]()
    for day, cause in sorted((day, cause) for cause, days in month.items() for day in days):
        if reason_to_wait(cause, day * 86_400, asked, RETRAINING) is None:
            asked.append(Request(cause, day * 86_400))
    return asked


def delay_of(name: str, seed: int, other: Change | None = None) -> float | None:
    """Days from a change to the first reason after it; None: none within the delay that was stated."""
    change, delay = (other or PLANTED[name][0]), PLANTED[name][1]
    found = CAUSES[CAUSE_OF.get(name, name)](seed, change, change.day, change.day + int(np.ceil(delay)))
    return min((day - change.day for day in found if day > change.day), default=None)


def drift_days(seed: int, change: Change, first: int, last: int) -> Days:
    """Ends of windows after which some feature stands drifted, between two live days."""
    windows = windows_of(seed, change, first, last)
    start = FIRST_NS + TRAINING_DAYS * DAY_NS
    newest = [windows[max(0, place - 2) : place + 1] for place in range(len(windows))]
    return [(three[-1].end_ts - start) / DAY_NS for three in newest if elected(three, DRIFT)]


@cache
def windows_of(seed: int, change: Change, first: int, last: int) -> tuple[WindowReport, ...]:
    """Every window between two live days, and the two before, which have votes in the first."""
    live, training = features_of(Market(seed, TRAINING_DAYS + LIVE_DAYS), change)
    reference = Reference(training, len(REGIMES), DRIFT)
    start, span = FIRST_NS + TRAINING_DAYS * DAY_NS, DAY_NS // WINDOWS_A_DAY
    numbers = range(max(0, first * WINDOWS_A_DAY - 2), last * WINDOWS_A_DAY)
    return tuple(judged_window(FEATURES, live, start + number * span, reference) for number in numbers)


def label_days(seed: int, change: Change, first: int, last: int) -> Days:
    """Days after which some regime's classes stand shifted."""
    live, training = labels_of(Market(seed, TRAINING_DAYS + LIVE_DAYS), change)
    report = label_shift_report(live, training, REGIMES, LABELS)
    shifted = {report.days[place].day for place in range(len(report.days)) if report.days[place].verdict == "shift"}
    return [day + 1.0 for day, name in enumerate(live.days) if name in shifted and first <= day < last]


def execution_days(seed: int, change: Change, first: int, last: int) -> Days:
    """Days after which some measure of execution stands off."""
    report = execution_report(executions_of(Market(seed, TRAINING_DAYS + LIVE_DAYS), change), EXECUTION)
    return [day + 1.0 for day in range(first, last) if _off(report, day)]


def ir_days(seed: int, change: Change, first: int, last: int) -> Days:
    """Days after which the IR stands decayed."""
    days = max(LIVE_DAYS, last)
    live, base = profits_of(Market(seed, TRAINING_DAYS + days), change)
    known = list(enumerate(as_known(live), 1))[first:last]
    return [float(day) for day, past in known if ir_report(past, base, IR).verdict == "decay"]


def _off(report: ExecutionReport, day: int) -> bool:
    """Whether the days up to one have enough of a measure off the same way."""
    return any(_votes(days[max(0, day - EXECUTION.of_days + 1) : day + 1]) for days in _by_measure(report))


def _by_measure(report: ExecutionReport) -> list[list[DayExecution]]:
    return [[day for day in report.days if day.measure == said.measure] for said in report.measures]


def _votes(newest: list[DayExecution]) -> bool:
    return max(sum(day.off == way for day in newest) for way in (1, -1)) >= EXECUTION.votes


CAUSES: Final[dict[str, Callable[[int, Change, int, int], Days]]] = {
    "drift": drift_days,
    "label_shift": label_days,
    "execution_drift": execution_days,
    "ir_decay": ir_days,
}
CAUSE_OF: Final = {"paid cost": "execution_drift", "latency": "execution_drift", "fill ratio": "execution_drift"}

if __name__ == "__main__":
    main()
