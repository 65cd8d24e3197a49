"""An hour at five times the speed: memory stays flat, no descriptor is left open, and no message is lost.

``TICKLOOP_SOAK_MINUTES`` is how long, 60 unless set; what was measured is printed (``pytest -s``).
"""

import gzip
import os
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from market.simulator import synthetic_capture
from market.sources.capture import capture_line, split_line
from storage.journal import segments, torn_end
from tests.builders_market import COINM_BTC
from tests.builders_processes import PATIENCE_S, Process, ended_at_last, journal_of, settings_file, venue_process
from tests.builders_runner import START

pytestmark = pytest.mark.acceptance

MINUTES = float(os.environ.get("TICKLOOP_SOAK_MINUTES", "60"))
SPEED = 5.0
LOOK_S = 2.0
WARM_SHARE = 0.2  # of the run, before memory is judged: windows and caches fill
FLAT = 0.05
LOST = ("gaps_total", "disconnects_total", "malformed_frames_total")


class Look(NamedTuple):
    """What one look at the runner found."""

    resident: int  # bytes
    descriptors: int
    counted: dict[str, float]  # by metric, all labels together


def tape(folder: Path, seconds: float) -> None:
    """The simulator's market of that many seconds, as a capture that is never whole in memory."""
    (folder / "tape").mkdir()
    path = folder / "tape" / "btcusd_perp_20240809.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.writelines(capture_line(*split_line(line)) for line in synthetic_capture(COINM_BTC, 0, START, seconds))


def look(runner: Process, port: int) -> Look:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S).text
    counted = {
        name: _total(text, name) for name in (*LOST, "frames_total", "decisions_total", "skipped_decisions_total")
    }
    pages = int(Path(f"/proc/{runner.popen.pid}/statm").read_text().split()[1])
    descriptors = len(list(Path(f"/proc/{runner.popen.pid}/fd").iterdir()))
    return Look(pages * os.sysconf("SC_PAGE_SIZE"), descriptors, counted)


def _total(text: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def runner_with_snapshots_as_usual(folder: Path, venue: Process) -> Process:
    """A runner whose snapshots are minutes apart, as those of the profiles are."""
    ports = venue.ready()
    settings_file(folder, ports["ws_port"], ports["rest_port"])
    path = folder / "settings.yaml"
    path.write_text(path.read_text().replace("snapshot_min: 0.02", "snapshot_min: 5"))
    return Process(folder, "runner", ["live"])


def looks(runner: Process, minutes: float) -> Iterator[Look]:
    """One every few seconds, from the first frames on."""
    port = runner.ready()["api_port"]
    end = time.monotonic() + 60.0 * minutes
    while time.monotonic() < end:
        assert runner.popen.poll() is None, runner.lines()[-3:]
        yield look(runner, port)
        time.sleep(LOOK_S)  # a look is a sample of a run that lasts as long as it lasts


def test_an_hour_at_five_times_the_speed_leaves_memory_flat_and_loses_nothing(tmp_path: Path) -> None:
    tape(tmp_path, MINUTES * 60 * SPEED + 120.0)
    speed = ("--speed", str(SPEED))
    with (
        ended_at_last(venue_process(tmp_path, str(START + 500_000_000), *speed)) as venue,
        ended_at_last(runner_with_snapshots_as_usual(tmp_path, venue)) as runner,
    ):
        seen = list(looks(runner, MINUTES))
        assert runner.end() == 0, runner.lines()[-3:]
    warm = seen[int(len(seen) * WARM_SHARE) :]
    fifth = max(1, len(warm) // 5)
    before, after = (statistics.median(one.resident for one in part) for part in (warm[:fifth], warm[-fifth:]))
    opened = [statistics.median(one.descriptors for one in part) for part in (warm[:fifth], warm[-fifth:])]
    counted = warm[-1].counted
    print(f"{MINUTES:g} min: {before / 1e6:.1f} to {after / 1e6:.1f} MB, descriptors {opened}, {counted}")  # noqa: T201
    assert counted["frames_total"] > 100 * 60 * MINUTES
    assert {name: counted[name] - warm[0].counted[name] for name in LOST} == dict.fromkeys(LOST, 0.0)
    assert opened[1] <= opened[0]
    assert abs(after / before - 1) < FLAT
    assert torn_end(segments(journal_of(tmp_path))[-1]) is None
