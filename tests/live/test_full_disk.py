"""A disk that takes no more: nothing is sent without its record, what rests is taken back, and the process says why."""

import asyncio
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import floor as floor_module
from live.clock import ReplayClock
from live.floor import Floor
from live.replay import decision_of
from live.runner import Runner
from live.warmup import warm
from market.errors import JournalError
from storage import journal_writer
from storage.journal import DECISION, read_journal
from tests.builders_exchange import exchange_plan, gateway_of
from tests.builders_live import DEADLINE_S, in_loop
from tests.builders_runner import START, TapeFeed, named, new_runner, quick_plan, run_runner, synthetic_frames
from trading import account as own
from trading.records import PLACE

SPEED = 4.0


@pytest.fixture(autouse=True, scope="module")
def compiled() -> None:
    """Kernels compiled before a clock runs."""
    warm(quick_plan())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of sixteen megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        reason = "a small file system cannot be mounted here; run as root with the capability to mount"
        assert not os.environ.get("TICKLOOP_REQUIRE_SERVICES") or os.geteuid(), mounted.stderr
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take all that the file system of ``path`` has left."""
    left = os.statvfs(path.parent)
    path.write_bytes(bytes(left.f_bavail * left.f_frsize))


def sent_and_known(runner: Runner, folder: Path) -> tuple[set[int], set[int]]:
    """Orders that the journal holds, and orders that the venue was sent."""
    intents = [i for r in read_journal(folder) if r.kind == DECISION for i in decision_of(r.payload).intents]
    written = {int(i["order_id"]) for i in intents if i["verb"] == PLACE}
    return written, {int(order["order_id"]) for desk in runner.desks[1:2] for order in desk.gateway.orders}


@in_loop
async def test_a_small_file_system_that_fills_up_ends_the_trade_in_one_line(small_disk: Path) -> None:
    runner = new_runner(small_disk, ReplayClock(START, time.monotonic_ns(), SPEED))
    running = asyncio.create_task(run_runner(runner, TapeFeed(synthetic_frames(60.0)), SPEED, until_end=False))
    async with asyncio.timeout(DEADLINE_S):
        while not len(runner.desks[1].gateway.orders):
            await asyncio.sleep(0.001)
    fill(small_disk / "others")
    with pytest.raises(JournalError, match="cannot write the journal in .*: No space left on device"):
        await asyncio.wait_for(running, DEADLINE_S)
    assert runner.meters.value("journal_failures_total") == 1
    (small_disk / "journal").rename(small_disk / "kept")
    written, known = sent_and_known(runner, small_disk / "kept")
    assert known <= written
    assert written


@in_loop
async def test_resting_orders_are_taken_back_though_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    runner = new_runner(tmp_path, ReplayClock(START, time.monotonic_ns(), SPEED))
    probe, cancelled = runner.desks[1], []
    floor = Floor([runner])
    feeds = {runner.plan.instrument.name: TapeFeed(synthetic_frames(60.0))}
    running = asyncio.create_task(floor.run(feeds, SPEED, until_end=False))
    async with asyncio.timeout(DEADLINE_S):
        while probe.session.idle:
            await asyncio.sleep(0.001)
    working = {int(row[0]) for row in probe.session.account[0] if row[4]}
    cancel = probe.gateway.cancel
    monkeypatch.setattr(
        probe.gateway, "cancel", lambda order_id, ts: (cancelled.append(order_id), cancel(order_id, ts))
    )
    monkeypatch.setattr(journal_writer.os, "write", full)
    with pytest.raises(JournalError, match="No space left on device"):
        await asyncio.wait_for(running, DEADLINE_S)
    monkeypatch.undo()
    written, known = sent_and_known(runner, tmp_path / "journal")
    assert working <= set(cancelled)
    assert known <= written


def two_at_an_exchange(folder: Path) -> Floor:
    """Two symbols whose orders a gateway remembers that has not been opened."""
    clock = ReplayClock(START, time.monotonic_ns(), SPEED)
    return Floor([new_runner(folder / name, clock, named(exchange_plan(), name)) for name in ("first", "second")])


def unwritten(runner: Runner) -> set[int]:
    """Orders that the desk holds and its gateway was never given."""
    orders, gateway = runner.desks[0].session.account[0], gateway_of(runner)
    held = set(orders[orders[:, own.STATE] != own.FREE, own.ORDER_ID].tolist())
    return held - {life.order_id for life in gateway.alive}


@in_loop
async def test_an_order_that_could_not_be_written_down_keeps_no_symbol_from_failing_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor, write = two_at_an_exchange(tmp_path), os.write
    first, second = floor.runners

    def full(descriptor: int, data: bytes) -> int:
        if unwritten(first):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    taken_back = list[int]()
    monkeypatch.setattr(floor_module, "STAND_DOWN_S", 0.05)
    monkeypatch.setattr(journal_writer.os, "write", full)
    monkeypatch.setattr(second.desks[0], "cancel_unrecorded", taken_back.append)
    feeds = {runner.plan.instrument.name: TapeFeed(synthetic_frames(60.0)) for runner in floor.runners}
    with pytest.raises(JournalError, match="No space left on device"):
        await asyncio.wait_for(floor.run(feeds, SPEED, until_end=False), DEADLINE_S)
    assert unwritten(first)
    assert len(taken_back) == 1


@in_loop
async def test_a_symbol_that_cannot_fail_closed_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(ts: int) -> None:
        raise RuntimeError("a fault of ours")

    floor = two_at_an_exchange(tmp_path)
    taken_back = list[int]()
    monkeypatch.setattr(floor.runners[0].desks[0], "cancel_unrecorded", broken)
    monkeypatch.setattr(floor.runners[1].desks[0], "cancel_unrecorded", taken_back.append)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        await floor._fail_closed()
    assert len(taken_back) == 1
    floor._close_journals()
