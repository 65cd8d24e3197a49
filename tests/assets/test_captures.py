"""A symbol's captures are found in its folder, and a folder that cannot be read is named."""

import dataclasses
from pathlib import Path

import pytest

from assets.captures import capture_dates
from config.loading import load_settings
from config.settings import Settings
from market.errors import DataError


def _settings(source: Path) -> Settings:
    settings = load_settings("dev")
    return dataclasses.replace(
        settings, data=dataclasses.replace(settings.data, sources={**settings.data.sources, "mine": str(source)})
    )


def test_daily_files_are_found_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("tape_20240809.gz", "tape_20240808.gz", ".tape_20240810.gz.7.tmp"):
        (tmp_path / name).touch()
    assert capture_dates(_settings(tmp_path), "mine") == ["2024-08-08", "2024-08-09"]


def test_a_source_that_is_no_folder_names_symbol_and_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("gone", "No such file"), ("file", "Not a directory")):
        with pytest.raises(DataError, match=f"source of mine, the folder {tmp_path / name}: {reason}"):
            capture_dates(_settings(tmp_path / name), "mine")
