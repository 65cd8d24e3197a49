"""The full day's acceptance test in short: market, orders over sockets, lake, labels, and the profit once more.

Time is the tape's, so that a loaded machine changes nothing; the long form has processes and clocks of their own.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from config.settings import Paths
from live.ladder import climb
from storage.journal import FRAME, read_journal
from tests.builders_exchange import run_at_venue
from tests.builders_live import in_loop
from tests.builders_parity import deploying, orders_here, taking_plan
from tests.builders_processes import SYMBOL
from tests.builders_rehearsal import imported, labelled
from tests.builders_runner import synthetic_frames

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")

SECONDS = 24.0
DAY = "2024-08-09"


@in_loop
async def traded_in(folder: Path) -> None:
    await run_at_venue(folder, SECONDS, taking_plan(), deploying(folder))


def test_what_a_venue_plays_is_in_the_lake_whole_and_earns_the_same_again(tmp_path: Path) -> None:
    settings = replace(orders_here(), paths=Paths(tmp_path))
    journal = settings.paths.journal(SYMBOL)
    journal.parent.mkdir(parents=True)
    traded_in(journal.parent)
    frames = [record.payload for record in read_journal(journal) if record.kind == FRAME]
    assert frames == [frame for _, frame in synthetic_frames(SECONDS)]
    facts = imported(settings)
    assert facts["lost_by_sequence"] == 0
    assert 0 < facts["ingest_lag_p95_ms"] < 300
    labels = labelled(settings, SYMBOL, DAY)
    assert labels.rows > 40 * SECONDS
    ladder = climb(settings, journal, settings.paths.live_bundles(SYMBOL), 3)
    assert [level.verdict for level in ladder.levels] == ["passed"] * 3, ladder.why
    assert ladder.levels[2].figures["fills"] >= settings.parity.min_fills == 200
    assert ladder.levels[2].figures["distance"] < settings.parity.most_distance == 0.005
