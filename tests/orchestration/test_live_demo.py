"""The live half on a synthetic minute: real processes, a real deployment, and a journal that comes out as written."""

import json
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from commands.command import json_of
from config.settings import Settings
from market.errors import TickloopError, VenueError
from orchestration.instance import open_instance
from orchestration.live_demo import LiveFigures, Playing, live_facts, live_lines, run_job, run_live
from orchestration.live_processes import settings_file, started
from orchestration.running import run_chain
from storage.lake import PASSED, Lake
from storage.registry import Registry
from tests.builders_chain import tiny_settings

PLAYING = Playing(seconds=21.0)  # a busy machine takes seconds to push a bundle, and the tape waits for nobody


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = tiny_settings(tmp_path_factory.mktemp("var"))
    with open_instance(found.paths.dagster) as instance:
        run_chain(found, instance, lambda line: None)
    return replace(found, live=replace(found.live, symbol=found.data.symbols[0]))


@pytest.fixture(scope="module")
def traded(settings: Settings) -> tuple[LiveFigures, list[str]]:
    said: list[str] = []
    with open_instance(settings.paths.dagster) as instance:
        return run_live(settings, instance, said.append, PLAYING), said


def test_what_was_traded_comes_out_again_bit_for_bit(traded: tuple[LiveFigures, list[str]]) -> None:
    figures = traded[0]
    assert figures.parity.exact, (str(figures.parity.orders), str(figures.parity.decisions))
    assert figures.parity.fills == figures.journal["fills"] > 0
    assert figures.journal["lost_by_sequence"] == 0


def test_the_runner_answered_with_the_approved_bundle(
    settings: Settings, traded: tuple[LiveFigures, list[str]]
) -> None:
    approved = [entry.bundle_sha for entry in Registry(settings.paths.mlflow).ledger.promotions()]
    assert traded[0].running_sha in approved
    assert any(traded[0].running_sha in line for line in live_lines(live_facts(traded[0])))


def test_progress_is_shown_and_the_summary_is_short(traded: tuple[LiveFigures, list[str]]) -> None:
    assert any("fills:" in line for line in traded[1])
    facts = json.loads(json_of(live_facts(traded[0])))
    assert [level["exact"] for level in facts["parity"]] == [True, True]
    lines = live_lines(facts)
    assert len(lines) <= 8
    assert max(map(len, lines)) <= 140


def test_the_journal_lies_in_the_lake_and_a_second_import_writes_nothing(
    settings: Settings, traded: tuple[LiveFigures, list[str]]
) -> None:
    lake, symbol = Lake(settings.paths.lake), settings.live.symbol
    before = {manifest.name: manifest for manifest in lake.manifests()[0] if manifest.dataset.startswith("live_")}
    assert {manifest.verdict for manifest in before.values()} == {PASSED}
    with open_instance(settings.paths.dagster) as instance:
        again = run_job(settings, instance, lambda line: None, "live", "live_journal")
    assert {name: again[name] for name in ("frames", "events", "decisions", "fills")} == {
        name: traded[0].journal[name] for name in ("frames", "events", "decisions", "fills")
    }
    after = {manifest.name: manifest for manifest in lake.manifests()[0] if manifest.dataset.startswith("live_")}
    assert {name: manifest.sha256 for name, manifest in after.items()} == {
        name: manifest.sha256 for name, manifest in before.items()
    }
    fills = lake.scan("live_reports", symbol).filter(pl.col("kind") == 2).collect()
    assert fills.height == traded[0].journal["fills"]


def test_the_keys_of_a_run_are_gone_with_it(traded: tuple[LiveFigures, list[str]]) -> None:
    assert "TICKLOOP_DEPLOY_KEY" not in os.environ


def test_without_a_key_nothing_is_deployed(settings: Settings) -> None:
    with open_instance(settings.paths.dagster) as instance, pytest.raises(TickloopError, match="TICKLOOP_DEPLOY_TOKEN"):
        run_job(settings, instance, lambda line: None, "deployment", "live_deployment")


def test_a_child_that_cannot_start_is_one_line(settings: Settings, tmp_path: Path) -> None:
    settings_file(settings, tmp_path / "venue.yaml")
    arguments = ["exchange", "--start", "yesterday", "--ws-port", "0", "--rest-port", "0"]
    with (
        pytest.raises(VenueError, match="venue ended before it was ready: tickloop: instant='yesterday'"),
        started("venue", arguments, tmp_path, os.environ),
    ):
        pass
