"""A runner without sockets: a plan that trades soon, a clock set by hand, a tape fed in as fast as it goes."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from config.loading import load_settings
from features.catalogue import catalogue_content, catalogue_sha, feature_names
from live.clock import Clock
from live.desk import Desk
from live.exporter import PrometheusMeters
from live.feed import Feed, OnConnection, OnFrame
from live.floor import Floor
from live.plan import LivePlan, plan_of, strategy_of
from live.runner import Folders, Runner
from market.simulator import synthetic_capture
from market.sources.capture import split_line
from modeling.calibration import identity
from modeling.forecast import Cell, ForecastShape
from modeling.snapshot import MEDIAN_BAND, ModelSnapshot
from storage.bundle import Bundle, golden_rows, write_bundle
from storage.promotions import Promotion, PromotionLedger
from tests.builders_market import COINM_BTC

START: Final = 1_723_161_600_000_000_000
SECOND: Final = 1_000_000_000
ROW: Final = 20_000_000
KEY: Final = b"deploy key"
REGISTERED: Final = f"tickloop-{COINM_BTC.name}"  # what the dev profile calls the symbol's model
Frames = list[tuple[int, bytes]]  # ingest_ts, raw bytes


@cache
def quick_plan() -> LivePlan:
    """The dev profile's plan, with rows that are valid after two seconds and time to decide on a busy machine."""
    plan = plan_of(load_settings("dev"), COINM_BTC.name, START)
    routing = replace(plan.trading.routing, max_decision_lag_ms=1_000.0)
    features = replace(plan.features, normalizer_min_samples=2)
    trading = replace(plan.trading, routing=routing)
    return replace(plan, features=features, trading=trading, catalogue_sha=catalogue_sha(features))


@cache
def _tape(seconds: float, seed: int) -> tuple[tuple[int, bytes], ...]:
    return tuple(split_line(line) for line in synthetic_capture(COINM_BTC, seed, START, seconds))


def synthetic_frames(seconds: float, seed: int = 0) -> Frames:
    """Frames of the simulator, the snapshot first."""
    return list(_tape(seconds, seed))


class HandClock:
    """Shows what it was set to."""

    def __init__(self, ns: int = START) -> None:
        self.ns = ns

    def now(self) -> int:
        """The instant that it was set to, ns UTC."""
        return self.ns


class TickingClock(HandClock):
    """Moves on by ten microseconds whenever it is read, so that time passes, and none of it is the machine's."""

    def now(self) -> int:
        """A little later than the last time, ns UTC."""
        self.ns += 10_000
        return self.ns


def new_runner(folder: Path, clock: Clock | None = None, plan: LivePlan | None = None) -> Runner:
    """A runner on the journal and bundles below ``folder``."""
    folders = Folders(folder / "journal", folder / "bundles")
    return Runner(plan or quick_plan(), folders, clock or HandClock(), PrometheusMeters(COINM_BTC.name))


def named(plan: LivePlan, name: str) -> LivePlan:
    """The same plan for an instrument of another name."""
    return replace(plan, instrument=replace(plan.instrument, name=name))


def floor_of(folder: Path, names: Iterable[str], clock: Clock) -> Floor:
    """Runners of the same market under several names, each on a folder of its own."""
    return Floor([new_runner(folder / name, clock, named(quick_plan(), name)) for name in names])


def drive(runner: Runner, frames: Iterable[tuple[int, bytes]]) -> int:
    """Feed frames in by a clock that stands at their stamps; returns the newest stamp."""
    assert isinstance(runner.clock, HandClock)
    for ts, frame in frames:
        runner.clock.ns = ts
        close_all(runner)
        runner.on_frame(frame, ts)
    return runner.clock.ns


def close_all(runner: Runner) -> None:
    """Close every row that is due."""
    while runner.close_due():
        pass


async def run_runner(runner: Runner, feed: Feed, speed: float, until_end: bool) -> None:
    """A floor of this runner alone, from its start to its end."""
    await Floor([runner], awake_s=0.0003).run({runner.plan.instrument.name: feed}, speed, until_end)


def written_journal(folder: Path, seconds: float = 6.0) -> Path:
    """The journal of a runner that has followed the simulator for a while and ended in order."""
    runner = new_runner(folder)
    runner.on_connection(True, START)
    drive(runner, synthetic_frames(seconds))
    close_all(runner)
    runner.journal.close()
    return folder / "journal"


class TapeFeed:
    """Delivers a tape by the runner's clock, then ends; or raises ``fault``, where one is given."""

    def __init__(self, frames: Frames, fault: Exception | None = None) -> None:
        self.counts: dict[str, int] = {}
        self.ended = False
        self._frames = frames
        self._fault = fault

    async def run(self, on_frame: OnFrame, on_connection: OnConnection, clock: Clock) -> None:
        """Deliver."""
        on_connection(True, clock.now())
        try:
            for ts, frame in self._frames:
                while clock.now() < ts:
                    await asyncio.sleep(0.001)
                on_frame(frame, clock.now())
            if self._fault:
                raise self._fault
        finally:
            on_connection(False, clock.now())
        self.ended = True


class DrivenFeed:
    """Delivers a tape by a clock that it sets itself: every row is closed before the next frame comes."""

    def __init__(self, frames: Frames, runner: Runner) -> None:
        self.counts: dict[str, int] = {}
        self.ended = False
        self._frames = frames
        self._runner = runner

    async def run(self, on_frame: OnFrame, on_connection: OnConnection, clock: Clock) -> None:
        """Deliver."""
        hand = self._runner.clock
        assert isinstance(hand, HandClock)
        on_connection(True, clock.now())
        for ts, frame in self._frames:
            while 0 < self._runner.next_row_ts < ts:
                hand.ns = max(hand.ns, self._runner.next_row_ts)
                await asyncio.sleep(0)
            hand.ns = max(hand.ns, ts)
            on_frame(frame, clock.now())
        on_connection(False, clock.now())
        self.ended = True


def band_model(plan: LivePlan, conviction: float = 0.8) -> ModelSnapshot:
    """Believes that the heavier side of the touch wins, with that probability."""
    names = feature_names(plan.features)
    linear = np.zeros((1, len(names) + 1), np.float32)
    linear[0, names.index("queue_imbalance")] = 1.0
    rest = (1 - conviction) / 2
    table = [[conviction, rest, rest], [rest, conviction, rest], [rest, rest, conviction]]
    weights = {
        "linear": linear,
        "bands": np.full(1, 0.2, np.float32),
        "tables": np.array([table], np.float32),
        "returns_bp": np.array([[-5.0, 0.0, 5.0]], np.float32),
    }
    shape = ForecastShape((Cell(plan.trading.horizon_ms, plan.trading.budget_bp),))
    return ModelSnapshot(MEDIAN_BAND, shape.as_dict(), weights, identity(1))


def write_band_bundle(folder: Path, conviction: float = 0.8, **stamps: object) -> str:
    """A bundle for the plan, its sha; ``stamps`` replace what its manifest says."""
    plan = quick_plan()
    model = band_model(plan, conviction)
    values = np.random.default_rng(0).normal(size=(300, len(feature_names(plan.features)))).astype(np.float32)
    bundle = Bundle(
        model=model,
        normalizer=catalogue_content(plan.features),
        policy={},
        golden=golden_rows(model, values, np.ones(300, np.bool_)),
        metrics={},
        catalogue_sha=plan.catalogue_sha,
        config_sha=plan.config_sha,
        data_fingerprint="e" * 64,
        code_version="0",
        created="2024-08-09T00:00:00Z",
        latency_budget_us=10_000.0,
    )
    return write_bundle(folder, replace(bundle, **stamps))


def approve(ledger: PromotionLedger, sha: str, model: str = REGISTERED) -> None:
    """Make a bundle champion."""
    ledger.append(Promotion("2024-08-09T00:00:00Z", "test", model, "champion", None, "1", sha, {"gate": "passed"}, ""))


def orders_of(desk: Desk) -> list[list[int]]:
    """The desk's own view of its working orders."""
    table: list[list[int]] = desk.session.account[0].tolist()
    return table


async def traded_journal(folder: Path, seconds: float) -> str:
    """The journal of a runner whose desks both traded the simulator; returns the sha of the model's bundle."""
    sha = write_band_bundle(folder / "written")
    (folder / "bundles").mkdir()
    (folder / "written").rename(folder / "bundles" / sha)
    runner, frames = new_runner(folder), synthetic_frames(seconds)
    runner.on_connection(True, START)
    drive(runner, frames[:200])
    strategy = strategy_of(runner.plan, folder / "bundles" / sha)
    swap = asyncio.create_task(runner.deploy(strategy, sha, 5.0))
    await asyncio.sleep(0)  # it waits for a row now
    drive(runner, frames[200:])
    close_all(runner)
    runner.close()
    assert await swap == sha
    return sha
