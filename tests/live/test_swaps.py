"""Models are swapped when their desk is flat, and only then; a swap that waits never outlives the one who asked."""

import asyncio
import time
from pathlib import Path

import pytest

from live.clock import ReplayClock
from live.floor import Floor
from live.plan import strategy_of
from market.errors import ModelError
from storage.journal import MODEL, Record, read_journal
from tests.builders_live import DEADLINE_S, in_loop
from tests.builders_market import COINM_BTC
from tests.builders_runner import (
    START,
    TapeFeed,
    drive,
    new_runner,
    quick_plan,
    synthetic_frames,
    write_band_bundle,
)


def stored_bundle(folder: Path) -> str:
    sha = write_band_bundle(folder / "bundles" / "new")
    (folder / "bundles" / "new").rename(folder / "bundles" / sha)
    return sha


@in_loop
async def test_a_model_waits_until_its_desk_is_flat(tmp_path: Path) -> None:
    sha, frames = stored_bundle(tmp_path), synthetic_frames(9.0)
    strategy = strategy_of(quick_plan(), tmp_path / "bundles" / sha)
    runner = new_runner(tmp_path)
    account = runner.desks[0].session.account[1]
    drive(runner, frames[:100])
    account[0] = 3
    waiting = asyncio.create_task(runner.deploy(strategy, sha, 30.0))
    await asyncio.sleep(0)
    drive(runner, frames[100:300])
    with pytest.raises(ModelError, match="another model is waiting to be swapped in"):
        await runner.deploy(strategy, "other", 1.0)
    assert runner.desks[0].bundle_sha == ""
    account[0] = 0
    drive(runner, frames[300:])
    assert await waiting == sha
    assert runner.desks[0].bundle_sha == sha == runner.status()["desks"][0]["bundle_sha"]
    runner.journal.close()
    assert [r.payload.decode() for r in read_journal(tmp_path / "journal") if r.kind == MODEL] == [sha]


@in_loop
async def test_a_model_whose_desk_is_not_flat_in_time_is_refused(tmp_path: Path) -> None:
    sha, frames = stored_bundle(tmp_path), synthetic_frames(6.0)
    strategy = strategy_of(quick_plan(), tmp_path / "bundles" / sha)
    runner = new_runner(tmp_path)
    with pytest.raises(ModelError, match="no row found the desk flat within 0.01 s; it holds 0 lots"):
        await runner.deploy(strategy, sha, 0.01)  # no row has closed yet
    drive(runner, frames[:100])
    runner.desks[0].session.account[1][0] = 3
    with pytest.raises(ModelError, match="no row found the desk flat within 0.01 s; it holds 3 lots"):
        await runner.deploy(strategy, sha, 0.01)
    runner.desks[0].session.account[1][0] = 0
    drive(runner, frames[100:300])
    assert runner.desks[0].bundle_sha == ""
    runner.journal.close()


@in_loop
async def test_a_model_that_waits_is_refused_when_the_runner_stops(tmp_path: Path) -> None:
    sha = stored_bundle(tmp_path)
    strategy = strategy_of(quick_plan(), tmp_path / "bundles" / sha)
    runner = new_runner(tmp_path, ReplayClock(START, time.monotonic_ns(), 4.0))
    runner.desks[0].session.account[1][0] = 3
    waiting = asyncio.create_task(runner.deploy(strategy, sha, 60.0))
    floor = Floor([runner])
    running = asyncio.create_task(floor.run({COINM_BTC.name: TapeFeed(synthetic_frames(6.0))}, 4.0, until_end=False))
    await asyncio.sleep(0.05)
    floor.stop()
    with pytest.raises(ModelError, match="the runner is stopping"):
        await asyncio.wait_for(waiting, DEADLINE_S)
    with pytest.raises(ModelError, match="the runner is stopping"):
        await runner.deploy(strategy, sha, 60.0)
    await running


@in_loop
async def test_a_model_that_nobody_waits_for_any_more_is_forgotten(tmp_path: Path) -> None:
    sha = stored_bundle(tmp_path)
    runner = new_runner(tmp_path)
    waiting = asyncio.create_task(runner.deploy(strategy_of(quick_plan(), tmp_path / "bundles" / sha), sha, 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    drive(runner, synthetic_frames(6.0)[:300])
    assert runner.desks[0].bundle_sha == ""
    runner.journal.close()


def test_a_model_that_the_journal_names_and_nobody_has_is_one_clear_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = new_runner(tmp_path)
    drive(runner, synthetic_frames(6.0)[:50])
    runner.journal.append(Record(MODEL, 0, runner.next_row_ts, b"a" * 64))
    runner.journal.close()
    back = new_runner(tmp_path)
    assert (back.desks[0].bundle_sha, back.desks[0].previous) == ("", None)
    assert "has no readable manifest.json" in caplog.text
    back.close()
