"""The demo finds its tape: a recording where there is one, else a synthetic one that says so."""

import dataclasses
import errno
import gzip
import os
from pathlib import Path

import pytest

from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import CorruptFile, DataError, RecordingError
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


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("wrong", [CorruptFile("btc.gz: sha256 is other"), RecordingError("no recording 'x'")])
def test_what_is_wrong_with_a_recording_is_no_reason_for_a_synthetic_tape(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, wrong: DataError
) -> None:
    def refuse(*_: object) -> None:
        raise wrong

    monkeypatch.setattr(tapes, "fetch", refuse)
    said: list[str] = []
    with pytest.raises(type(wrong), match=str(wrong)):
        tapes.recorded_or_synthetic(settings, said.append)
    assert said == []


def test_a_full_disk_is_one_line_that_names_the_recording(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "_bring", _full)
    with pytest.raises(RecordingError, match=r"cannot write .*\.gz: No space left"):
        tapes.recorded_or_synthetic(settings, lambda _: None)


def test_a_tape_that_the_disk_does_not_take_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "publish", _full)
    with pytest.raises(DataError, match=r"cannot write .*tape_20240808\.gz: No space left"):
        tapes.write_days([b"1723161599999999999 {}\n"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_tape_whose_folder_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tapes").write_text("a file where a folder should be")
    with pytest.raises(DataError, match=r"cannot write .*tape_20240808\.gz"):
        tapes.write_days([b"1723161599999999999 {}\n"], tmp_path / "tapes")
