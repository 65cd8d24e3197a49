"""The fallback: where the champion is refused it trades in its place, and without one the desk stands aside."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from live.desk import Model
from live.fallback import Fallback
from live.parity import parity_of
from live.plan import MODEL_DESK, strategy_of
from live.replay import decision_of
from live.rollout import Rollout
from live.runner import Runner
from market.errors import BundleError
from storage.journal import DECISION, MODEL, read_journal
from storage.promotions import Promotion, PromotionLedger
from tests.builders_live import in_loop
from tests.builders_runner import (
    KEY,
    REGISTERED,
    approve,
    drive,
    new_runner,
    quick_plan,
    synthetic_frames,
    write_band_bundle,
)
from tests.live.test_api import Site, trading
from trading import account as own


def stored(folder: Path, conviction: float = 0.8) -> str:
    """A bundle under its own sha, as a rollout leaves it."""
    sha = write_band_bundle(folder / "bundles" / "new", conviction=conviction)
    (folder / "bundles" / "new").rename(folder / "bundles" / sha)
    return sha


def model(folder: Path, sha: str) -> Model:
    return Model(strategy_of(quick_plan(), folder / "bundles" / sha), sha)


def decisions(folder: Path) -> np.ndarray:
    payloads = [r.payload for r in read_journal(folder / "journal") if r.kind == DECISION and r.place == MODEL_DESK]
    return np.concatenate([decision_of(payload).record for payload in payloads])


def driven(runner: Runner) -> Runner:
    """Four seconds, a refused champion, eight seconds more."""
    frames = synthetic_frames(12.0, seed=5)
    drive(runner, frames[:1_000])
    runner.fallback.champion_refused("corrupt")
    drive(runner, frames[1_000:])
    runner.journal.close()
    return runner


def test_a_refused_champion_leaves_the_fallback_trading_and_parity_replays_it(tmp_path: Path) -> None:
    runner, sha = new_runner(tmp_path), stored(tmp_path)
    runner.fallback.keep(model(tmp_path, sha))
    driven(runner)
    desk = runner.desks[MODEL_DESK]
    assert (desk.bundle_sha, runner.status()["fallback_sha"]) == (sha, sha)
    assert [r.payload.decode() for r in read_journal(tmp_path / "journal") if r.kind == MODEL] == [sha]
    assert decisions(tmp_path)["orders"].sum() > 0
    assert parity_of(tmp_path / "journal", tmp_path / "bundles").exact


def test_without_a_fallback_the_desk_stands_aside(tmp_path: Path) -> None:
    runner = driven(new_runner(tmp_path))
    assert runner.desks[MODEL_DESK].bundle_sha == ""
    made = decisions(tmp_path)
    assert made.size > 400
    assert made["orders"].sum() == 0
    assert not made["ready"].any()


def test_the_fallback_leaves_a_champion_alone_and_one_that_was_not_ours_to_serve(tmp_path: Path) -> None:
    runner, noted = new_runner(tmp_path), []
    fallback = Fallback(runner.desks[MODEL_DESK], lambda desk, row_ts: noted.append(row_ts))
    champion, kept = (model(tmp_path, stored(tmp_path, conviction)) for conviction in (0.7, 0.8))
    drive(runner, synthetic_frames(1.0))
    desk = runner.desks[MODEL_DESK]
    row_ts = desk.session.next_row_ts
    fallback.keep(kept)
    for code in ("signature", "unapproved", "malformed"):
        fallback.champion_refused(code)
        fallback.at_row(row_ts)
    assert (desk.bundle_sha, noted) == ("", [])
    desk.deploy(*champion)
    fallback.champion_refused("slow")
    fallback.at_row(row_ts)
    assert (desk.bundle_sha, noted) == (champion.bundle_sha, [])
    runner.journal.close()


def test_a_champion_whose_forecasts_latched_its_desk_leaves_it_to_the_fallback_once(tmp_path: Path) -> None:
    runner, noted = new_runner(tmp_path), []
    fallback = Fallback(runner.desks[MODEL_DESK], lambda desk, row_ts: noted.append(row_ts))
    champion, kept = (model(tmp_path, stored(tmp_path, conviction)) for conviction in (0.7, 0.8))
    drive(runner, synthetic_frames(1.0))
    desk = runner.desks[MODEL_DESK]
    row_ts, integers = desk.session.next_row_ts, desk.session.account[1]
    desk.deploy(*champion)
    fallback.keep(kept)
    integers[own.DEGENERATE], integers[own.POSITION] = 1, 3
    fallback.at_row(row_ts)
    assert desk.bundle_sha == champion.bundle_sha  # not flat yet
    integers[own.POSITION] = 0
    fallback.at_row(row_ts)
    assert (desk.bundle_sha, integers[own.DEGENERATE], noted) == (kept.bundle_sha, 0, [row_ts])
    integers[own.DEGENERATE] = 1
    fallback.at_row(row_ts)
    assert noted == [row_ts]  # nothing stands in for the fallback
    runner.journal.close()


def test_the_newest_approved_fallback_that_lies_here_is_kept_over_a_restart(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    rollout = Rollout(quick_plan(), tmp_path / "bundles", ledger, KEY, REGISTERED)
    old, new, gone = stored(tmp_path, 0.6), stored(tmp_path, 0.7), stored(tmp_path, 0.75)
    approve(ledger, gone)
    assert rollout.kept_fallback() is None
    for sha in (old, new, gone):
        ledger.append(Promotion("2024-08-09T00:00:00Z", "test", REGISTERED, "fallback", None, "1", sha, {}, ""))
    shutil.rmtree(tmp_path / "bundles" / gone)
    kept = rollout.kept_fallback()
    assert kept is not None
    assert kept.bundle_sha == new
    (tmp_path / "bundles" / new / "golden.npz").write_bytes(b"torn")
    older = rollout.kept_fallback()
    assert older is not None
    assert older.bundle_sha == old
    (tmp_path / "bundles" / old / "golden.npz").write_bytes(b"torn")
    with pytest.raises(BundleError, match=f"{new}.* torn: golden.npz"):
        rollout.kept_fallback()


@in_loop
async def test_a_corrupt_champion_is_refused_over_http_and_the_pushed_fallback_takes_its_desk(tmp_path: Path) -> None:
    site, champion, kept = Site(tmp_path), tmp_path / "champion", tmp_path / "kept"
    approve(site.ledger, write_band_bundle(champion, conviction=0.7))
    sha = write_band_bundle(kept)
    async with trading(site) as runner:
        assert (await site.deploy(kept, role="fallback")).status_code == 409  # not approved as one
        site.ledger.append(Promotion("2024-08-09T00:00:00Z", "test", REGISTERED, "fallback", None, "1", sha, {}, ""))
        answer = await site.deploy(kept, role="fallback")
        assert (answer.status_code, answer.json()["running_sha"]) == (200, "")
        assert runner.desks[MODEL_DESK].bundle_sha == ""
        content = (champion / "weights.safetensors").read_bytes()
        (champion / "weights.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        refused = await site.deploy(champion)
        assert (refused.status_code, "torn: weights.safetensors" in refused.json()["detail"]) == (409, True)
        async with asyncio.timeout(20.0):
            while runner.desks[MODEL_DESK].bundle_sha != sha:
                await asyncio.sleep(0.001)
        status = runner.status()
        assert (status["fallback_sha"], status["desks"][MODEL_DESK]["bundle_sha"]) == (sha, sha)
        assert set(status["desks"][MODEL_DESK]["outlook"]) == {
            *("mean_bp", "deviation_bp", "spread_bp", "lower_bp", "upper_bp", "classes")
        }
