"""A symbol's files are found by day and format, read in constant memory, and a fault in one harms nothing written."""

import dataclasses
import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from assets.aligned_events import AlignedDay, dump_clock
from assets.captures import capture_dates, capture_inputs, day_files, day_importer, import_day
from assets.partitions import Part, day_beside
from assets.raw_ticks import account_facts, importer_arrays, resume_importer
from assets.tables import Closing, publish_batches
from config.loading import load_settings
from config.settings import Settings
from config.sources import FileSource, Source
from market.errors import ConfigError, CorruptFile, DataError, LakeError
from market.events import EVENT, Events
from market.simulator import synthetic_capture
from market.sources import importing
from storage.lake import Lake, Manifest

MINE, DAY = "binance-coinm-btcusd_perp", "2024-08-09"
START = 1_723_161_600_000_000_000  # ns, the first of that day
PART = Part(MINE, DAY)
TAPE = tuple(synthetic_capture(load_settings("dev").instrument(MINE), 11, START, 4.0))


def settings_of(source: Source, hold_back_s: float = 0.0) -> Settings:
    settings = load_settings("dev")
    data = dataclasses.replace(settings.data, sources={MINE: source}, symbols=(MINE,), hold_back_s=hold_back_s)
    return dataclasses.replace(settings, data=data)


def written(path: Path, lines: Iterable[bytes] = TAPE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(lines), mtime=0))
    return path


def imported(settings: Settings) -> tuple[Events, list[str]]:
    said = list[str]()
    batches = list(import_day(settings, PART, day_importer(settings, MINE), said.append))
    return np.concatenate(batches, dtype=EVENT), said


def stored(settings: Settings, lake: Lake) -> Manifest:
    importer = day_importer(settings, MINE)
    batches = import_day(settings, PART, importer, lambda line: None)
    publish_batches(
        lake, "raw_ticks", PART, batches, lambda: Closing(account_facts(importer), importer_arrays(importer)), "inputs"
    )
    return lake.manifest("raw_ticks", *PART)


def test_daily_files_are_found_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("tape_20240809.gz", "tape_20240808.gz", ".tape_20240810.gz.7.tmp"):
        (tmp_path / name).touch()
    assert capture_dates(settings_of(str(tmp_path)), MINE) == ["2024-08-08", "2024-08-09"]


def test_a_source_that_is_no_folder_names_symbol_and_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("gone", "No such file"), ("file", "Not a directory")):
        with pytest.raises(DataError, match=f"source of {MINE}, the folder {tmp_path / name}: {reason}"):
            capture_dates(settings_of(str(tmp_path / name)), MINE)


def test_a_folder_a_format_and_a_list_of_files_lead_to_the_same_events(tmp_path: Path) -> None:
    path = written(tmp_path / "tape_20240809.gz")
    sources = (str(tmp_path), FileSource("capture", str(tmp_path)), FileSource("capture", (str(path),)))
    [first, *others] = [imported(settings_of(source))[0] for source in sources]
    assert first.size > 4_000
    assert [other.tobytes() for other in others] == [first.tobytes()] * 2


def test_an_import_says_what_came_of_it(tmp_path: Path) -> None:
    written(tmp_path / "tape_20240809.gz")
    events, said = imported(settings_of(str(tmp_path)))
    assert len(said) == 1
    assert said[0].startswith("read tape_20240809.gz, ")
    assert f"{len(TAPE):,} lines, {events.size:,} events" in said[0]


@pytest.mark.parametrize("names", [(), ("a_20240809.gz", "b_20240809.gz"), ("no_date.csv",)])
def test_an_unknown_format_is_refused_before_its_files_are_looked_at(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).touch()
    settings = settings_of(FileSource("tardsi", str(tmp_path)))
    refusal = rf"^data\.sources\.{MINE}\.format='tardsi' is unknown; did you mean tardis\? allowed: capture, .*tardis$"
    for of_symbol in (capture_dates, day_importer):
        with pytest.raises(ConfigError, match=refusal):
            of_symbol(settings, MINE)
    for of_day in (day_files, capture_inputs):
        with pytest.raises(ConfigError, match=refusal):
            of_day(settings, PART)


def test_a_second_file_of_a_day_is_refused_with_both_names(tmp_path: Path) -> None:
    written(tmp_path / "a_20240809.gz")
    written(tmp_path / "b_2024-08-09.gz")
    with pytest.raises(DataError, match=r"duplicate file: .*b_2024-08-09\.gz and .*a_20240809\.gz are both of"):
        imported(settings_of(str(tmp_path)))


def test_a_format_of_many_files_has_them_all_under_one_day(tmp_path: Path) -> None:
    for kind in ("incremental_book_L2", "trades"):
        written(tmp_path / f"binance-futures_{kind}_2024-08-09_1000SHIBUSDT.csv.gz", [])
    assert len(day_files(settings_of(FileSource("tardis", str(tmp_path))), PART)) == 2


def test_one_days_bytes_under_another_date_are_refused_with_both_names(tmp_path: Path) -> None:
    written(tmp_path / "tape_20240809.gz")
    written(tmp_path / "tape_20240810.gz")
    with pytest.raises(DataError, match=r"duplicate file: .*20240809\.gz and .*20240810\.gz hold the same bytes"):
        imported(settings_of(str(tmp_path)))


@pytest.mark.parametrize("hold_back_s", [0.0, 1.5])
def test_the_newest_day_is_seen_without_its_last_seconds(tmp_path: Path, hold_back_s: float) -> None:
    written(tmp_path / "tape_20240809.gz")
    whole, _ = imported(settings_of(str(tmp_path)))
    seen, _ = imported(settings_of(str(tmp_path), hold_back_s))
    last = int(TAPE[-1].partition(b" ")[0])
    assert seen.tobytes() == whole[whole["ingest_ts"] <= last - round(hold_back_s * 1e9)].tobytes()


def half_a_line(lines: list[bytes]) -> list[bytes]:
    return [line[: len(line) // 2] + b"\n" if place % 50 == 0 else line for place, line in enumerate(lines)]


def test_what_cannot_be_read_leaves_the_partition_that_was_there(tmp_path: Path) -> None:
    settings, lake = settings_of(str(tmp_path / "tape")), Lake(tmp_path / "lake")
    path = written(tmp_path / "tape" / "tape_20240809.gz")
    good = stored(settings, lake)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(CorruptFile, match=r"tape_20240809\.gz cannot be read to its end"):
        stored(settings, lake)
    written(path, half_a_line(list(TAPE)))
    with pytest.raises(DataError, match=r"tape_20240809\.gz: \d+ of \d+ lines cannot be read, .* the first is line 1:"):
        stored(settings, lake)
    assert lake.manifest("raw_ticks", *PART) == good
    assert lake.intact("raw_ticks", *PART)
    assert lake.verify() == []


def test_a_day_after_one_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    settings, lake = settings_of(str(tmp_path / "tape")), Lake(tmp_path / "lake")
    written(tmp_path / "tape" / "tape_20240809.gz")
    stored(settings, lake)
    (tmp_path / "lake" / "raw_ticks" / MINE / DAY / "manifest.json").write_text("{")
    with pytest.raises(LakeError, match=f"^the manifest of raw_ticks/{MINE}/{DAY} cannot be read: .*$"):
        resume_importer(day_importer(settings, MINE), lake, day_beside(PART, 1))


def test_importing_a_day_again_gives_the_same_bytes_whatever_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, lake = settings_of(str(tmp_path / "tape")), Lake(tmp_path / "lake")
    written(tmp_path / "tape" / "tape_20240809.gz")
    first = stored(settings, lake)
    for events, block in ((1, 1_000), (3_000, 9_999), (10**9, 1 << 22)):
        monkeypatch.setattr(importing, "_BATCH_BYTES", events * EVENT.itemsize)
        monkeypatch.setattr(importing, "_BLOCK_BYTES", block)
        assert stored(settings, lake) == first


def in_pieces(events: Events, size: int) -> Iterator[Events]:
    return (events[start : start + size].copy() for start in range(0, events.size, size))


def test_a_day_is_aligned_alike_whatever_the_batches(tmp_path: Path) -> None:
    written(tmp_path / "tape_20240809.gz")
    settings = settings_of(str(tmp_path))
    events, _ = imported(settings)
    found = []
    for size in (events.size, 1_013):
        day = AlignedDay(settings.clock, None, DAY)
        aligned = np.concatenate(list(day.aligned(in_pieces(events, size))), dtype=EVENT)
        state = b"".join(array.tobytes() for array in dump_clock(day.clock).values())
        found.append((aligned.tobytes(), state, day.facts()))
    assert found[0] == found[1]
    assert found[0][2]["delay_p95_ms"] > found[0][2]["delay_p50_ms"] > 0
