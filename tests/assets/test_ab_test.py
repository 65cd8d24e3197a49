"""The daily A/B as Dagster has it: a challenger that does harm is barred once, and nobody else ever is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.ab_test import ab_test, ab_test_hold, end_challenger, judged_as_stated
from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import RegistryError
from monitoring.ab import HARM
from storage.promotions import REJECTED, PromotionLedger
from storage.registry import Version
from tests.assets.test_ab_command import decisions, journal

DAYS = 6
CHALLENGER = Version("coin", "3", "run", "bb", "")
HARMFUL = {"verdict": HARM, "said": "stopped for harm: by the end of day 3", "challenger_sha": "bb"}


class Shelf:
    """A registry of one challenger."""

    def __init__(self, folder: Path, champion: Version | None = None) -> None:
        self.ledger, self.champion = PromotionLedger(folder / "promotions.jsonl"), champion

    def holding(self, model: str, bundle_sha: str) -> Version | None:
        return replace(CHALLENGER, model=model) if bundle_sha == CHALLENGER.bundle_sha else None

    def aliased(self, model: str, alias: str) -> Version | None:
        return self.champion

    def reject(self, line: Any) -> None:
        self.ledger.append(line)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(load_settings("dev"), paths=Paths(tmp_path))


def test_a_harmful_challenger_is_stopped_by_the_asset_and_its_check_holds(settings: Settings) -> None:
    rng, minutes = np.random.default_rng(0), np.arange(DAYS * 1_440)
    market = rng.normal(size=minutes.size)
    nets = [market + 0.3 * rng.normal(size=minutes.size) - loss for loss in (0.0, 0.1)]
    lake = journal(settings, *(decisions(desk, minutes, net) for desk, net in zip((0, 2), nets, strict=True)))
    resources = {"settings": settings, "lake": lake}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([ab_test, ab_test_hold], resources=resources, instance=instance)
    assert result.success
    [made] = result.get_asset_materialization_events()
    facts = {name: entry.value for name, entry in made.materialization.metadata.items()}
    assert (facts["verdict"], facts["champion_sha"], facts["challenger_sha"]) == (HARM, "aa", "bb")
    assert 1 <= facts["stopped_on"] <= DAYS
    assert "by the end of day" in facts["said"]
    table = lake.scan("ab_test", settings.live.symbol).collect()
    assert table["figure"].to_list() == ["sharpe", "hit_rate", "tail_loss", "cost_bp"]
    assert table["high"][0] < 0 < table["champion"][0] - table["challenger"][0]


def test_the_challenger_of_an_ab_that_was_stopped_is_barred_once(tmp_path: Path) -> None:
    registry: Any = Shelf(tmp_path)
    line = end_challenger(registry, "coin", HARMFUL)
    assert (line.alias, line.who, line.bundle_sha, line.reason) == (REJECTED, "ab_test", "bb", f"A/B {HARMFUL['said']}")
    assert end_challenger(registry, "coin", HARMFUL) == line
    assert registry.ledger.promotions() == [line]


@pytest.mark.parametrize(
    ("facts", "champion", "said"),
    [
        ({"verdict": "champion"}, None, "says champion: nothing is rejected for that"),
        ({"challenger_sha": "cc"}, None, "has no version with bundle cc"),
        ({}, CHALLENGER, "is champion by now"),
    ],
)
def test_nobody_else_is_barred(tmp_path: Path, facts: dict[str, str], champion: Version | None, said: str) -> None:
    registry: Any = Shelf(tmp_path, champion)
    with pytest.raises(RegistryError, match=said):
        end_challenger(registry, "coin", HARMFUL | facts)
    assert registry.ledger.promotions() == []


def test_a_winner_without_its_fortnight_or_a_figure_that_stands_twice_does_not_hold() -> None:
    table = pl.DataFrame({"figure": ["sharpe"], "difference": [0.1], "low": [0.0], "high": [0.2]})
    won = {"verdict": "challenger", "days": 14.0, "over_looks_low": 0.01, "over_looks_high": 0.2}
    assert judged_as_stated(table, won).passed
    assert not judged_as_stated(table, won | {"days": 13.9}).passed
    assert not judged_as_stated(table, won | {"over_looks_low": -0.01}).passed
    assert judged_as_stated(table, won | {"verdict": "not told apart", "over_looks_low": -0.01}).passed
    assert judged_as_stated(table, {"verdict": HARM, "days": 2.0}).passed
    assert not judged_as_stated(pl.concat([table, table]), {"verdict": HARM, "days": 2.0}).passed
    assert not judged_as_stated(table.with_columns(high=pl.lit(-1.0)), {"verdict": HARM, "days": 2.0}).passed
