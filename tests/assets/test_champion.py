"""Monitors are held against the champion that trades, and not against whatever was registered last."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.champion import champion_slice
from assets.partitions import WHOLE, Part
from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import LakeError, RegistryError
from market.schema import schema_sha
from storage.lake import Lake
from storage.promotions import REJECTED, Promotion, PromotionLedger
from storage.registry import CHALLENGER, CHAMPION, Version

OLD, NEW = "20240801T000000Z-k0", "20240808T000000Z-k1"
LINE = Promotion("2024-08-09T00:00:00+00:00", "Ada", "", CHAMPION, None, "1", "aa", {}, "by hand")


class Registered:
    """Two versions, each of its slice, and a ledger."""

    def __init__(self, settings: Settings) -> None:
        self.model = settings.registry.model_of(settings.live.symbol)
        self.ledger = PromotionLedger(settings.paths.mlflow / "promotions.jsonl")

    def holding(self, model: str, bundle_sha: str) -> Version | None:
        """The first has the bundle aa, the second bb."""
        number = {"aa": "1", "bb": "2"}.get(bundle_sha)
        return Version(model, number, f"run{number}", bundle_sha, "") if number else None

    def tags(self, version: Version) -> dict[str, str]:
        """As the registration wrote them."""
        return {"slice": {"1": OLD, "2": NEW}[version.version]}

    def append(self, **facts: Any) -> None:
        """One line of the ledger."""
        self.ledger.append(replace(LINE, model=self.model, **facts))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = replace(load_settings("dev"), paths=Paths(tmp_path))
    found.paths.mlflow.mkdir(parents=True)
    return found


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """The newest version's row, as ``registered_model`` has it."""
    made, frame = Lake(settings.paths.lake), pl.DataFrame({"symbol": [settings.live.symbol], "slice": [NEW]})
    made.write("registered_model", WHOLE, WHOLE, frame, schema_sha=schema_sha(frame.schema))
    made.set_verdict("registered_model", WHOLE, WHOLE, True, {})
    return made


@pytest.fixture
def registry(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Registered:
    found = Registered(settings)
    monkeypatch.setattr("assets.champion.registry_of", lambda _: found)
    return found


def test_a_challenger_that_waits_is_not_what_live_is_held_against(
    settings: Settings, lake: Lake, registry: Registered
) -> None:
    symbol = settings.live.symbol
    registry.append()
    registry.append(alias=CHALLENGER, to_version="2", bundle_sha="bb")
    assert champion_slice(settings, lake, symbol) == Part(symbol, OLD)
    registry.append(from_version="1", to_version="2", bundle_sha="bb")
    assert champion_slice(settings, lake, symbol) == Part(symbol, NEW)


def test_without_a_champion_it_is_the_newest_version(settings: Settings, lake: Lake, registry: Registered) -> None:
    symbol = settings.live.symbol
    assert champion_slice(settings, lake, symbol) == Part(symbol, NEW)
    registry.append()
    registry.append(alias=REJECTED)
    assert champion_slice(settings, lake, symbol) == Part(symbol, NEW)


def test_a_champion_that_the_registry_has_lost_is_an_error(
    settings: Settings, lake: Lake, registry: Registered
) -> None:
    registry.append(to_version="7", bundle_sha="cc")
    with pytest.raises(RegistryError, match="no version of .* with its champion's bundle cc"):
        champion_slice(settings, lake, settings.live.symbol)


def test_a_symbol_without_a_model_is_named(settings: Settings, lake: Lake, registry: Registered) -> None:
    with pytest.raises(LakeError, match="no model of nobody is registered"):
        champion_slice(settings, lake, "nobody")
