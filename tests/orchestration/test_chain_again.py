"""A finished chain driven once more reuses everything, and makes again just what is spoiled or gone."""

import shutil
from pathlib import Path

from assets.backtests import report_path
from assets.bundles import NETWORK, bundle_folder
from assets.models import bundles_intact
from assets.partitions import Part
from config.settings import Settings
from orchestration.progress import Underway
from orchestration.tapes import SYNTHETIC
from storage.lake import Lake
from storage.progress import LastLine
from storage.registry import CHAMPION, Registry
from tests.builders_chain import DAYS, drive, truncate
from tests.builders_terminal import Terminal


def flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_a_second_run_reuses_everything(copied: Settings) -> None:
    terminal = Terminal()
    report, said = drive(copied, Underway(LastLine(terminal)))
    assert report.made == []
    assert len(report.reused) >= 4 * len(DAYS) + 1 + 4 + 1
    shown = dict.fromkeys(terminal.told)  # each is there again below every line that is said
    slices = len(Lake(copied.paths.lake).dates("models", SYNTHETIC))
    assert list(shown) == [
        *(f"{what} {number} of {len(DAYS)}" for what in ("day", "labels of day", "warehouse day") for number in (1, 2)),
        *(f"slice {number} of {slices}" for number in range(1, slices + 1)),
    ]
    assert any("up to date" in line for line in said)


def test_a_torn_partition_is_made_again(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    manifest = lake.manifest("features", SYNTHETIC, DAYS[1])
    truncate(lake.root / "features" / SYNTHETIC / DAYS[1] / manifest.file)
    assert not lake.intact("features", SYNTHETIC, DAYS[1])
    report, _ = drive(copied)
    assert report.made == [f"{name} {SYNTHETIC} {DAYS[1]}" for name in ("features", "labels")]
    assert lake.manifest("features", SYNTHETIC, DAYS[1]).sha256 == manifest.sha256
    assert lake.verify() == []


def test_a_partition_whose_manifest_cannot_be_read_is_made_again(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    sha256 = lake.manifest("features", SYNTHETIC, DAYS[1]).sha256
    truncate(copied.paths.lake / "features" / SYNTHETIC / DAYS[1] / "manifest.json")
    report, _ = drive(copied)
    assert report.made == [f"{name} {SYNTHETIC} {DAYS[1]}" for name in ("features", "labels")]
    assert lake.manifest("features", SYNTHETIC, DAYS[1]).sha256 == sha256
    assert lake.verify() == []


def test_a_manifest_of_no_stage_of_the_chain_does_not_stop_it(copied: Settings) -> None:
    bad = copied.paths.lake / "live_events" / SYNTHETIC / "segment"
    bad.mkdir(parents=True)
    for file in ("manifest.json", "data-0000000000000000.parquet"):
        (bad / file).write_text("{")
    report, _ = drive(copied)
    assert report.made == []
    assert len(list(bad.glob("[!.]*"))) == 2


def test_a_changed_closing_state_is_made_again(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    state_file = lake.manifest("features", SYNTHETIC, DAYS[0]).state_file
    assert state_file is not None
    flip_last_byte(lake.root / "features" / SYNTHETIC / DAYS[0] / state_file)
    report, _ = drive(copied)
    assert f"features {SYNTHETIC} {DAYS[0]}" in report.made
    assert lake.verify() == []


def test_a_changed_bundle_is_made_again(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    part = Part(SYNTHETIC, lake.dates("models", SYNTHETIC)[0])
    flip_last_byte(bundle_folder(copied, part, NETWORK) / "weights.safetensors")
    assert not bundles_intact(copied, lake, part)
    report, _ = drive(copied)
    assert f"models {SYNTHETIC} {part.key}" in report.made
    assert f"search {SYNTHETIC} {part.key}" in report.reused
    assert bundles_intact(copied, lake, part)


def test_a_deleted_report_is_made_again(copied: Settings) -> None:
    key = Lake(copied.paths.lake).dates("backtests", SYNTHETIC)[0]
    page = report_path(copied, Part(SYNTHETIC, key))
    page.unlink()
    report, _ = drive(copied)
    assert f"backtests {SYNTHETIC} {key}" in report.made
    assert f"models {SYNTHETIC} {key}" in report.reused
    assert page.is_file()


def test_a_registry_that_is_gone_is_built_again(copied: Settings) -> None:
    shutil.rmtree(copied.paths.mlflow)
    row = Lake(copied.paths.lake).scan("registered_model", "all", ["all"]).collect().row(0, named=True)
    drive(copied)
    version = Registry(copied.paths.mlflow).aliased(row["model"], CHAMPION)
    assert version is not None
    assert version.bundle_sha == row["bundle_sha"]
