"""The demo finds its tape: a recording where there is one, else a synthetic one that says so."""

import dataclasses
import gzip
from pathlib import Path

import pytest

from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import RecordingError
from orchestration import tapes
from storage import recordings
from tests.builders import recording


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return dataclasses.replace(load_settings("dev"), paths=Paths(tmp_path))


def _nothing_to_be_had(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("TICKLOOP_RECORDINGS", str(folder / "none"))
    for name, entry in recordings.CATALOGUE.items():
        closed = dataclasses.replace(entry, url="http://127.0.0.1:9/closed")
        monkeypatch.setitem(recordings.CATALOGUE, name, closed)


def test_recordings_are_fetched_and_nothing_is_said(settings: Settings) -> None:
    said: list[str] = []
    for name in settings.data.recordings:
        recording(name)
    assert tapes.recorded_or_synthetic(settings, said.append) is settings
    assert said == []
    assert all((settings.paths.recordings / name).is_file() for name in settings.data.recordings)


def test_a_run_without_its_recordings_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _nothing_to_be_had(monkeypatch, settings.paths.var)
    with pytest.raises(RecordingError, match="cannot fetch"):
        tapes.fetch_recordings(settings)


def test_the_demo_without_recordings_says_synthetic_in_word_and_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _nothing_to_be_had(monkeypatch, settings.paths.var)
    monkeypatch.setattr(tapes, "SECONDS", 2.0)
    said: list[str] = []
    found = tapes.recorded_or_synthetic(settings, said.append)
    assert "cannot fetch" in said[0]
    assert "SYNTHETIC" in said[1]
    assert found.data.symbols == ("synthetic-btcusd_perp",)
    assert found.instrument("synthetic-btcusd_perp").inverse
    assert [path.name for path in Path(str(found.data.sources["synthetic-btcusd_perp"])).iterdir()] == [
        "tape_20240808.gz"
    ]


def test_a_tape_is_cut_at_midnight_and_written_the_same_twice(tmp_path: Path) -> None:
    midnight = 1_723_161_600_000_000_000
    lines = [b"%d {}\n" % (midnight + shift) for shift in (-2, -1, 0, 1)]
    first, second = (tapes.write_days(lines, tmp_path / name) for name in "ab")
    assert list(first) == ["2024-08-08", "2024-08-09"]
    assert [gzip.decompress(path.read_bytes()) for path in first.values()] == [lines[0] + lines[1], lines[2] + lines[3]]
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]
