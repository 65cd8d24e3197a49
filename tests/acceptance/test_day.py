"""A simulated day in full ticks, and a recording, from the venue's sockets to the backtest: each a process of its own.

``TICKLOOP_DAY_MINUTES`` is how much of the day, all of it unless set, ``TICKLOOP_DAY_SPEED`` how fast it is played, 5
unless set; what was measured is printed (``pytest -s``). A whole day takes hours: with ``TICKLOOP_DAY_FOLDER`` it is
kept there, and what that folder holds already, tape or journal, is not made again.
"""

import gzip
import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from market.simulator.capture import simulated_capture
from market.simulator.parameters import SimulationParameters
from tests.builders import recording
from tests.builders_market import COINM_BTC
from tests.builders_processes import SYMBOL
from tests.builders_rehearsal import Rehearsed, judged, labelled, played, rehearsed
from tests.builders_runner import START

pytestmark = pytest.mark.acceptance

SECONDS: Final = 60.0 * float(os.environ.get("TICKLOOP_DAY_MINUTES", "1440"))
SPEED: Final = float(os.environ.get("TICKLOOP_DAY_SPEED", "5"))
RECORDED_S: Final = 630.0
HELD_BACK_S: Final = 10.0  # so that nothing bears the next day's stamp
SLACK_S: Final = 600.0  # for starts and ends, beyond the length of the tape
DAY: Final = "2024-08-09"


def held(found: Rehearsed) -> None:
    """The bars of a day."""
    print(found.line())  # noqa: T201
    levels = found.ladder.levels
    assert found.lost < 0.01
    assert found.lag_p95_ms < 300
    assert [level.verdict for level in levels] == ["passed"] * 3, found.line()
    assert levels[2].figures["fills"] >= found.settings.parity.min_fills == 200


def simulated_tape(path: Path) -> None:
    """The day as a capture; under its name only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_suffix(".begun")
    with gzip.open(begun, "wb", compresslevel=1) as file:
        file.writelines(simulated_capture(SimulationParameters(), COINM_BTC, START, SECONDS))
    begun.rename(path)


def test_a_simulated_day_goes_from_the_venue_to_the_backtest(tmp_path: Path) -> None:
    folder = Path(os.environ.get("TICKLOOP_DAY_FOLDER", tmp_path))
    tape = folder / "tape" / "btcusd_perp_20240809.gz"
    if not tape.exists():
        simulated_tape(tape)
    if not (folder / "var").exists():
        played(folder, str(START + 500_000_000), SPEED, SECONDS / SPEED + SLACK_S)
    found = judged(folder)
    held(found)
    assert labelled(found.settings, SYMBOL, DAY, HELD_BACK_S).rows > 40 * SECONDS


def test_a_recording_goes_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    for name in ("btcusd_perp_20240808.gz", "btcusd_perp_20240809.gz"):
        shutil.copy(recording(f"binance/coinm/{name}"), tmp_path / "tape" / name)
    held(rehearsed(tmp_path, f"last:{RECORDED_S}s", SPEED, RECORDED_S / SPEED + SLACK_S))
