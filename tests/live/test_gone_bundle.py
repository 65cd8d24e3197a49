"""A bundle that the journal names and nobody can read: no position is lost, and another model or none goes on."""

import shutil
from pathlib import Path

import pytest

from live.desk import Model
from live.parity import parity_of
from live.plan import MODEL_DESK, stand_in, strategy_of
from live.resume import resumed
from live.runner import Runner
from market.errors import BundleError
from market.simulator import synthetic_capture
from market.sources.capture import split_line
from storage.journal import DECISION, MODEL, read_journal
from storage.snapshots import snapshots, write_snapshot
from tests.builders_live import in_loop
from tests.builders_market import COINM_BTC
from tests.builders_runner import (
    SECOND,
    START,
    HandClock,
    close_all,
    drive,
    new_runner,
    orders_of,
    quick_plan,
    traded_journal,
    write_band_bundle,
)
from tests.live.test_resume import differences

SECONDS = 9.0


def spoil(folder: Path, sha: str) -> None:
    """One bit of the weights is another one."""
    path = folder / "bundles" / sha / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def models(folder: Path) -> list[str]:
    return [r.payload.decode() for r in read_journal(folder / "journal") if r.kind == MODEL and r.place == MODEL_DESK]


def reopened(folder: Path, seconds: float = SECONDS) -> Runner:
    return new_runner(folder, HandClock(START + round(seconds * SECOND)))


def go_on(runner: Runner) -> None:
    """Five seconds more, from a new order book on."""
    lines = synthetic_capture(COINM_BTC, 1, runner.clock.now() + SECOND, 5.0)
    drive(runner, (split_line(line) for line in lines))
    close_all(runner)


@in_loop
async def test_decisions_taken_as_written_leave_the_same_desks_as_decisions_made_again(tmp_path: Path) -> None:
    sha = await traded_journal(tmp_path, SECONDS)
    journal = tmp_path / "journal"
    strategy = strategy_of(quick_plan(), tmp_path / "bundles" / sha)
    again = resumed(quick_plan(), journal, lambda _: strategy, pytest.fail)
    taken = resumed(quick_plan(), journal, lambda _: stand_in(quick_plan()), pytest.fail)
    desk = again.desks[MODEL_DESK]
    assert desk.session.books.equity(1.0) != 0.0
    assert (taken.replayed, taken.newest) == (again.replayed, again.newest)
    for found in (again, taken):
        found.desks[MODEL_DESK].stand_aside()
    assert differences((again.reader, again.desks), (taken.reader, taken.desks), "resumed", set()) == []


@in_loop
async def test_a_corrupt_champion_keeps_its_position_and_the_desk_stands_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sha = await traded_journal(tmp_path, SECONDS)
    sound = reopened(tmp_path)
    sound.close()
    spoil(tmp_path, sha)
    runner = reopened(tmp_path)
    desk, before = runner.desks[MODEL_DESK], sound.desks[MODEL_DESK]
    assert before.session.books.cash != 0.0
    assert (desk.bundle_sha, desk.session.position) == ("", before.session.position)
    assert (orders_of(desk), desk.session.books.cash) == (orders_of(before), before.session.books.cash)
    assert [record.getMessage() for record in caplog.records if "stands aside" in record.getMessage()]
    assert f"what bundle {sha[:12]} decided is taken as it was written" in caplog.text
    with pytest.raises(BundleError, match="is torn"):
        parity_of(tmp_path / "journal", tmp_path / "bundles")

    go_on(runner)
    assert desk.session.flat
    runner.close()
    assert models(tmp_path) == [sha, ""]
    spoil(tmp_path, sha)  # once more: whole again
    assert parity_of(tmp_path / "journal", tmp_path / "bundles").exact
    shutil.rmtree(tmp_path / "bundles" / sha)
    last = reopened(tmp_path, SECONDS + 7.0)
    assert last.resumed == sum(r.kind == DECISION for r in read_journal(tmp_path / "journal"))
    assert (last.desks[MODEL_DESK].bundle_sha, models(tmp_path)) == ("", [sha, ""])
    last.close()


def put_in_place_of(bundles: Path, sha: str) -> str:
    """Another band is written where the bundle ``sha`` was; its own sha."""
    kept = write_band_bundle(bundles / "new", conviction=0.7)
    (bundles / "new").rename(bundles / kept)
    shutil.rmtree(bundles / sha)
    return kept


@in_loop
async def test_a_desk_that_stood_aside_still_calls_the_fallback_after_a_second_restart(tmp_path: Path) -> None:
    sha = await traded_journal(tmp_path, SECONDS)
    kept = put_in_place_of(tmp_path / "bundles", sha)
    first = reopened(tmp_path)
    first.journal.flush()
    first._keeper.keep(
        first.journal.position, first.state()
    )  # the second start replays nothing of the model that is gone
    first.close()
    second = reopened(tmp_path)
    assert second.desks[MODEL_DESK].stood_aside
    second.fallback.keep(Model(strategy_of(quick_plan(), tmp_path / "bundles" / kept), kept))
    go_on(second)
    assert second.desks[MODEL_DESK].bundle_sha == kept
    assert not second.desks[MODEL_DESK].stood_aside
    second.close()


@in_loop
async def test_the_fallback_takes_the_desk_of_a_champion_that_is_gone(tmp_path: Path) -> None:
    sha = await traded_journal(tmp_path, SECONDS)
    kept = put_in_place_of(tmp_path / "bundles", sha)
    runner = reopened(tmp_path)
    runner.fallback.keep(Model(strategy_of(quick_plan(), tmp_path / "bundles" / kept), kept))
    go_on(runner)
    desk = runner.desks[MODEL_DESK]
    runner.close()
    assert models(tmp_path) == [sha, "", kept]
    assert (desk.bundle_sha, desk.previous) == (kept, None)


@in_loop
async def test_a_snapshot_is_gone_on_from_though_the_model_that_it_remembers_is_gone(tmp_path: Path) -> None:
    sha = await traded_journal(tmp_path, SECONDS)
    runner = reopened(tmp_path)
    runner.journal.flush()
    write_snapshot(tmp_path / "journal", runner.journal.position, runner.state())
    position, cash = runner.desks[MODEL_DESK].session.position, runner.desks[MODEL_DESK].session.books.cash
    runner.close()
    assert snapshots(tmp_path / "journal")
    shutil.rmtree(tmp_path / "bundles" / sha)
    back = reopened(tmp_path)
    desk = back.desks[MODEL_DESK]
    assert (back.replayed, back.resumed, desk.bundle_sha) == (0, runner.resumed, "")
    assert (desk.session.position, desk.session.books.cash) == (position, cash)
    back.close()
    assert models(tmp_path) == [sha, ""]
