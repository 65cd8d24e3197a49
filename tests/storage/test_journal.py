"""The journal: what was written comes back, a torn end is cut off, damage is named, a full disk ends whole."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import JournalError
from storage import journal_writer
from storage.journal import (
    CONNECTION,
    FRAME,
    MAGIC,
    Record,
    encode,
    finished_segments,
    read_headers,
    read_journal,
    read_segment,
    segments,
    torn_end,
)
from storage.journal_writer import JournalWriter, mend

HEADER = {"symbol": "x", "fees": [0.0, 1e-4]}
RECORDS = [Record(FRAME, 0, 10, b"first"), Record(CONNECTION, 0, 20, b"\x01"), Record(FRAME, 1, 30, b"the last one")]


def write(folder: Path, records: list[Record], segment_bytes: int = 1 << 20) -> None:
    writer = JournalWriter(folder, HEADER, segment_bytes)
    for record in records:
        writer.append(record)
        writer.flush()
    writer.close()


@given(
    st.lists(
        st.builds(
            Record, st.integers(1, 5), st.integers(0, 255), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=50)
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 400),
)
def test_records_come_back_in_order_over_any_number_of_segments(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], segment_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    write(folder, records, segment_bytes)
    assert list(read_journal(folder)) == records
    assert [header for _, header in read_headers(folder)] == [HEADER] * len(segments(folder))


def test_a_segment_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    write(tmp_path, RECORDS * 20, segment_bytes=300)
    sizes = [path.stat().st_size for path in segments(tmp_path)]
    assert len(sizes) > 5
    assert max(sizes) < 300 + 100
    assert [path.name for path in segments(tmp_path)][:2] == ["00000001.tlj", "00000002.tlj"]


def test_a_reopened_journal_goes_on_in_a_segment_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    write(tmp_path, RECORDS[:1])
    assert len(segments(tmp_path)) == 2
    assert list(read_journal(tmp_path)) == [*RECORDS, RECORDS[0]]


def test_opening_and_closing_writes_no_segment(tmp_path: Path) -> None:
    write(tmp_path, [])
    assert segments(tmp_path) == []
    with pytest.raises(JournalError, match=f"no journal in {tmp_path}"):
        next(read_journal(tmp_path))


@pytest.mark.parametrize("cut", range(1, len(encode(RECORDS[-1])) + 1))
def test_a_last_record_torn_at_any_byte_is_left_out_and_cut_off(tmp_path: Path, cut: int) -> None:
    write(tmp_path, RECORDS)
    (path,) = segments(tmp_path)
    whole = path.stat().st_size
    os.truncate(path, whole - cut)
    assert list(read_journal(tmp_path)) == RECORDS[:-1]

    writer = JournalWriter(tmp_path, HEADER, 1 << 20)
    left = len(encode(RECORDS[-1])) - cut
    assert (writer.mended.size if writer.mended else 0) == left
    writer.append(RECORDS[0])
    writer.close()
    assert list(read_journal(tmp_path)) == [*RECORDS[:-1], RECORDS[0]]


def test_a_segment_torn_anywhere_in_its_header_is_taken_away(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    write(tmp_path, RECORDS)
    newest = segments(tmp_path)[-1]
    content = newest.read_bytes()
    header_end = content.index(b"first") - len(encode(RECORDS[0])) + len(b"first")
    for size in range(header_end):
        newest.write_bytes(content[:size])
        assert list(read_journal(tmp_path)) == RECORDS
        assert len(list(read_headers(tmp_path))) == 1
        assert mend(tmp_path) is not None
        assert len(segments(tmp_path)) == 1


def test_zeros_that_a_power_cut_left_at_the_end_are_cut_off(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(5_000))
    assert list(read_journal(tmp_path)) == RECORDS
    assert mend(tmp_path) == (path, len(whole), 5_000)
    assert path.read_bytes() == whole


def test_a_last_record_that_is_long_enough_and_not_what_was_written_is_cut_off(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    (path,) = segments(tmp_path)
    content, size = path.read_bytes(), len(encode(RECORDS[-1]))
    for back in range(1, len(RECORDS[-1].payload) + 1):
        path.write_bytes(content[:-back] + bytes([content[-back] ^ 0x10]) + content[len(content) - back + 1 :])
        assert list(read_journal(tmp_path)) == RECORDS[:-1]
        assert torn_end(path) == (path, len(content) - size, size)


def test_damage_before_the_end_is_named_with_file_and_offset(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    (path,) = segments(tmp_path)
    content = path.read_bytes()
    starts = [len(content) - sum(len(encode(record)) for record in RECORDS[i:]) for i in range(len(RECORDS))]
    for at in range(len(MAGIC), starts[-1]):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        record_at = max(start for start in (len(MAGIC), *starts) if start <= at)
        for reading in (list_of, torn_end, lambda p: JournalWriter(p.parent, HEADER, 1 << 20)):
            with pytest.raises(JournalError, match=f"{path} is damaged at byte {record_at}$"):
                reading(path)
    assert finished_segments(tmp_path) == [path]  # no refused writer holds the lock


def list_of(path: Path) -> list[Record]:
    return list(read_segment(path, newest=True))


def test_a_file_that_is_no_segment_is_named(tmp_path: Path) -> None:
    (tmp_path / "00000001.tlj").write_bytes(b"something else")
    for reading in (read_journal, read_headers):
        with pytest.raises(JournalError, match="00000001.tlj is no journal segment"):
            next(iter(reading(tmp_path)))
    with pytest.raises(JournalError, match="00000001.tlj is no journal segment"):
        mend(tmp_path)
    assert (tmp_path / "00000001.tlj").exists()


def test_an_older_segment_cut_short_is_damage(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    write(tmp_path, RECORDS)
    oldest = segments(tmp_path)[0]
    os.truncate(oldest, oldest.stat().st_size - 3)
    with pytest.raises(JournalError, match=f"{oldest} is cut short at byte"):
        list(read_journal(tmp_path))


def test_a_second_writer_is_refused_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "LOCK_PATIENCE_S", 0.05)
    first = JournalWriter(tmp_path, HEADER, 1 << 20)
    first.append(RECORDS[0])
    first.flush()
    with pytest.raises(JournalError, match=f"another runner writes the journal in {tmp_path}"):
        JournalWriter(tmp_path, HEADER, 1 << 20)
    first.append(RECORDS[1])
    first.close()
    assert list(read_journal(tmp_path)) == RECORDS[:2]


def test_nothing_is_written_once_the_journal_is_closed(tmp_path: Path) -> None:
    for number in range(2):
        writer = JournalWriter(tmp_path, HEADER, 1 << 20)
        for record in RECORDS[:number]:
            writer.append(record)
        writer.close()
        writer.flush()  # nothing is queued
        writer.append(RECORDS[1])
        for _ in range(2):
            with pytest.raises(JournalError, match=f"^cannot write the journal in {tmp_path}: it is closed$"):
                writer.flush()
    assert list(read_journal(tmp_path)) == RECORDS[:1]


def test_a_finished_segment_is_one_that_nobody_writes(tmp_path: Path) -> None:
    assert finished_segments(tmp_path / "nothing") == []
    write(tmp_path, RECORDS)
    writer = JournalWriter(tmp_path, HEADER, 1 << 20)
    writer.append(RECORDS[0])
    writer.flush()
    assert finished_segments(tmp_path) == segments(tmp_path)[:-1]
    writer.close()
    assert finished_segments(tmp_path) == segments(tmp_path)
    assert len(segments(tmp_path)) == 2


@pytest.mark.parametrize("room", [0, 5, 100, 250, 500])
def test_a_full_disk_leaves_whole_records_and_nothing_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    def write_some(descriptor: int, data: bytes, real=os.write) -> int:
        nonlocal room
        if room == 0:
            raise OSError(28, "No space left on device")
        written = real(descriptor, data[:room])
        room -= written
        return written

    writer = JournalWriter(tmp_path, HEADER, 1 << 20)
    monkeypatch.setattr(os, "write", write_some)
    with pytest.raises(JournalError, match=f"cannot write the journal in {tmp_path}: No space left on device"):
        append_for_ever(writer)
    monkeypatch.undo()
    writer.append(RECORDS[2])
    writer.close()

    kept = list(read_journal(tmp_path))
    assert kept == RECORDS[:2] * (len(kept) // 2)
    write(tmp_path, RECORDS[2:])
    assert list(read_journal(tmp_path)) == [*kept, RECORDS[2]]


def append_for_ever(writer: JournalWriter) -> None:
    while True:
        writer.append(RECORDS[0])
        writer.append(RECORDS[1])
        writer.flush()


def test_a_limit_of_the_system_is_one_clear_line(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from storage.journal import *; from storage.journal_writer import *\n"
        "writer = JournalWriter(Path(sys.argv[1]), {}, 1 << 20)\n"
        "try:\n    while True:\n        writer.frame(1, 0, b'x' * 1000); writer.flush()\n"
        "except JournalError as error:\n    writer.close(); print(error)"
    )
    limit = (10_500, 10_500)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"cannot write the journal in {tmp_path}: File too large\n"
    assert torn_end(segments(tmp_path)[0]) is None
    assert len(list(read_journal(tmp_path))) == 10


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot write the journal in .*: Not a directory"):
        JournalWriter(tmp_path / "file" / "journal", HEADER, 1 << 20)
