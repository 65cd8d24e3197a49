"""Venues of one process: each by the clock of what it plays, all at one speed, rows oldest first whoever's they are."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.connectors import SocketSettings, VenueSettings
from config.loading import load_settings
from live import serve
from live.clock import ReplayClock
from live.floor import Floor
from live.lines import Lines, lines_of
from live.parity import parity_of
from live.plan import LivePlan
from market.errors import ConfigError
from tests.builders_live import in_loop
from tests.builders_runner import ROW, SECOND, START, HandClock, named, new_runner, quick_plan, synthetic_frames
from tests.live.test_floor import Burst


def plans_of(venues: dict[str, str]) -> list[LivePlan]:
    """A plan for each name, of an instrument at that venue."""
    plans = [named(quick_plan(), name) for name in venues]
    return [
        replace(plan, instrument=replace(plan.instrument, venue=venue))
        for plan, venue in zip(plans, venues.values(), strict=True)
    ]


def lines_to(monkeypatch: pytest.MonkeyPatch, played: dict[str, ReplayClock | None]) -> Lines:
    """Lines to venues at addresses of their own, each of which plays a recording by its clock, or none."""

    async def answered(url: str, _: float) -> ReplayClock | None:
        return played[url.removeprefix("http://127.0.0.1/")]

    monkeypatch.setattr(serve, "replay_clock", answered)
    lines = lines_of(load_settings("dev"), {})
    places = {
        venue: VenueSettings(f"http://127.0.0.1/{venue}", (SocketSettings("ws://127.0.0.1:1", ()),)) for venue in played
    }
    wire = replace(lines.wire, settings=replace(lines.wire.settings, venues=places))
    return replace(lines, wire=wire)


@in_loop
async def test_each_venue_plays_by_a_clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = ReplayClock(START, 1, 5.0), ReplayClock(START + 86_400 * SECOND, 7, 5.0)
    lines = lines_to(monkeypatch, {"binance-coinm": one, "bybit-linear": other})
    plans = plans_of({"a": "binance-coinm", "b": "bybit-linear", "c": "binance-coinm"})
    assert await serve._clocks(plans, lines) == {"a": one, "b": other, "c": one}


@in_loop
async def test_venues_of_one_process_go_at_one_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_to(monkeypatch, {"binance-coinm": None, "bybit-linear": ReplayClock(START, 7, 5.0)})
    with pytest.raises(ConfigError, match=r"at one speed: .*/binance-coinm at 1x, .*/bybit-linear at 5x"):
        await serve._clocks(plans_of({"a": "binance-coinm", "b": "bybit-linear"}), lines)


def test_rows_of_venues_with_clocks_of_their_own_close_by_age(tmp_path: Path) -> None:
    frames, apart = synthetic_frames(1.0), 86_400 * SECOND
    clocks = [HandClock(START), HandClock(START + apart)]
    floor = Floor([new_runner(tmp_path / name, clock) for name, clock in zip("ab", clocks, strict=True)])
    for ts, frame in frames:
        for clock, runner, behind in zip(clocks, floor.runners, (0, apart), strict=True):
            clock.ns = ts + behind
            runner.on_frame(frame, clock.ns)
    while floor.close_due():
        pass
    closed = [runner.desks[0].session.decided for runner in floor.runners]
    assert closed[0] == closed[1] > 40
    assert all(
        0 <= clock.ns - runner.next_row_ts + ROW < ROW for clock, runner in zip(clocks, floor.runners, strict=True)
    )
    floor._close_journals()


@in_loop
async def test_no_row_waits_for_a_burst_at_a_venue_that_plays_an_earlier_day(tmp_path: Path) -> None:
    tape, apart = synthetic_frames(2.0), 86_400 * SECOND
    earlier = [(ts - apart, frame) for ts, frame in tape]
    clocks = [HandClock(START), HandClock(START - apart)]
    plans = [named(quick_plan(), name) for name in "ab"]
    floor = Floor([new_runner(tmp_path / name, *pair) for name, *pair in zip("ab", clocks, plans, strict=True)])
    for runner, frames in zip(floor.runners, (tape, earlier), strict=True):
        runner.on_frame(frames[0][1], frames[0][0])
    floor.close_due()
    clocks[0].ns = tape[-1][0]
    await floor._listen("b", Burst(earlier[1:], clocks[1]))
    for runner, behind in zip(floor.runners, (0, apart), strict=True):
        assert tape[-1][0] <= runner.next_row_ts + behind < tape[-1][0] + ROW
    floor._close_journals()
    assert parity_of(tmp_path / "b" / "journal", tmp_path).decisions.exact
