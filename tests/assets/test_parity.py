"""The ladder as an asset: its table, its pages, its verdict for whoever promotes, and what a failed level blocks."""

import json
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.parity import parity, parity_hold, parity_verdict
from assets.partitions import WHOLE
from config.loading import load_settings
from config.settings import Paths, Settings
from live.ladder import Ladder
from live.overheard import Decided
from monitoring.profit_parity import Level, Verdict, Waterfall, waterfall
from orchestration.climbing import JournalClimber
from storage.lake import Lake
from tests.builders_live import in_loop
from tests.builders_runner import traded_journal

DECIDED_NS = 1_723_161_600_000_000_000  # 2024-08-09
DAY_NS = 86_400_000_000_000
CAUSES = waterfall(1.0, [("fees", 0.9), ("latency", 1.2)], 1.25)
MODELS = {"bb" * 32: Decided(7, DECIDED_NS)}
MINUTES = pl.DataFrame({"minute": [0, 60_000_000_000], "made": [1.0, 0.25], "again": [1.0, 0.26]})


class Found:
    """A climber that has come so far."""

    def __init__(self, verdicts: list[Verdict], causes: Waterfall | None = CAUSES) -> None:
        levels = tuple(Level(place, verdict, "so it is", {}) for place, verdict in enumerate(verdicts, 1))
        self.found = Ladder("", "paper", "probe", "c", "f", levels, causes, MINUTES, 0, MODELS)

    def climb(self, settings: Settings, symbol: str) -> Ladder:
        """What was found."""
        return self.found._replace(symbol=symbol)


def settings_at(folder: Path) -> Settings:
    settings = load_settings("dev")
    few = replace(settings.parity, draws=20, min_fills=10, min_answers=20)
    return replace(settings, paths=Paths(folder), parity=few)


def made(settings: Settings, climber: object) -> tuple[dg.ExecuteInProcessResult, Lake]:
    lake = Lake(settings.paths.lake)
    resources = {"settings": settings, "lake": lake, "climber": climber}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([parity, parity_hold], resources=resources, instance=instance, raise_on_error=False)
    return result, lake


@pytest.mark.parametrize(
    ("verdicts", "failed", "whole"),
    [
        (["passed"] * 4, [], "passed"),
        (["passed", "passed", "passed", "failed"], [], "passed"),
        (["insufficient", "passed", "insufficient", "failed"], [], "insufficient"),
        (["not asked", "passed", "reported", "passed"], [], "passed"),
        (["not asked", "passed", "reported", "failed"], [], "insufficient"),
        (["not asked", "insufficient", "reported", "passed"], [], "insufficient"),
        (["not asked", "passed", "insufficient", "passed"], [], "insufficient"),
        (["passed", "failed", "passed", "passed"], ["levels_exact"], "failed"),
        (["passed", "passed", "failed", "passed"], ["profit"], "failed"),
        (["passed", "insufficient", "passed", "passed"], [], "insufficient"),
        (["passed", "passed"], ["profit"], "insufficient"),
    ],
)
def test_a_failed_level_blocks_but_for_the_fourth(
    tmp_path: Path, verdicts: list[Verdict], failed: list[str], whole: str
) -> None:
    settings = settings_at(tmp_path)
    result, lake = made(settings, Found(verdicts))
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert sorted(name for name, passed in checks.items() if not passed) == failed
    assert len(checks) == 2
    told = parity_verdict(lake, settings.live.symbol, "bb" * 32, DECIDED_NS, DECIDED_NS)
    assert told.verdict == whole
    assert "level 2" in told.why


def test_only_a_journal_that_a_model_decided_in_lately_speaks_for_candidates(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    for verdicts, heard in ((["passed"] * 4, "insufficient"), (["passed", "failed", "passed", "passed"], "failed")):
        _, lake = made(settings, Found(verdicts))
        old, early = (
            parity_verdict(lake, settings.live.symbol, "bb" * 32, DECIDED_NS + 1 - days, DECIDED_NS + 1 - days)
            for days in (0, 2)
        )
        assert (old.verdict, early.verdict) == (heard, heard)
        assert early.why.startswith("a model decided last at 2024-08-09T00:00:00+00:00, which is yet to come") == (
            heard != "failed"
        )
        assert old.why.startswith("a model decided last at 2024-08-09T00:00:00+00:00, longer ago than") == (
            heard != "failed"
        )


def test_a_candidate_that_has_not_decided_in_the_journal_is_told_so(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    _, lake = made(settings, Found(["passed"] * 4))
    own, other = (parity_verdict(lake, settings.live.symbol, sha * 32, DECIDED_NS, DECIDED_NS) for sha in ("bb", "cc"))
    assert (own.verdict, other.verdict) == ("passed", "passed")
    assert other.why == f"{own.why}; bundle cccccccccccc has not decided in this journal"


def test_a_verdict_whose_checks_have_not_run_or_not_passed_is_no_pass(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    _, lake = made(settings, Found(["passed"] * 4))
    manifest = lake.manifest("parity", settings.live.symbol, WHOLE)
    lake.set_verdict("parity", settings.live.symbol, WHOLE, False, dict(manifest.checks))
    told = parity_verdict(lake, settings.live.symbol, "bb" * 32, DECIDED_NS, DECIDED_NS)
    assert told.verdict == "insufficient"
    assert told.why.startswith("its checks have not passed; ")


def test_without_a_climb_the_verdict_is_insufficient(tmp_path: Path) -> None:
    told = parity_verdict(Lake(tmp_path), "binance-coinm-btcusd_perp", "bb" * 32, 0, 0)
    assert told.verdict == "insufficient"
    assert "run the job ladder" in told.why


def test_waterfall_and_profit_stand_on_the_asset_s_page(tmp_path: Path) -> None:
    result, _ = made(settings_at(tmp_path), Found(["passed"] * 4))
    [event] = result.get_asset_materialization_events()
    pages = {name: value.value for name, value in event.materialization.metadata.items()}
    rows = str(pages["waterfall"]).splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["assumed", "fees", "latency", "residual", "made"]
    assert str(pages["profit"]).startswith("![profit since the start")


def test_the_journal_of_a_runner_is_climbed(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    folder = settings.paths.journal(settings.live.symbol).parent
    folder.mkdir(parents=True)

    @in_loop
    async def trade() -> None:
        await traded_journal(folder, 6.0)

    trade()
    result, lake = made(settings, JournalClimber())
    assert result.success
    table = lake.scan("parity", settings.live.symbol, [WHOLE]).collect()
    assert table["level"].to_list() == [1, 2, 3, 4]
    assert table["verdict"].to_list()[:3] == ["passed"] * 3
    assert json.loads(table["figures"][2])["distance"] == 0
