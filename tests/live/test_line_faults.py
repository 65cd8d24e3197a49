"""What may befall the line or the clock while desks trade: no frame or row is lost, no order is beyond the caps."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from live.parity import parity_of
from live.plan import LivePlan
from live.replay import decision_of
from live.runner import Runner
from storage.journal import DECISION, FRAME, read_journal
from tests.builders_runner import (
    ROW,
    SECOND,
    START,
    Frames,
    HandClock,
    close_all,
    new_runner,
    quick_plan,
    synthetic_frames,
)
from trading import account as own
from trading.decisions import Decision
from trading.records import LATE_DECISION, PLACE, SKIPPED

CAP_LOTS: Final = 20  # 2,000 USD of contracts of 100
SECONDS: Final = 8.0
FAULT: Final = START + 5 * SECOND


def capped_plan() -> LivePlan:
    """The probe alone, on paper, under a cap that it comes to."""
    plan = quick_plan()
    trading = replace(plan.trading, risk=replace(plan.trading.risk, max_position_usd=2_000.0))
    return replace(plan, desks=("probe",), trading=trading)


def gap(frames: Frames) -> Frames:
    """One depth message is missing."""
    place = next(i for i, (ts, frame) in enumerate(frames) if ts > FAULT and b"depthUpdate" in frame)
    return frames[:place] + frames[place + 1 :]


def duplicate(frames: Frames) -> Frames:
    """Everything comes twice for a second."""
    return [pair for pair in frames for _ in range(2 if FAULT < pair[0] < FAULT + SECOND else 1)]


def reorder(frames: Frames) -> Frames:
    """Two depth messages change places; stamps are of their arrival."""
    first, second = [i for i, (ts, frame) in enumerate(frames) if ts > FAULT and b"depthUpdate" in frame][:2]
    swapped = list(frames)
    swapped[first], swapped[second] = (frames[first][0], frames[second][1]), (frames[second][0], frames[first][1])
    return swapped


def stall(frames: Frames) -> Frames:
    """Nothing for two seconds, then all at once."""
    end = FAULT + 2 * SECOND
    return [(end if FAULT < ts < end else ts, frame) for ts, frame in frames]


def step(seconds: float) -> Callable[[Frames], Frames]:
    """Our clock is set by so much."""
    return lambda frames: [(ts + round(seconds * SECOND) * (ts > FAULT), frame) for ts, frame in frames]


def worst_lots(runner: Runner) -> int:
    """The larger of both sides, if everything that works there were filled."""
    orders, integers, _ = runner.desks[0].session.account
    working = orders[orders[:, own.STATE] != own.FREE]
    held = int(integers[own.POSITION])
    longest = held + int(working[working[:, own.SIDE] > 0, own.LEAVES].sum())
    shortest = held - int(working[working[:, own.SIDE] < 0, own.LEAVES].sum())
    return max(longest, -shortest)


def traded(runner: Runner, frames: Iterable[tuple[int, bytes]], held_up: tuple[int, int] = (0, 0)) -> list[int]:
    """Follow a tape, not closing a row between two instants; what the desk risked at its worst after each frame."""
    clock, worst = runner.clock, []
    assert isinstance(clock, HandClock)
    for ts, frame in frames:
        clock.ns = ts
        if not held_up[0] < ts < held_up[1]:
            close_all(runner)
        runner.on_frame(frame, runner.stamps.now())
        worst.append(worst_lots(runner))
    close_all(runner)
    runner.close()
    return worst


def require_nothing_lost(folder: Path, sent: list[bytes]) -> list[Decision]:
    """Every frame stands in the journal, every row was decided once and comes out again; the decisions."""
    records = list(read_journal(folder / "journal"))
    assert [record.payload for record in records if record.kind == FRAME] == sent
    decisions = [decision_of(record.payload) for record in records if record.kind == DECISION]
    rows = [int(decision.record["row_ts"][0]) for decision in decisions]
    assert set(np.diff(rows).tolist()) == {ROW}
    placed = [intent for decision in decisions for intent in decision.intents if intent["verb"] == PLACE]
    assert len({int(intent["order_id"]) for intent in placed}) == len(placed) > 10
    assert parity_of(folder / "journal", folder / "bundles").exact
    return decisions


@pytest.mark.parametrize(
    ("fault", "gaps"),
    [(gap, 1), (duplicate, 0), (reorder, 1), (stall, 0), (step(3.0), 0), (step(-3.0), 0)],
    ids=["gap", "duplicate", "reorder", "stall", "forward", "back"],
)
def test_no_fault_of_line_or_clock_loses_anything_or_trades_beyond_the_caps(
    tmp_path: Path, fault: Callable[[Frames], Frames], gaps: int
) -> None:
    frames = fault(synthetic_frames(SECONDS))
    assert frames != synthetic_frames(SECONDS)
    runner = new_runner(tmp_path, plan=capped_plan())
    runner.on_connection(True, START)
    worst = traded(runner, frames)
    require_nothing_lost(tmp_path, [frame for _, frame in frames])
    assert runner.meters.value("gaps_total") == gaps
    assert CAP_LOTS // 2 < max(worst) <= CAP_LOTS


def test_a_line_that_is_lost_while_orders_rest_takes_them_back(tmp_path: Path) -> None:
    frames = synthetic_frames(SECONDS)
    place = next(i for i, (ts, _) in enumerate(frames) if ts > FAULT)
    runner = new_runner(tmp_path, plan=capped_plan())
    runner.on_connection(True, START)
    clock, later = runner.clock, frames[place:]
    assert isinstance(clock, HandClock)
    for ts, frame in frames[:place]:
        clock.ns = ts
        close_all(runner)
        runner.on_frame(frame, ts)
    runner.on_connection(False, clock.ns)
    worst = traded(runner, later)
    require_nothing_lost(tmp_path, [frame for _, frame in frames])
    assert runner.idle
    assert max(worst) <= CAP_LOTS


def test_a_consumer_that_is_too_slow_skips_decisions_and_no_row(tmp_path: Path) -> None:
    frames = synthetic_frames(SECONDS)
    plan = capped_plan()
    routing = replace(plan.trading.routing, max_decision_lag_ms=50.0)
    runner = new_runner(tmp_path, plan=replace(plan, trading=replace(plan.trading, routing=routing)))
    runner.on_connection(True, START)
    worst = traded(runner, frames, (FAULT, FAULT + 2 * SECOND))
    decisions = require_nothing_lost(tmp_path, [frame for _, frame in frames])
    late = [d for d in decisions if int(d.record["infer_ts"][0] - d.record["row_ts"][0]) > 50_000_000]
    assert len(late) > 90  # of two seconds
    assert {int(d.record["reason"][0]) for d in late} & {SKIPPED, LATE_DECISION}
    assert not any(PLACE in d.intents["verb"] for d in late)
    assert 0 < max(worst) <= CAP_LOTS
