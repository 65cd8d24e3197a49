"""A challenger beside the champion: on the same rows, with its own account, and without a trace in the other."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest.venue import SimulatedVenue
from config.loading import load_settings
from config.orders import GatewayKind
from live.parity import parity_of
from live.plan import CHALLENGER_DESK, MODEL_DESK, LivePlan, desks_of, plan_of, strategy_of
from live.replay import decision_of
from live.runner import Runner
from market.errors import ModelError
from storage.journal import DECISION, MODEL, read_journal
from tests.builders_live import DEADLINE_S, in_loop
from tests.builders_runner import START, drive, new_runner, quick_plan, synthetic_frames, write_band_bundle


def plan_with_a_challenger() -> LivePlan:
    return replace(quick_plan(), desks=("take", "probe", "take"))


def stored(folder: Path, conviction: float) -> str:
    sha = write_band_bundle(folder / "bundles" / "new", conviction=conviction)
    (folder / "bundles" / "new").rename(folder / "bundles" / sha)
    return sha


def give(runner: Runner, folder: Path, place: int, sha: str) -> None:
    """Deploy as a swap does at the next row, written down."""
    desk = runner.desks[place]
    desk.deploy(strategy_of(runner.plan, folder / "bundles" / sha), sha)
    runner._note_model(desk, desk.session.next_row_ts)


def decisions(folder: Path, place: int) -> list[bytes]:
    return [r.payload for r in read_journal(folder / "journal") if r.kind == DECISION and r.place == place]


def traded(folder: Path, plan: LivePlan, convictions: dict[int, float]) -> Runner:
    """Twelve seconds; the models come after four of them."""
    frames = synthetic_frames(12.0, seed=5)
    shas = {place: stored(folder, conviction) for place, conviction in convictions.items()}
    runner = new_runner(folder, plan=plan)
    drive(runner, frames[:1_000])
    for place, sha in shas.items():
        give(runner, folder, place, sha)
    drive(runner, frames[1_000:])
    runner.journal.close()
    return runner


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    traded(folder, quick_plan(), {MODEL_DESK: 0.8})
    return folder


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Runner]:
    folder = tmp_path_factory.mktemp("beside")
    return folder, traded(folder, plan_with_a_challenger(), {MODEL_DESK: 0.8, CHALLENGER_DESK: 0.37})


def test_the_champion_decides_the_same_with_and_without_a_challenger(alone: Path, beside: tuple[Path, Runner]) -> None:
    for place in (MODEL_DESK, 1):
        assert decisions(alone, place) == decisions(beside[0], place)
    orders = sum(decision_of(payload).intents.size for payload in decisions(alone, MODEL_DESK))
    assert orders > 0


def test_the_challenger_trades_its_own_account_at_a_venue_of_its_own(beside: tuple[Path, Runner]) -> None:
    folder, runner = beside
    champion, challenger = runner.desks[MODEL_DESK], runner.desks[CHALLENGER_DESK]
    assert challenger.name == "challenger"
    assert isinstance(challenger.gateway, SimulatedVenue)
    assert challenger.gateway is not champion.gateway
    own = np.concatenate([decision_of(payload).intents for payload in decisions(folder, CHALLENGER_DESK)])
    assert set(challenger.gateway.orders["order_id"]) == set(own["order_id"][own["verb"] == 1])
    assert runner.meters.value("fills_total", desk="challenger") > 0
    assert 0 < runner.meters.value("trade_fill_ratio", desk="challenger") <= 1
    assert runner.meters.value("max_dd", desk="challenger") > 0
    assert runner.meters.value("pnl", desk="challenger") != runner.meters.value("pnl", desk="model")


@pytest.mark.parametrize("gateway", ["paper", "shadow", "exchange"])
def test_wherever_the_champions_orders_go_the_challengers_stay_in_the_process(gateway: GatewayKind) -> None:
    desks = desks_of(replace(plan_with_a_challenger(), gateway=gateway))
    assert isinstance(desks[CHALLENGER_DESK].gateway, SimulatedVenue)
    assert isinstance(desks[MODEL_DESK].gateway, SimulatedVenue) == (gateway == "paper")


def test_both_decide_every_row_and_their_agreement_is_counted(beside: tuple[Path, Runner]) -> None:
    folder, runner = beside
    rows = [[decision_of(p).record["row_ts"][0] for p in decisions(folder, place)] for place in (0, 2)]
    assert rows[0] == rows[1]
    deployed = [r.ts for r in read_journal(folder / "journal") if r.kind == MODEL]
    agree, differ = (runner.meters.value("shadow_rows_total", agree=word) for word in ("yes", "no"))
    assert agree + differ == sum(row_ts >= max(deployed) for row_ts in rows[0])
    assert agree > 0
    assert differ > 0


def test_parity_replays_both_and_a_restart_comes_back_with_both(beside: tuple[Path, Runner]) -> None:
    folder, runner = beside
    assert parity_of(folder / "journal", folder / "bundles").exact
    again = new_runner(folder, plan=plan_with_a_challenger())
    assert [desk.bundle_sha for desk in again.desks] == [desk.bundle_sha for desk in runner.desks]
    assert again.desks[2].session.position == runner.desks[2].session.position
    again.journal.close()


@in_loop
async def test_what_is_pushed_as_challenger_comes_to_the_challengers_desk_alone(tmp_path: Path) -> None:
    sha, frames = stored(tmp_path, 0.8), synthetic_frames(6.0)
    runner = new_runner(tmp_path, plan=plan_with_a_challenger())
    drive(runner, frames[:100])
    strategy = strategy_of(runner.plan, tmp_path / "bundles" / sha)
    waiting = asyncio.create_task(runner.deploy(strategy, sha, DEADLINE_S, "challenger"))
    await asyncio.sleep(0)  # it waits for a row now
    drive(runner, frames[100:300])
    assert await asyncio.wait_for(waiting, DEADLINE_S) == sha
    assert {desk.name: desk.bundle_sha for desk in runner.desks} == {"model": "", "probe": "", "challenger": sha}
    runner.journal.close()


@in_loop
async def test_a_runner_without_a_challengers_desk_says_so(tmp_path: Path) -> None:
    strategy = strategy_of(quick_plan(), tmp_path / "bundles" / stored(tmp_path, 0.8))
    runner = new_runner(tmp_path)
    with pytest.raises(ModelError, match="no desk for a challenger; live.challenger says so"):
        await runner.deploy(strategy, "sha", 1.0, "challenger")
    runner.journal.close()


def test_the_profile_says_whether_there_is_a_challenger() -> None:
    settings = load_settings("dev")
    with_one = replace(settings, live=replace(settings.live, challenger=True))
    symbol = settings.live.symbol
    assert plan_of(settings, symbol, START).desks == ("take", "probe")
    assert plan_of(with_one, symbol, START) == replace(
        plan_of(settings, symbol, START), desks=("take", "probe", "take")
    )
