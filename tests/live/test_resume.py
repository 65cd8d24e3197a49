"""A restart from a snapshot: the same state as a replay of the whole journal, bit for bit, whatever lies in its way."""

import asyncio
import errno
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.venue import SimulatedVenue
from live import keeping
from live import runner as runner_module
from live.parity import parity_of
from live.plan import plan_from, strategy_of
from live.resume import playback_since, resumed
from live.runner import Runner
from storage.journal import DECISION, read_headers, read_journal, segments
from storage.snapshots import SUFFIX, position_of, read_snapshot, snapshots, write_snapshot
from tests.builders_live import DEADLINE_S, in_loop
from tests.builders_runner import (
    START,
    HandClock,
    drive,
    new_runner,
    quick_plan,
    synthetic_frames,
    write_band_bundle,
)
from trading import account as own

SECONDS = 8.0
APART = {"meters", "clock", "stamps", "journal", "_keeper", "_figures", "line", "_models", "_shadow", "_started"}
APART |= {"_note", "_rehearsal", "_way", "replayed", "row"}  # how it came about, and what the next row replaces
APART |= {"_best", "_scanned", "_topics"}  # what a decoder writes before it reads, and names that it has split before
APART |= {"_scratch", "_scanned_bytes", "_block", "_block_bytes"}


def differences(one: Any, other: Any, path: str, seen: set[int]) -> list[str]:
    """Where two objects differ, down to the last bit of their arrays; nothing that belongs to the process counts."""
    if callable(one) or type(one).__module__.startswith("msgspec"):
        return []
    if isinstance(one, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        return [] if same else [path]
    if isinstance(one, SimulatedVenue):  # its tables have room to spare, whose content nobody reads
        return differences(one.dump(), other.dump(), path, seen)
    if isinstance(one, Mapping):
        keys = [] if one.keys() == other.keys() else [f"{path}: keys"]
        return keys + [line for key in one for line in differences(one[key], other[key], f"{path}[{key}]", seen)]
    if isinstance(one, (list, tuple, deque)):
        if len(one) != len(other):
            return [f"{path}: {len(one)} and {len(other)}"]
        pairs = enumerate(zip(one, other, strict=True))
        return [line for place, pair in pairs for line in differences(*pair, f"{path}[{place}]", seen)]
    if not hasattr(one, "__dict__"):
        return [] if repr(one) == repr(other) else [f"{path}: {one!r} and {other!r}"]  # a NaN equals itself
    if id(one) in seen:
        return []
    seen.add(id(one))
    names = [name for name in vars(one) if name not in APART]
    parts = ((getattr(one, name), getattr(other, name), f"{path}.{name}") for name in names)
    return [line for part in parts for line in differences(*part, seen)]


def reopened(folder: Path, ns: int) -> Runner:
    """The runner of a folder after a restart, its journal closed again at once."""
    runner = new_runner(folder, HandClock(ns))
    runner.journal._pending.clear()  # what a restart notes is not to be in the journal that comes next
    runner.close()
    return runner


def stopped(folder: Path, cuts: tuple[float, ...]) -> int:
    """The journal of a runner that kept its state at these shares of a tape; returns the newest stamp."""
    frames, runner, start = synthetic_frames(SECONDS), new_runner(folder), 0
    for cut in cuts:
        stop = int(cut * len(frames))
        drive(runner, frames[start:stop])
        runner.journal.flush()
        write_snapshot(folder / "journal", runner.journal.position, runner.state())
        start = stop
    newest = drive(runner, frames[start:])
    runner.close()
    return newest


@pytest.mark.parametrize("cut", [0.02, 0.3, 0.61, 1.0])
def test_a_snapshot_and_a_whole_replay_lead_to_the_same_state_in_every_bit(tmp_path: Path, cut: float) -> None:
    stopped(tmp_path, (cut,))
    kept = resumed(quick_plan(), tmp_path / "journal", pytest.fail, pytest.fail)
    for path in snapshots(tmp_path / "journal"):
        path.unlink()
    whole = resumed(quick_plan(), tmp_path / "journal", pytest.fail, pytest.fail)
    assert whole.replayed == sum(desk.session.decided for desk in kept.desks) > 500
    assert kept.replayed < whole.replayed
    assert whole.desks[1].session.position or not whole.desks[1].session.idle
    assert differences((kept.reader, kept.desks), (whole.reader, whole.desks), "resumed", set()) == []


def test_a_kill_at_any_byte_leaves_a_journal_that_snapshots_and_replay_read_alike(tmp_path: Path) -> None:
    frames, runner = synthetic_frames(SECONDS)[:1_200], new_runner(tmp_path)
    for start in (0, 400, 800):
        drive(runner, frames[start : start + 400])
        runner.journal.flush()
        path = write_snapshot(tmp_path / "journal", runner.journal.position, runner.state())
        path.with_suffix(".kept").write_bytes(path.read_bytes())
    runner.close()
    (segment,) = segments(tmp_path / "journal")
    whole, kept = segment.read_bytes(), sorted((tmp_path / "journal").glob("*.kept"))
    offsets = [position_of(path.with_suffix(SUFFIX)).offset for path in kept]
    for offset in np.random.default_rng(3).integers(offsets[0] // 2, len(whole), 4).tolist():
        folder = tmp_path / f"killed at {offset}"
        folder.mkdir()
        (folder / segment.name).write_bytes(whole[:offset])
        replayed = resumed(quick_plan(), folder, pytest.fail, pytest.fail)
        for path in kept:
            (folder / path.with_suffix(SUFFIX).name).write_bytes(path.read_bytes())
        ignored: list[str] = []
        found = resumed(quick_plan(), folder, pytest.fail, ignored.append)
        assert len(ignored) == sum(position > offset for position in offsets)
        assert (found.replayed < replayed.replayed) == (len(ignored) < len(kept))
        assert differences((found.reader, found.desks), (replayed.reader, replayed.desks), "killed", set()) == []


def test_a_difference_of_one_bit_would_be_seen(tmp_path: Path) -> None:
    newest = stopped(tmp_path, (0.5,))
    one, other = reopened(tmp_path, newest), reopened(tmp_path, newest)
    other.desks[1].session.account[2][0] = np.nextafter(other.desks[1].session.account[2][0], 1e9)
    other.reader._clock[2][0, 0] += 1
    found = differences(one, other, "runner", set())
    assert len(found) == 2, found


@in_loop
async def test_models_in_force_and_before_come_back_with_their_memory(tmp_path: Path) -> None:
    frames, runner, start = synthetic_frames(SECONDS), new_runner(tmp_path), 0
    for conviction in (0.7, 0.8):
        sha = write_band_bundle(tmp_path / "bundles" / "new", conviction)
        (tmp_path / "bundles" / "new").rename(tmp_path / "bundles" / sha)
        drive(runner, frames[start : start + 200])
        account, start = runner.desks[0].session.account, start + 200
        account[0][:], account[1][0] = 0, 0  # flat, whatever it did
        waiting = asyncio.create_task(runner.deploy(strategy_of(quick_plan(), tmp_path / "bundles" / sha), sha, 60.0))
        await asyncio.sleep(0)
        drive(runner, frames[start : start + 100])
        start += 100
        assert await asyncio.wait_for(waiting, DEADLINE_S) == sha
    runner.journal.flush()
    path = write_snapshot(tmp_path / "journal", runner.journal.position, runner.state())
    runner.close()
    assert not any(array.dtype == object for array in read_snapshot(path).values())
    back = reopened(tmp_path, runner.stamps.now())
    assert back.replayed == 0
    assert (back.desks[0].bundle_sha, back.desks[0].previous.bundle_sha) == (
        runner.desks[0].bundle_sha,
        runner.desks[0].previous.bundle_sha,
    )
    assert (
        differences(
            back.desks[0].session.forecasting.memory, runner.desks[0].session.forecasting.memory, "memory", set()
        )
        == []
    )


def test_a_damaged_snapshot_is_passed_over_for_the_older_one_and_then_for_the_journal(tmp_path: Path) -> None:
    newest = stopped(tmp_path, (0.3, 0.6))
    second, first = snapshots(tmp_path / "journal")
    assert position_of(second) > position_of(first)
    replayed = [reopened(tmp_path, newest).replayed]
    for number, path in enumerate((second, first), 1):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
        runner = reopened(tmp_path, newest)
        assert runner.meters.value("ignored_snapshots_total") == number
        replayed.append(runner.replayed)
    assert replayed == sorted(set(replayed))
    assert replayed[-1] == runner.resumed


def test_a_snapshot_that_can_be_read_and_is_not_what_was_written_is_passed_over(tmp_path: Path) -> None:
    newest = stopped(tmp_path, (0.6,))
    (kept,) = snapshots(tmp_path / "journal")
    arrays = read_snapshot(kept)
    arrays["session1/own/integers"][own.NEXT_ORDER] += 1
    with kept.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    runner = reopened(tmp_path, newest)
    assert runner.meters.value("ignored_snapshots_total") == 1
    assert runner.replayed == runner.resumed > 100


def test_a_snapshot_of_a_model_that_remembers_otherwise_is_passed_over(tmp_path: Path) -> None:
    newest = stopped(tmp_path, (0.6,))
    (kept,) = snapshots(tmp_path / "journal")
    arrays = read_snapshot(kept)
    arrays["session0/memory/000"] = np.zeros(3, np.float32)  # as other code may have laid it out
    kept.unlink()
    write_snapshot(tmp_path / "journal", position_of(kept), arrays)
    runner = reopened(tmp_path, newest)
    assert runner.meters.value("ignored_snapshots_total") == 1
    assert runner.replayed == runner.resumed > 100


def test_every_latch_comes_back_from_a_snapshot_alone(tmp_path: Path) -> None:
    runner, latches = new_runner(tmp_path), [own.KILLED, own.DRAWN_DOWN, own.DEGENERATE, own.STREAK, own.PAUSED_UNTIL]
    drive(runner, synthetic_frames(SECONDS)[:400])
    runner.kill()
    for place, desk in enumerate(runner.desks):
        desk.session.account[1][latches] = [1, 1, 1, 2, START + place]
    write_snapshot(tmp_path / "journal", runner.journal.position, runner.state())
    runner.close()
    back = reopened(tmp_path, runner.stamps.now())
    assert (back.replayed, back.resumed > 100) == (0, True)
    assert [desk.session.account[1][latches].tolist() for desk in back.desks] == [
        [1, 1, 1, 2, START + place] for place in range(len(back.desks))
    ]


def test_an_explanation_begins_at_a_snapshot_under_the_plan_of_the_journal_s_header(tmp_path: Path) -> None:
    assert list(quick_plan().features.sessions) != sorted(quick_plan().features.sessions)
    newest = stopped(tmp_path, (0.6,))
    (segment,) = read_headers(tmp_path / "journal")
    (kept,) = snapshots(tmp_path / "journal")
    playback, since = playback_since(plan_from(segment[1]), tmp_path / "journal", newest, pytest.fail)
    assert since == position_of(kept)
    assert START < playback.desks[1].session.next_row_ts < newest


def test_a_snapshot_under_sessions_in_another_order_is_passed_over(tmp_path: Path) -> None:
    newest = stopped(tmp_path, (0.6,))
    features = quick_plan().features
    turned = replace(features, sessions=dict(reversed(features.sessions.items())))
    runner = new_runner(tmp_path, HandClock(newest), replace(quick_plan(), features=turned))
    assert runner.meters.value("ignored_snapshots_total") == 1
    assert runner.replayed == runner.resumed > 100
    runner.close()


def test_a_snapshot_of_another_journal_or_of_what_was_lost_is_passed_over(tmp_path: Path) -> None:
    newest = stopped(tmp_path, (0.6,))
    other = new_runner(tmp_path / "other")
    drive(other, synthetic_frames(SECONDS, seed=1))
    other.journal.flush()
    taken = write_snapshot(tmp_path / "other" / "journal", other.journal.position, other.state())
    other.close()
    (tmp_path / "journal" / taken.name).write_bytes(taken.read_bytes())
    runner = reopened(tmp_path, newest)
    assert (runner.meters.value("ignored_snapshots_total"), runner.replayed < runner.resumed) == (1, True)

    own = next(path for path in snapshots(tmp_path / "journal") if path.name != taken.name)
    with segments(tmp_path / "journal")[0].open("rb+") as segment:  # a power cut took the end of the journal
        segment.truncate(position_of(own).offset - 1)
    runner = reopened(tmp_path, newest)
    assert runner.meters.value("ignored_snapshots_total") == 2
    assert runner.replayed == runner.resumed > 100


def test_a_state_is_kept_with_every_segment_and_few_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "SEGMENT_BYTES", 100_000)
    runner = new_runner(tmp_path)
    newest = drive(runner, synthetic_frames(SECONDS))
    runner.close()
    assert len(segments(tmp_path / "journal")) > 3
    assert len(list(read_headers(tmp_path / "journal"))) == len(segments(tmp_path / "journal"))
    assert 1 <= len(snapshots(tmp_path / "journal")) <= 2
    assert runner.meters.value("snapshots_total", outcome="written") >= 1
    back = reopened(tmp_path, newest)
    assert back.replayed < back.resumed == sum(r.kind == DECISION for r in read_journal(tmp_path / "journal"))
    assert parity_of(tmp_path / "journal", tmp_path).exact


def test_a_disk_without_room_for_snapshots_does_not_stop_the_trade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runner_module, "SEGMENT_BYTES", 100_000)
    monkeypatch.setattr(keeping, "write_snapshot", full)
    runner = new_runner(tmp_path)
    drive(runner, synthetic_frames(4.0))
    runner.close()
    assert runner.meters.value("snapshots_total", outcome="failed") >= 1
    assert not list((tmp_path / "journal").glob(f"*{SUFFIX}"))
    assert reopened(tmp_path, runner.stamps.now()).resumed > 100
