"""A disk that takes no more: nothing is sent without its record, what rests is taken back, and the process says why."""

import asyncio
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live.clock import ReplayClock
from live.floor import Floor
from live.replay import decision_of
from live.runner import Runner
from live.warmup import warm
from market.errors import JournalError
from storage import journal_writer
from storage.journal import DECISION, read_journal
from tests.builders_live import DEADLINE_S, in_loop
from tests.builders_runner import START, TapeFeed, new_runner, quick_plan, run_runner, synthetic_frames
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
