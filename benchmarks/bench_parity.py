"""Whether a journal comes out again: orders and decisions bit for bit, and the profit of its busiest desk by minute.

Desks on paper follow the first minutes of each recording, as fast as it goes, by a clock that stands at its stamps.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Final

from benchmarks.harness import Figure, print_figures
from config.loading import load_settings
from config.settings import Settings
from features.catalogue import catalogue_sha
from live.exporter import PrometheusMeters
from live.ladder import climb
from live.plan import LivePlan, plan_of
from live.runner import Folders, Runner
from market.sources.capture import split_line
from monitoring.profit_parity import Level
from storage.captures import capture_lines
from storage.recordings import fetch

SECONDS: Final = 300.0  # of each recording, from its beginning
RUNS: Final = {  # symbol -> the recording that it is played from
    "binance-coinm-btcusd_perp": "binance/coinm/btcusd_perp_20240808.gz",
    "binance-usdm-btcusdt": "binance/usdm/btcusdt_20240808.gz",
    "binance-spot-btcusdt": "binance/spot/btcusdt_20240808.gz",
}


class Stamp:
    """A clock that shows what it was set to."""

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def now(self) -> int:
        """Ns UTC."""
        return self.ns


def main() -> None:
    """Print every figure."""
    print_figures([figure for symbol in RUNS for figure in figures(symbol)])


def figures(symbol: str) -> list[Figure]:
    """Three levels of one recording."""
    settings = load_settings("dev")
    with tempfile.TemporaryDirectory() as folder:
        journal = followed(settings, symbol, Path(folder))
        ladder = climb(settings, journal, Path(folder), 3)
    exact, profit = ladder.levels[:2], ladder.levels[2].figures
    found = [_differing(symbol, level, what) for level, what in zip(exact, ("reports", "decisions"), strict=True)]
    if profit["distance"] is None:
        return found
    name = f"{symbol}, level 3 of the {ladder.desk}: off the profit's movement over {profit['fills']} fills"
    return [*found, Figure(name, 100 * profit["distance"], None, "%", "< 0.5")]


def followed(settings: Settings, symbol: str, folder: Path) -> Path:
    """The journal of paper desks that have followed a recording for a while."""
    frames = _frames(settings, symbol)
    first = next(frames)
    plan = _soon(plan_of(settings, symbol, first[0]))
    clock = Stamp(first[0])
    runner = Runner(plan, Folders(folder / "journal", folder), clock, PrometheusMeters(symbol))
    runner.on_connection(True, clock.ns)
    for clock.ns, frame in takewhile(lambda one: one[0] <= first[0] + SECONDS * 1e9, _again(first, frames)):
        while runner.close_due():
            pass
        runner.on_frame(frame, clock.ns)
    runner.close()
    return folder / "journal"


def _frames(settings: Settings, symbol: str) -> Iterator[tuple[int, bytes]]:
    path = fetch(RUNS[symbol], settings.paths.recordings, lambda done, total: None)
    return map(split_line, capture_lines(path))


def _again(first: tuple[int, bytes], rest: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    yield first
    yield from rest


def _soon(plan: LivePlan) -> LivePlan:
    """Rows that are valid after two samples: the recordings are minutes."""
    features = replace(plan.features, normalizer_min_samples=2)
    return replace(plan, features=features, catalogue_sha=catalogue_sha(features))


def _differing(symbol: str, level: Level, what: str) -> Figure:
    records = level.figures["records"]
    name = f"{symbol}, level {level.level}: rows that differ, of {level.figures['rows']:,} with {records:,} {what}"
    return Figure(name, level.figures["different"], None, "rows", "<= 0")


if __name__ == "__main__":
    main()
