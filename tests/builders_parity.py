"""Journals of desks that trade on paper or at a replay venue, told as arrays for the parity ladder's upper levels."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import chain, takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np

from backtest.parameters import VenueParameters
from backtest.retold import Assumed
from backtest.told import Told
from backtest.venue import SimulatedVenue
from config.loading import load_settings
from config.settings import Settings
from features.catalogue import catalogue_sha
from live.overheard import Overhearing
from live.parity import strategies_in
from live.plan import LivePlan, desks_of, plan_of, reader_of, strategy_of
from live.runner import Runner
from market.orders import FILL, Reports
from market.sources.capture import split_line
from monitoring.parameters import ParityParameters
from storage.captures import capture_lines
from storage.journal import read_journal
from tests.builders import recording
from tests.builders_exchange import exchange_plan
from tests.builders_market import RUNS
from tests.builders_runner import (
    START,
    HandClock,
    close_all,
    drive,
    new_runner,
    quick_plan,
    synthetic_frames,
    write_band_bundle,
)

PROBE: Final = 1  # place of the probe's desk
BAR: Final = ParityParameters(
    min_fills=200, most_distance=0.005, min_answers=50, draws=20, band=0.9, seed=3, recent_days=7
)
INFER_NS: Final = 1_000_000


def told_of(journal: Path, plan: LivePlan, place: int = PROBE) -> Told:
    """A desk of a journal whose bundles lie beside it."""
    bundles = journal.parent / "bundles"
    playback = Overhearing(reader_of(plan), desks_of(plan), strategies_in(plan, bundles))
    for _ in playback.pairs(read_journal(journal)):
        pass
    return playback.told(place, plan)


def assumed(plan: LivePlan, **changes: Any) -> Assumed:
    """The plan's own venue, with some of its parameters changed."""
    return Assumed(replace(plan.venue, **changes), INFER_NS)


class LosingVenue:
    """A simulated venue one of whose fills is never told."""

    def __init__(self, venue: SimulatedVenue, number: int) -> None:
        """``number``: of the fill that is lost, from 0."""
        self.on_events, self.place, self.cancel = venue.on_events, venue.place, venue.cancel
        self.dump, self.load = venue.dump, venue.load
        self._reports, self._left = venue.reports, number

    def reports(self, until: int) -> Reports:
        """What the venue tells, but for one fill."""
        reports = self._reports(until)
        fills = np.flatnonzero(reports["kind"] == FILL)
        lost = fills[self._left] if 0 <= self._left < fills.size else -1
        self._left -= fills.size
        return np.delete(reports, lost) if lost >= 0 else reports


def recorded_journal(folder: Path, run: str, seconds: float = float("inf")) -> Path:
    """The journal of paper desks that have followed a real run from its beginning, as fast as it goes."""
    instrument, files = RUNS[run]
    lines = chain.from_iterable(capture_lines(recording(name)) for name in files)
    frames = map(split_line, lines)
    first = next(frames)
    plan = plan_of(load_settings("dev"), instrument.name, first[0])
    soon = replace(plan.features, normalizer_min_samples=2)
    plan = replace(plan, features=soon, catalogue_sha=catalogue_sha(soon))
    runner = new_runner(folder, HandClock(first[0]), plan)
    runner.on_connection(True, first[0])
    drive(runner, takewhile(lambda frame: frame[0] <= first[0] + seconds * 1e9, chain([first], frames)))
    close_all(runner)
    runner.close()
    return folder / "journal"


def probed(
    folder: Path, seconds: float, venue: Callable[[SimulatedVenue], Any] = lambda venue: venue, **changes: Any
) -> Told:
    """The probe's desk after some time of the simulator; its venue wrapped, and other than the plan says."""
    runner = new_runner(folder)
    desk = runner.desks[PROBE]
    elsewhere: VenueParameters = replace(quick_plan().venue, **changes)
    desk.gateway = venue(SimulatedVenue(runner.plan.instrument, elsewhere))
    runner.on_connection(True, START)
    drive(runner, synthetic_frames(seconds))
    close_all(runner)
    runner.journal.close()
    return told_of(folder / "journal", quick_plan())


def taking_plan() -> LivePlan:
    """The model's desk at an exchange, the probe beside it on paper."""
    return replace(exchange_plan(), desks=("take", "probe"))


def deploying(folder: Path) -> Callable[[Runner], Awaitable[str]]:
    """What deploys a model to a runner while it trades."""
    sha = write_band_bundle(folder / "written")
    (folder / "bundles").mkdir()
    (folder / "written").rename(folder / "bundles" / sha)

    def deploy(runner: Runner) -> Awaitable[str]:
        return runner.deploy(strategy_of(runner.plan, folder / "bundles" / sha), sha, 600.0)

    return deploy


def orders_here() -> Settings:
    """The dev profile of a runner whose orders stay on this machine."""
    settings = load_settings("dev")
    orders = replace(settings.live.orders, rest_url="http://127.0.0.1:1")
    return replace(settings, live=replace(settings.live, orders=orders))
