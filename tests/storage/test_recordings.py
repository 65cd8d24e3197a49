"""Recordings come from this machine or over HTTP, whole and verified, or not at all."""

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import CorruptFile, RecordingError
from storage import recordings
from storage.download import RemoteFile, download
from tests.builders import recording

CONTENT = bytes(range(256)) * 2_000
SHA = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Origin:
    """What the loopback server serves, and the ranges that it was asked for."""

    content: bytes = CONTENT
    stop_after: int | None = None  # bytes of a body after which the connection closes
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def file(self) -> RemoteFile:
        return RemoteFile(self.url, len(CONTENT), SHA)


def _handler(origin: Origin) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            origin.asked.append(asked)
            start = int(re.findall(r"\d+", asked)[0]) if asked and origin.ranges else 0
            body = origin.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: origin.stop_after])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(origin)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        origin.url = f"http://127.0.0.1:{server.server_port}/file.gz"
        yield origin
        server.shutdown()


def test_a_download_arrives_whole_and_reports_progress(origin: Origin, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    download(origin.file(), tmp_path / "a" / "file.gz", lambda have, total: heard.append((have, total)))
    assert (tmp_path / "a" / "file.gz").read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file.gz"]


def test_a_download_that_breaks_off_goes_on_where_it_stopped(origin: Origin, tmp_path: Path) -> None:
    origin.stop_after = 100_000
    with pytest.raises(RecordingError, match="stopped after 100000 of 512000"):
        download(origin.file(), tmp_path / "file.gz", lambda *_: None)
    assert not (tmp_path / "file.gz").exists()
    origin.stop_after = None
    download(origin.file(), tmp_path / "file.gz", lambda *_: None)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert origin.asked == [None, "bytes=100000-"]


def test_a_server_that_knows_no_ranges_starts_anew(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:1_000])
    origin.ranges = False
    download(origin.file(), tmp_path / "file.gz", lambda *_: None)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", [b"\0" * len(CONTENT), CONTENT + b"more"])
def test_other_bytes_than_the_promised_ones_are_deleted(origin: Origin, tmp_path: Path, wrong: bytes) -> None:
    origin.content = wrong
    with pytest.raises(CorruptFile, match="promised"):
        download(origin.file(), tmp_path / "file.gz", lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_is_found_out_and_the_next_call_heals(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(b"x" * 1_000)
    with pytest.raises(CorruptFile):
        download(origin.file(), tmp_path / "file.gz", lambda *_: None)
    download(origin.file(), tmp_path / "file.gz", lambda *_: None)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_a_server_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot fetch http://127.0.0.1:9/") as refused:
        download(RemoteFile("http://127.0.0.1:9/file.gz", 1, SHA), tmp_path / "file.gz", lambda *_: None)
    assert "\n" not in str(refused.value)


def test_every_entry_is_pinned_to_a_commit_and_a_hash() -> None:
    for entry in recordings.CATALOGUE.values():
        assert re.search(r"/[0-9a-f]{40}/", entry.url)
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.bytes > 0
        assert entry.licence


def test_the_catalogue_describes_the_recordings_of_this_machine() -> None:
    for name in recordings.CATALOGUE:
        assert recording(name).stat().st_size == recordings.CATALOGUE[name].bytes


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecordingError, match=r"nearest: .*btcusd_perp_20240808\.gz"):
        recordings.find("binance/coinm/btcusd_perp_2024808.gz")


@pytest.fixture
def catalogued(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> recordings.Recording:
    entry = recordings.Recording("own/file_20240808.gz", origin.url, SHA, len(CONTENT), "ours")
    monkeypatch.setitem(recordings.CATALOGUE, entry.name, entry)
    return entry


def test_a_file_of_this_machine_is_taken_before_the_network(
    catalogued: recordings.Recording, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLOOP_RECORDINGS", str(tmp_path / "here"))
    (tmp_path / "here" / "own").mkdir(parents=True)
    (tmp_path / "here" / catalogued.name).write_bytes(CONTENT)
    path = recordings.fetch(catalogued.name, tmp_path / "there", lambda *_: None)
    assert path.read_bytes() == CONTENT
    assert origin.asked == []


def test_a_wrong_file_of_this_machine_is_passed_over_and_refused_by_name(
    catalogued: recordings.Recording, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLOOP_RECORDINGS", str(tmp_path / "here"))
    (tmp_path / "here" / "own").mkdir(parents=True)
    (tmp_path / "here" / catalogued.name).write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(RecordingError, match="sha256 differs"):
        recordings.local_recording(catalogued.name)
    assert recordings.fetch(catalogued.name, tmp_path / "there", lambda *_: None).read_bytes() == CONTENT
    assert origin.asked == [None]


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_wrong_file_is_named_where_the_right_one_cannot_be_downloaded(
    catalogued: recordings.Recording, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("TICKLOOP_RECORDINGS", str(tmp_path / "here"))
    wrong = tmp_path / where / catalogued.name
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"other")
    origin.stop_after = 10
    with pytest.raises(CorruptFile, match=f"{where}/{catalogued.name} is here, but its sha256 differs.*stopped after"):
        recordings.fetch(catalogued.name, tmp_path / "there", lambda *_: None)
    assert wrong.read_bytes() == b"other"


def test_a_second_fetch_asks_nobody(
    catalogued: recordings.Recording, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLOOP_RECORDINGS", str(tmp_path / "nowhere"))
    first = recordings.fetch(catalogued.name, tmp_path, lambda *_: None)
    assert recordings.fetch(catalogued.name, tmp_path, lambda *_: None) == first
    assert origin.asked == [None]


def test_a_folder_that_cannot_be_written_is_one_clear_line(catalogued: recordings.Recording, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("a file where a folder should be")
    with pytest.raises(RecordingError, match="cannot write"):
        recordings.fetch(catalogued.name, tmp_path, lambda *_: None)


@given(st.lists(st.dates(date(2000, 1, 1), date(2099, 12, 31)), min_size=2, unique=True))
def test_daily_files_are_ordered_by_the_date_in_their_names(days: list[date]) -> None:
    found = recordings.files_by_date(Path(f"btcusdt_{day:%Y%m%d}.jsonl.gz") for day in days)
    assert list(found) == [f"{day:%Y-%m-%d}" for day in sorted(days)]


@pytest.mark.parametrize("names", [["btcusdt.gz"], ["a_20240808.gz", "b_20240808.gz"]])
def test_daily_files_without_a_date_or_twice_of_one_day_are_refused(names: list[str]) -> None:
    with pytest.raises(RecordingError):
        recordings.files_by_date(map(Path, names))
