"""A journal that a runner has written by trading the simulator, with a model's desk and the probe's."""

from dataclasses import replace
from pathlib import Path

from backtest.parameters import VenueParameters
from config.loading import load_settings
from config.settings import Paths, Settings
from live.plan import strategy_of
from storage.journal import MODEL, Record
from tests.builders_runner import close_all, drive, new_runner, quick_plan, synthetic_frames, write_band_bundle

FEES = {"maker_fee": -0.0001, "taker_fee": 0.0005}


def venue_of(settings: Settings) -> VenueParameters:
    return replace(settings.venue, **FEES)


def settings_in(folder: Path) -> Settings:
    found = load_settings("dev")
    return replace(found, paths=Paths(folder), venue=venue_of(found))


def trade(folder: Path, seconds: float) -> None:
    """A runner follows the simulator with a model that takes, beside the probe that makes."""
    sha = write_band_bundle(folder / "bundles" / "new")
    (folder / "bundles" / "new").rename(folder / "bundles" / sha)
    runner = new_runner(folder)
    runner.desks[0].deploy(strategy_of(quick_plan(), folder / "bundles" / sha), sha)
    runner.journal.append(Record(MODEL, 0, runner.next_row_ts, sha.encode()))
    drive(runner, synthetic_frames(seconds))
    close_all(runner)
    runner.journal.close()
