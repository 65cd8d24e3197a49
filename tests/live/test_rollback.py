"""The model before stays hot: it comes back when its desk is flat, from memory, and only while it stands approved."""

import asyncio
import shutil
from pathlib import Path

import pytest
from numba.core import event

from live.parity import parity_of
from live.plan import strategy_of
from live.runner import Runner
from market.errors import ModelError
from storage.journal import MODEL, read_journal
from storage.promotions import Promotion
from tests.builders_live import in_loop
from tests.builders_runner import (
    REGISTERED,
    Frames,
    approve,
    drive,
    new_runner,
    quick_plan,
    synthetic_frames,
    write_band_bundle,
)
from tests.live.test_api import ACCESS, Site, trading

BEARER = {"Authorization": "Bearer deploy"}


def stored(folder: Path, conviction: float) -> str:
    sha = write_band_bundle(folder / "bundles" / "new", conviction=conviction)
    (folder / "bundles" / "new").rename(folder / "bundles" / sha)
    return sha


async def driven(runner: Runner, asked: "asyncio.Task[str]", frames: Frames) -> str:
    """What a swap answers, with the rows of these frames to find its desk flat in."""
    await asyncio.sleep(0)
    drive(runner, frames)
    return await asked


async def with_two_models(folder: Path, frames: Frames) -> tuple[Runner, list[str]]:
    """A runner that has gone from one model to another, flat."""
    shas = [stored(folder, conviction) for conviction in (0.34, 0.345)]  # too unsure to trade
    runner = new_runner(folder)
    drive(runner, frames[:100])
    for count, sha in enumerate(shas, 1):
        strategy = strategy_of(quick_plan(), folder / "bundles" / sha)
        asked = asyncio.create_task(runner.deploy(strategy, sha, 30.0))
        assert await driven(runner, asked, frames[100 * count : 100 * (count + 1)]) == sha
    return runner, shas


@in_loop
async def test_a_rollback_swaps_from_memory_and_compiles_nothing(tmp_path: Path) -> None:
    frames = synthetic_frames(9.0)
    runner, shas = await with_two_models(tmp_path, frames)
    shutil.rmtree(tmp_path / "bundles")
    with event.install_recorder("numba:compile") as compiled:
        rolled = asyncio.create_task(runner.swaps.roll_back(0, 30.0))
        assert await driven(runner, rolled, frames[300:]) == shas[0]
    assert compiled.buffer == []
    assert (runner.desks[0].bundle_sha, runner.swaps.previous_sha(0)) == (shas[0], shas[1])
    runner.journal.close()
    assert [r.payload.decode() for r in read_journal(tmp_path / "journal") if r.kind == MODEL] == [*shas, shas[0]]


@in_loop
async def test_a_restart_knows_the_model_before_and_parity_replays_the_rollback(tmp_path: Path) -> None:
    frames = synthetic_frames(9.0)
    runner, shas = await with_two_models(tmp_path, frames)
    rolled = asyncio.create_task(runner.swaps.roll_back(0, 30.0))
    await driven(runner, rolled, frames[300:])
    runner.journal.close()
    assert parity_of(tmp_path / "journal", tmp_path / "bundles").exact
    again = new_runner(tmp_path)
    assert (again.desks[0].bundle_sha, again.swaps.previous_sha(0)) == (shas[0], shas[1])
    again.journal.close()


@in_loop
async def test_a_rollback_is_refused_and_not_forced_while_the_desk_is_not_flat(tmp_path: Path) -> None:
    frames = synthetic_frames(9.0)
    runner, shas = await with_two_models(tmp_path, frames)
    runner.desks[0].session.account[1][0] = 3
    rolled = asyncio.create_task(runner.swaps.roll_back(0, 0.01))
    with pytest.raises(ModelError, match="no row found the desk flat within 0.01 s; it holds 3 lots"):
        await driven(runner, rolled, frames[300:310])
    runner.desks[0].session.account[1][0] = 0
    drive(runner, frames[310:400])
    assert (runner.desks[0].bundle_sha, runner.swaps.previous_sha(0)) == (shas[1], shas[0])
    runner.journal.close()


@in_loop
async def test_the_route_rolls_back_what_stands_approved_and_answers_with_its_sha(tmp_path: Path) -> None:
    site = Site(tmp_path)
    shas = [write_band_bundle(tmp_path / f"source{n}", conviction=0.34 + 0.005 * n) for n in range(2)]
    async with trading(site):
        assert (await site.client.post("/rollback", headers=BEARER)).status_code == 409  # nothing ran before
        for number, sha in enumerate(shas):
            approve(site.ledger, sha)
            assert (await site.deploy(tmp_path / f"source{number}")).json()["running_sha"] == sha
        assert (await site.client.post("/rollback")).status_code == 401
        assert site.runner.desks[0].bundle_sha == shas[1]
        answer = await site.client.post("/rollback", headers=BEARER)
        assert (answer.status_code, answer.json()["running_sha"]) == (200, shas[0])
        assert (await site.client.get("/status")).json()["symbols"][0]["desks"][0]["previous_sha"] == shas[1]
        site.ledger.path.write_text("{}\n")
        answer = await site.client.post("/rollback", headers=BEARER)
        assert (answer.status_code, "approval cannot be checked" in answer.json()["detail"]) == (409, True)
        assert site.runner.desks[0].bundle_sha == shas[0]
    assert site.runner.meters.value("rollbacks_total", role="champion") == 1
    assert [site.refusals(reason) for reason in ("not swapped", "token", "ledger")] == [1, 1, 1]


@in_loop
async def test_without_a_deploy_token_nothing_is_rolled_back(tmp_path: Path) -> None:
    site = Site(tmp_path, ACCESS._replace(deploy_token=""))
    async with trading(site):
        assert (await site.client.post("/rollback", headers=BEARER)).status_code == 403


@in_loop
async def test_each_role_needs_its_own_approval(tmp_path: Path) -> None:
    site = Site(tmp_path)
    sha = write_band_bundle(tmp_path / "source")
    entry = Promotion("2024-08-09T00:00:00Z", "test", REGISTERED, "challenger", None, "1", sha, {}, "")
    site.ledger.append(entry)
    async with trading(site):
        answer = await site.deploy(tmp_path / "source")
        assert answer.status_code == 409
        assert "is not approved as champion in the promotion ledger" in answer.json()["detail"]
        answer = await site.deploy(tmp_path / "source", role="challenger")
        assert "no desk for a challenger" in answer.json()["detail"]  # approved; this runner has no such desk
