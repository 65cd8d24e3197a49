"""Several runners on one loop: rows close oldest first, nothing leaks from one symbol to another, all end together."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from live import floor as floor_module
from live.api import Access, api
from live.clock import Clock, ReplayClock
from live.exporter import PrometheusMeters
from live.feed import OnConnection, OnFrame
from live.floor import Floor
from live.parity import parity_of
from live.rollout import Rollout
from live.runner import CATCH_UP_ROWS, Runner
from live.warmup import warm
from market.errors import BackgroundError
from storage.deployment import SIGNATURE_HEADER, pack, signature
from storage.journal import FRAME, read_journal
from storage.promotions import PromotionLedger
from tests.builders_live import DEADLINE_S, in_loop, until
from tests.builders_runner import (
    KEY,
    REGISTERED,
    ROW,
    SECOND,
    START,
    Frames,
    HandClock,
    TapeFeed,
    approve,
    drive,
    floor_of,
    new_runner,
    quick_plan,
    synthetic_frames,
    write_band_bundle,
)

NAMES = ("one", "other", "third")
SPEED = 4.0


@pytest.fixture(autouse=True, scope="module")
def compiled() -> None:
    """Kernels compiled before a clock runs."""
    warm(quick_plan())


def feed_all(floor: Floor, tapes: dict[str, Frames], clock: HandClock) -> None:
    """Deliver every tape in the order of stamps, rows closing in between."""
    frames = sorted((ts, symbol, frame) for symbol, tape in tapes.items() for ts, frame in tape)
    for ts, symbol, frame in frames:
        clock.ns = ts
        while floor.close_due():
            pass
        floor[symbol].on_frame(frame, ts)


def test_rows_of_all_symbols_close_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, closed = HandClock(), []
    floor = floor_of(tmp_path, NAMES, clock)
    close = Runner._close

    def noted(runner: Runner, row_ts: int) -> None:
        closed.append((row_ts, runner.plan.instrument.name))
        close(runner, row_ts)

    monkeypatch.setattr(Runner, "_close", noted)
    tapes = {name: synthetic_frames(1.0 + place, seed=place) for place, name in enumerate(NAMES)}
    for name, tape in tapes.items():
        for ts, frame in tape:
            floor[name].on_frame(frame, ts)
    clock.ns = START + 2 * SECOND
    assert floor.close_due() == CATCH_UP_ROWS
    while floor.close_due():
        pass
    assert [row_ts for row_ts, _ in closed] == sorted(row_ts for row_ts, _ in closed)
    assert {name for _, name in closed} == set(NAMES)
    for name in NAMES:
        rows = [row_ts for row_ts, symbol in closed if symbol == name]
        assert rows == list(range(rows[0], START + 2 * SECOND, ROW))
    for runner in floor.runners:
        runner.journal.close()


class Burst:
    """Delivers a whole tape without a pause, so that the loop gets no turn in between."""

    def __init__(self, frames: Frames, clock: HandClock) -> None:
        self.counts: dict[str, int] = {}
        self.ended = False
        self._frames, self._clock = frames, clock

    async def run(self, on_frame: OnFrame, on_connection: OnConnection, clock: Clock) -> None:
        """Deliver."""
        for ts, frame in self._frames:
            self._clock.ns = ts
            on_frame(frame, ts)


@in_loop
async def test_no_row_waits_for_a_burst_of_frames_that_came_after_its_instant(tmp_path: Path) -> None:
    clock = HandClock()
    floor = floor_of(tmp_path, NAMES[:2], clock)
    tape = synthetic_frames(2.0)
    for name in NAMES[:2]:
        floor[name].on_frame(tape[0][1], tape[0][0])
    floor.close_due()
    await floor._listen(NAMES[0], Burst(tape[1:], clock))
    newest = tape[-1][0]
    for runner in floor.runners:
        assert newest <= runner.next_row_ts < newest + ROW
        runner.journal.close()
    assert parity_of(floor[NAMES[0]].folders.journal, tmp_path).decisions.exact


def test_a_symbol_writes_the_journal_that_it_writes_alone(tmp_path: Path) -> None:
    clock = HandClock()
    floor = floor_of(tmp_path, NAMES, clock)
    tapes = {name: synthetic_frames(4.0, seed=place) for place, name in enumerate(NAMES)}
    feed_all(floor, tapes, clock)
    for runner in floor.runners:
        runner.journal.close()
    for place, name in enumerate(NAMES):
        (floor[name].folders.journal).rename(tmp_path / name / "kept")
        alone = new_runner(tmp_path / name, HandClock(), floor[name].plan)
        newest = drive(alone, synthetic_frames(4.0, seed=place))
        assert newest <= clock.ns
        alone.journal.close()
        written, again = read_journal(tmp_path / name / "kept"), read_journal(tmp_path / name / "journal")
        frames = [record.payload for record in written if record.kind == FRAME]
        assert frames == [record.payload for record in again if record.kind == FRAME]
        assert parity_of(tmp_path / name / "kept", tmp_path).decisions.exact
        assert len(frames) > 100


@in_loop
async def test_several_symbols_trade_side_by_side_to_the_end_of_their_feeds(tmp_path: Path) -> None:
    floor = floor_of(tmp_path, NAMES, ReplayClock(START, time.monotonic_ns(), 1.0))
    feeds = {name: TapeFeed(synthetic_frames(3.0, seed=place)) for place, name in enumerate(NAMES)}
    await asyncio.wait_for(floor.run(feeds, 1.0, until_end=True), DEADLINE_S)
    status = floor.status()
    assert [symbol["symbol"] for symbol in status["symbols"]] == list(NAMES)
    assert status["connected"] is False
    for name in NAMES:
        decisions = parity_of(tmp_path / name / "journal", tmp_path).decisions
        assert decisions.exact
        assert decisions.rows > 30  # fewer than the tape's 150 where a busy machine reads its first frames late


class SteppedClock:
    """Passes like a replay's, and can be set back."""

    def __init__(self) -> None:
        self.back_ns = 0
        self._clock = ReplayClock(START, time.monotonic_ns(), SPEED)

    def now(self) -> int:
        """This instant, ns UTC."""
        return self._clock.now() - self.back_ns


@in_loop
async def test_a_clock_that_is_set_back_for_long_ends_the_run_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor_module, "STANDSTILL_S", 0.05)
    clock = SteppedClock()
    runner = new_runner(tmp_path, clock)
    floor = Floor([runner], awake_s=0.001)
    feeds = {runner.plan.instrument.name: TapeFeed(synthetic_frames(60.0))}
    running = asyncio.create_task(floor.run(feeds, SPEED, until_end=False))
    await until(lambda: runner.desks[0].session.decided > 10)
    clock.back_ns = 3_600 * SECOND
    with pytest.raises(BackgroundError, match="the clock was set back"):
        await asyncio.wait_for(running, DEADLINE_S)


@in_loop
async def test_a_fault_of_one_feed_ends_every_runner_and_leaves_whole_journals(tmp_path: Path) -> None:
    floor = floor_of(tmp_path, NAMES, ReplayClock(START, time.monotonic_ns(), SPEED))
    feeds = {name: TapeFeed(synthetic_frames(60.0)) for name in NAMES[:2]}
    feeds[NAMES[2]] = TapeFeed(synthetic_frames(0.5), ZeroDivisionError("of the feed"))
    with pytest.raises(ZeroDivisionError, match="of the feed"):
        await asyncio.wait_for(floor.run(feeds, SPEED, until_end=True), DEADLINE_S)
    for name in NAMES:
        resumed = new_runner(tmp_path / name, plan=floor[name].plan)
        assert resumed.next_row_ts > START
        resumed.journal.close()


@in_loop
async def test_a_bundle_goes_to_the_symbol_that_is_named_and_to_none_unnamed(tmp_path: Path) -> None:
    clock = HandClock()
    floor = floor_of(tmp_path, NAMES[:2], clock)
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    sha = write_band_bundle(tmp_path / "source")
    approve(ledger, sha)
    rollouts = {name: Rollout(quick_plan(), tmp_path / name / "bundles", ledger, KEY, REGISTERED) for name in NAMES[:2]}
    meters = floor.runners[0].meters
    assert isinstance(meters, PrometheusMeters)
    transport = httpx.ASGITransport(api(floor, rollouts, meters, Access("", "deploy", 5.0)))
    manifest = (tmp_path / "source" / "manifest.json").read_bytes()
    headers = {"Authorization": "Bearer deploy", SIGNATURE_HEADER: signature(manifest, KEY)}
    body = pack(tmp_path / "source")
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        for wrong in ({}, {"symbol": "third"}):
            answer = await client.post("/deploy", params=wrong, content=body, headers=headers)
            assert (answer.status_code, "is not one of one, other" in answer.json()["detail"]) == (404, True)
        posting = asyncio.create_task(client.post("/deploy?symbol=other", content=body, headers=headers))
        while not posting.done():
            clock.ns += ROW
            for name in NAMES[:2]:
                floor[name].on_frame(synthetic_frames(1.0)[0][1], clock.ns)
            floor.close_due()
            await asyncio.sleep(0.001)
    assert posting.result().json()["running_sha"] == sha
    assert [runner.desks[0].bundle_sha for runner in floor.runners] == ["", sha]
    for runner in floor.runners:
        runner.journal.close()
