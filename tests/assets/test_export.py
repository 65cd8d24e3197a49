"""A day of the lake as hftbacktest's file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets.export import export_day
from config.loading import load_settings
from config.settings import Settings
from market.errors import ConfigError, LakeError
from market.events import aligned_ts
from market.schema import events_to_frame, schema_sha
from market.sources.formats import importer_for
from storage.captures import input_file
from storage.lake import Lake
from tests.builders_market import COINM_BTC, synthetic_events

DAY = "2024-08-09"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose lake holds a checked day of the simulator."""
    settings = load_settings("dev")
    settings = replace(settings, paths=replace(settings.paths, var=tmp_path))
    lake, frame = Lake(settings.lake_root, settings.paths.lake_cache), events_to_frame(synthetic_events(3.0))
    lake.write("aligned_events", COINM_BTC.name, DAY, frame, schema_sha=schema_sha(frame.schema))
    lake.set_verdict("aligned_events", COINM_BTC.name, DAY, True, {})
    return settings


def test_a_day_of_the_lake_comes_back_from_its_export(settings: Settings, tmp_path: Path) -> None:
    path, tape = tmp_path / f"tape_{DAY}.npz", synthetic_events(3.0)
    count = export_day(settings, COINM_BTC.name, DAY, path, "raw")
    assert np.load(path)["data"].size == count >= tape.size
    back = np.concatenate(list(importer_for("hftbacktest", COINM_BTC).batches([input_file(path)])))
    for name in ("kind", "side", "price", "qty", "ingest_ts", "update_id"):
        assert np.array_equal(back[name], tape[name]), name


def test_who_waits_sees_both_passes_over_the_day(settings: Settings, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    def told(what: str, batches: Any, total: int, size_of: Any) -> Any:
        for batch in batches:
            seen.append((what, size_of(batch), total))
            yield batch

    export_day(settings, COINM_BTC.name, DAY, tmp_path / f"tape_{DAY}.npz", "raw", told)
    rows = synthetic_events(3.0).size
    assert seen == [("pass 1 of 2", rows, rows), ("pass 2 of 2", rows, rows)]


def test_aligned_stamps_are_those_of_our_clock(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / f"tape_{DAY}.npz"
    export_day(settings, COINM_BTC.name, DAY, path, "aligned")
    array, tape = np.load(path)["data"], synthetic_events(3.0)
    assert int(array["exch_ts"].min()) == aligned_ts(tape)[tape["exchange_ts"] > 0].min()


def test_what_the_lake_does_not_hold_is_refused_in_one_line(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "tape.npz"
    with pytest.raises(LakeError, match="2024-08-11"):
        export_day(settings, COINM_BTC.name, "2024-08-11", path, "raw")
    with pytest.raises(ConfigError, match="nothing"):
        export_day(settings, "nothing", DAY, path, "raw")
    assert not path.exists()
