"""The runner: rows close by stamps and none is skipped, faults stop it, models are swapped when flat."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from features.catalogue import VALID
from live import desk as desk_module
from live.clock import ReplayClock
from live.connectors.connect import connect
from live.exchange import Replay
from live.exchange_faults import parse_fault
from live.feed import Feed, Subscription
from live.floor import Floor
from live.parity import parity_of
from live.replay import decision_of
from live.runner import CATCH_UP_ROWS, Runner
from live.warmup import warm
from market.errors import JournalError
from market.sources.capture import capture_line
from monitoring.metrics import METRICS
from storage import journal_writer
from storage.journal import CONNECTION, DECISION, FRAME, read_journal
from tests.builders_live import DEADLINE_S, clock_of, in_loop, until, venue, wire_at
from tests.builders_market import COINM_BTC
from tests.builders_runner import (
    ROW,
    SECOND,
    START,
    DrivenFeed,
    HandClock,
    TapeFeed,
    TickingClock,
    close_all,
    drive,
    new_runner,
    quick_plan,
    run_runner,
    synthetic_frames,
    written_journal,
)
from trading.records import LATE_DECISION, ROW_INVALID, SKIPPED, STOOD_DOWN

SPEED = 4.0
AT_ONCE = 1e6  # how fast rows are looked at where the tape sets the clock
UNUSED = {  # in a run without a pushed bundle, on a tape without refusals, outside a process of its own
    "background_task_deaths",
    "hot_age_ms",
    "capped_decisions",
    "halved_decisions",
    "rejects",
    "order_line_up",
    "unsettled_orders",
    "order_events",
    "account_stream_events",
    "venue_clock_offset_ms",
    "venue_clock_readings",
    "model_info",
    "disk_free_bytes",
    "disk_size_bytes",
    "journal_failures",
    "snapshots",
    "ignored_snapshots",
    "untold_rows",
    "untold_batches",
    "outbox_bytes",
    "hot_dropped",
    "skipped_decisions",
    "refused_bundles",
    "refused_requests",
    "refused_starts",
    "deployments",
    "rollbacks",
    "kills",
    "shadow_rows",
}


@pytest.fixture(autouse=True, scope="module")
def compiled() -> None:
    """Kernels compiled before a clock runs."""
    warm(quick_plan())


def started_clock(speed: float = SPEED) -> ReplayClock:
    return ReplayClock(START, time.monotonic_ns(), speed)


def decisions(folder: Path, place: int) -> np.ndarray:
    found = [r for r in read_journal(folder / "journal") if r.kind == DECISION and r.place == place]
    return np.concatenate([decision_of(record.payload).record for record in found])


async def run(runner: Runner, feed: Feed, speed: float = SPEED) -> None:
    await asyncio.wait_for(run_runner(runner, feed, speed, until_end=True), DEADLINE_S)


@in_loop
async def test_every_row_is_decided_once_by_each_desk_and_replays_exactly(tmp_path: Path) -> None:
    frames = synthetic_frames(16.0)
    runner = new_runner(tmp_path, TickingClock())
    await run(runner, DrivenFeed(frames, runner), AT_ONCE)

    for place in (0, 1):
        made = decisions(tmp_path, place)
        assert np.array_equal(np.diff(made["row_ts"]), np.full(made.size - 1, ROW))
        assert np.array_equal(made["decision_id"], np.arange(1, made.size + 1))
        assert (made["infer_ts"] > made["row_ts"]).all()
    journalled = [record.payload for record in read_journal(tmp_path / "journal") if record.kind == FRAME]
    assert journalled == [frame for _, frame in frames]
    assert made.size >= 799
    assert (made["reason"] != SKIPPED).all()
    assert parity_of(tmp_path / "journal", tmp_path).exact


@in_loop
async def test_stopping_cancels_resting_orders_and_leaves_a_whole_journal(tmp_path: Path) -> None:
    runner = new_runner(tmp_path, started_clock())
    probe = runner.desks[1].session
    floor = Floor([runner])
    feeds = {COINM_BTC.name: TapeFeed(synthetic_frames(60.0))}
    running = asyncio.create_task(floor.run(feeds, SPEED, until_end=False))
    async with asyncio.timeout(DEADLINE_S):
        while probe.idle:
            await asyncio.sleep(0.005)
    floor.stop()
    await running

    assert probe.idle
    assert decisions(tmp_path, 1)["reason"][-1] == STOOD_DOWN
    assert parity_of(tmp_path / "journal", tmp_path).exact
    resumed = new_runner(tmp_path)
    assert resumed.desks[1].session.idle
    assert resumed.desks[1].session.position == probe.position
    resumed.journal.close()


@in_loop
async def test_a_fault_of_the_feed_ends_the_run(tmp_path: Path) -> None:
    runner = new_runner(tmp_path, started_clock())
    with pytest.raises(ZeroDivisionError, match="of the feed"):
        await run(runner, TapeFeed(synthetic_frames(0.5), ZeroDivisionError("of the feed")))
    assert list(read_journal(tmp_path / "journal"))


@in_loop
async def test_a_fault_of_a_desk_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise FloatingPointError("in a desk")

    runner = new_runner(tmp_path, started_clock())
    monkeypatch.setattr(desk_module, "close_row", fail)
    with pytest.raises(FloatingPointError, match="in a desk"):
        await run(runner, TapeFeed(synthetic_frames(2.0)))


@in_loop
async def test_a_full_disk_ends_the_run_and_sends_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes, real=journal_writer.os.write) -> int:
        if len(written) > 120 and runner.desks[1].gateway.orders.size:
            raise OSError(28, "No space left on device")
        written.append(real(descriptor, data))
        return written[-1]

    written: list[int] = []
    runner = new_runner(tmp_path, TickingClock())
    monkeypatch.setattr(journal_writer.os, "write", full)
    with pytest.raises(JournalError, match="cannot write the journal in .*: No space left on device"):
        await run(runner, DrivenFeed(synthetic_frames(10.0), runner), AT_ONCE)
    monkeypatch.undo()
    assert runner.meters.value("journal_failures_total") == 1

    sent = [
        intent
        for r in read_journal(tmp_path / "journal")
        if r.kind == DECISION
        for intent in decision_of(r.payload).intents
    ]
    known = {int(order["order_id"]) for order in runner.desks[1].gateway.orders}
    assert known <= {int(intent["order_id"]) for intent in sent}
    assert len(sent) > 0
    resumed = new_runner(tmp_path)
    assert resumed.resumed > 50
    resumed.journal.close()


def test_rows_of_a_pause_are_closed_in_order_and_decided_late(tmp_path: Path) -> None:
    frames = synthetic_frames(6.0)
    written_journal(tmp_path, 6.0)
    clock = HandClock(frames[-1][0] + 10 * SECOND)
    runner = new_runner(tmp_path, clock)
    assert runner.resumed > 500
    before = decisions(tmp_path, 1).size

    assert runner.close_due() == CATCH_UP_ROWS
    close_all(runner)
    runner.journal.close()
    made = decisions(tmp_path, 1)
    assert np.array_equal(np.diff(made["row_ts"]), np.full(made.size - 1, ROW))
    missed = made[before:]
    late_ms = (missed["infer_ts"] - missed["row_ts"]) / 1e6
    assert missed.size == pytest.approx(500, abs=2)
    idle = missed["orders"] == 0
    assert np.array_equal(missed["reason"][idle] == SKIPPED, late_ms[idle] > 1_000.0)
    assert missed["reason"][-1] == ROW_INVALID  # the newest is decided: the feed has long been silent
    assert missed["orders"].sum() <= 2  # cancels
    assert runner.meters.value("skipped_decisions_total", desk="probe") == (missed["reason"] == SKIPPED).sum() > 400
    assert parity_of(tmp_path / "journal", tmp_path).exact


def test_a_row_out_of_time_takes_back_what_rests_before_others_are_skipped(tmp_path: Path) -> None:
    runner, frames = new_runner(tmp_path), iter(synthetic_frames(6.0))
    probe = runner.desks[1]
    runner.on_connection(True, START)
    while not probe.resting:
        drive(runner, [next(frames)])
    before = decisions(tmp_path, 1).size
    assert isinstance(runner.clock, HandClock)
    runner.clock.ns += 10 * SECOND
    assert runner.close_due() == CATCH_UP_ROWS
    late = decisions(tmp_path, 1)[before:]
    assert late["orders"][0] > 0
    assert late["reason"][0] == LATE_DECISION
    assert np.array_equal(late["reason"] == SKIPPED, late["orders"] == 0)
    assert not probe.resting
    runner.journal.close()
    assert parity_of(tmp_path / "journal", tmp_path).exact


def test_a_desk_that_stands_down_late_decides_every_row_and_skips_none(tmp_path: Path) -> None:
    runner, frames = new_runner(tmp_path), iter(synthetic_frames(6.0))
    runner.on_connection(True, START)
    while not runner.desks[1].resting:
        drive(runner, [next(frames)])
    before = decisions(tmp_path, 1).size
    assert isinstance(runner.clock, HandClock)
    runner.stop()
    runner.clock.ns += 10 * SECOND
    assert runner.close_due() == CATCH_UP_ROWS
    assert set(decisions(tmp_path, 1)["reason"][before:].tolist()) == {STOOD_DOWN}
    runner.journal.close()


def test_a_restart_notes_the_loss_and_waits_for_a_snapshot(tmp_path: Path) -> None:
    frames = synthetic_frames(6.0)
    runner = new_runner(tmp_path)
    drive(runner, frames[: len(frames) // 2])
    runner.journal.close()
    runner = new_runner(tmp_path, runner.clock)
    assert runner.needs_snapshot()
    drive(runner, frames[len(frames) // 2 :])
    runner.journal.close()
    records = list(read_journal(tmp_path / "journal"))
    assert [r.payload for r in records if r.kind == CONNECTION] == [b"\x00"]
    assert decisions(tmp_path, 1)["reason"][-1] == ROW_INVALID
    assert parity_of(tmp_path / "journal", tmp_path).exact


def test_a_journal_of_frames_alone_is_resumed_too(tmp_path: Path) -> None:
    runner = new_runner(tmp_path)
    for ts, frame in synthetic_frames(6.0)[:2]:
        runner.on_frame(frame, ts)
    runner.journal.close()
    runner = new_runner(tmp_path)
    assert runner.resumed == 0
    assert runner.needs_snapshot()
    assert runner.next_row_ts == START
    runner.journal.close()


def test_frames_are_in_the_journal_before_a_desk_acts_on_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, seen = new_runner(tmp_path), 0

    def check(gateway: object, intents: np.ndarray) -> None:
        nonlocal seen
        if not intents.size:
            return
        records = list(read_journal(tmp_path / "journal"))
        made = [decision_of(record.payload) for record in records if record.kind == DECISION and record.place == 1]
        assert made[-1].intents.tobytes() == intents.tobytes()
        newest = max(record.ts for record in records if record.kind == FRAME)
        assert newest >= made[-1].record["ingest_ts"][0]
        seen += 1

    monkeypatch.setattr("trading.session.send", check)
    drive(runner, synthetic_frames(6.0))
    runner.journal.close()
    assert seen >= 1


def test_a_row_stays_open_up_to_its_very_stamp(tmp_path: Path) -> None:
    runner, frames = new_runner(tmp_path), synthetic_frames(1.0)
    drive(runner, frames[: len(frames) // 2])
    clock, row_ts = runner.clock, runner.next_row_ts
    assert isinstance(clock, HandClock)
    clock.ns = row_ts
    assert runner.close_due() == 0
    runner.on_frame(next(frame for _, frame in frames[len(frames) // 2 :] if b"bookTicker" in frame), row_ts)
    assert runner.close_due() == 0
    clock.ns += 1
    assert runner.close_due() == 1
    runner.journal.close()
    newest = decisions(tmp_path, 1)[-1]
    assert (newest["row_ts"], newest["ingest_ts"]) == (row_ts, row_ts)
    replayed = new_runner(tmp_path)  # refuses a journal that comes out differently
    replayed.journal.close()


def test_no_decision_is_made_before_its_frames_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, frames, seen = new_runner(tmp_path), synthetic_frames(1.0), 0
    for session in (desk.session for desk in runner.desks):

        def decide(row_ts: int, *rest: object, real=session.decide) -> object:
            nonlocal seen
            on_disk = [record.payload for record in read_journal(tmp_path / "journal") if record.kind == FRAME]
            assert on_disk == [frame for ts, frame in frames if ts <= row_ts]
            seen += 1
            return real(row_ts, *rest)

        monkeypatch.setattr(session, "decide", decide)
    drive(runner, frames)
    runner.journal.close()
    assert seen > 50


def test_a_clock_that_steps_back_stamps_nothing_inside_a_closed_row(tmp_path: Path) -> None:
    runner, frames = new_runner(tmp_path), synthetic_frames(1.0)
    drive(runner, frames)
    clock, row_ts = runner.clock, runner.next_row_ts
    assert isinstance(clock, HandClock)
    clock.ns = row_ts + 1
    assert runner.close_due() == 1
    clock.ns -= SECOND
    assert runner.stamps.now() == row_ts + 1
    runner.on_frame(frames[-1][1], runner.stamps.now())
    assert runner.close_due() == 0
    runner.journal.close()

    resumed = new_runner(tmp_path, clock)
    assert resumed.stamps.now() == row_ts + 1
    resumed.journal.close()
    assert [r.ts for r in read_journal(tmp_path / "journal") if r.kind == CONNECTION] == [row_ts + 1]


@in_loop
async def test_faults_of_the_line_are_counted_and_survived(tmp_path: Path) -> None:
    path = tmp_path / "tape.txt"
    path.write_bytes(b"".join(capture_line(ts, frame) for ts, frame in synthetic_frames(60.0)))
    faults = [parse_fault(text) for text in ("malformed:2.5", "gap:3.5", "disconnect:4.5", "stall:6:0.5")]
    replay = Replay([path], start=str(START + SECOND // 2), speed=SPEED / 2, faults=faults)
    async with venue(replay) as exchange:
        runner = new_runner(tmp_path, clock_of(exchange))
        meters, probe = runner.meters, runner.desks[1].session
        subscription = Subscription(COINM_BTC, runner.needs_snapshot)
        feeds = connect([subscription], wire_at(exchange.ports), np.random.default_rng(1), until_end=True)
        floor = Floor([runner])
        running = asyncio.create_task(floor.run(feeds, SPEED / 2, until_end=True))

        def recovered() -> bool:
            fills, orders = (meters.value(f"{name}_total", desk="probe") or 0 for name in ("fills", "orders"))
            later = runner.next_row_ts > START + 8 * SECOND
            return running.done() or bool(later and probe.row.status == VALID and 3 < fills < orders)

        await until(recovered)
        floor.stop()
        await running

    made = decisions(tmp_path, 1)
    assert meters.value("malformed_frames_total") == 1
    assert meters.value("disconnects_total") >= 1  # the fault, and the end if it came
    assert 0 < meters.value("ws_gap_ratio") < 0.01
    assert 0 < meters.value("trade_fill_ratio", desk="probe") <= 1
    assert meters.value("fills_total", desk="probe") > 3
    assert meters.value("orders_total", desk="probe") > meters.value("fills_total", desk="probe")
    assert meters.value("max_dd", desk="probe") > 0
    assert meters.value("ingest_lag_ms_count") > 1_000
    assert meters.value("infer_ms_count", desk="model") == meters.value("batch_to_decision_ms_count", desk="model")
    shown = {family.name for family in text_string_to_metric_families(meters.text().decode()) if family.samples}
    assert {metric.name for metric in METRICS} - shown <= UNUSED
    assert shown <= {metric.name for metric in METRICS}
    lost = min(r.ts for r in read_journal(tmp_path / "journal") if r.kind == CONNECTION and r.payload == b"\x00")
    behind = made[made["row_ts"] > lost]
    assert lost > START + 4.5 * SECOND
    assert behind["best_bid"][0] == 0
    assert behind["best_bid"].max() > 0
    assert parity_of(tmp_path / "journal", tmp_path).exact


def test_a_journal_of_another_configuration_is_refused(tmp_path: Path) -> None:
    written_journal(tmp_path, 1.0)
    plan = replace(quick_plan(), config_sha="f" * 64)
    with pytest.raises(JournalError, match="was written under another plan; move it away to start anew"):
        new_runner(tmp_path, plan=plan)
