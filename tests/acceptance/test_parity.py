"""Levels 1 and 2 on every recording, whole; level 3 over two hundred fills of an exchange desk."""

from dataclasses import replace
from pathlib import Path

import pytest

from live.ladder import climb
from live.parity import parity_of
from tests.builders_exchange import run_at_venue
from tests.builders_live import in_loop
from tests.builders_market import RUNS
from tests.builders_parity import deploying, orders_here, recorded_journal, taking_plan

pytestmark = [pytest.mark.acceptance, pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")]


@pytest.mark.parametrize("run", RUNS)
def test_orders_and_decisions_of_every_recording_come_out_bit_for_bit(run: str, tmp_path: Path) -> None:
    report = parity_of(recorded_journal(tmp_path, run), tmp_path)
    assert report.exact, f"{report.orders}; {report.decisions}"
    assert report.orders.records > 100
    assert report.decisions.rows > 10_000


@in_loop
async def test_two_hundred_fills_at_the_replay_venue_are_those_of_the_backtest(tmp_path: Path) -> None:
    await run_at_venue(tmp_path, 24.0, taking_plan(), deploying(tmp_path))
    settings = orders_here()
    settings = replace(settings, parity=replace(settings.parity, draws=20))
    ladder = climb(settings, tmp_path / "journal", tmp_path / "bundles", 3)
    assert [level.verdict for level in ladder.levels] == ["passed"] * 3, ladder.why
    assert ladder.levels[2].figures["fills"] >= settings.parity.min_fills == 200
