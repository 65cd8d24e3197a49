"""The lake keeps whole, checked partitions and refuses everything else."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from market.errors import LakeError
from storage.files import locked
from storage.lake import FAILED, PASSED, Lake

SYMBOL, DAY = "venue-coin", "2024-08-08"


def frame(rows: int = 3, start: int = 10) -> pl.DataFrame:
    return pl.DataFrame({"row_ts": np.arange(start, start + rows, dtype=np.int64), "x": np.arange(rows) * 0.5})


def written(lake: Lake, day: str = DAY, rows: int = 3, start: int = 10) -> None:
    lake.write("features", SYMBOL, day, frame(rows, start), schema_sha="s1")
    lake.set_verdict("features", SYMBOL, day, True, {"finite": True})


def test_a_passed_partition_comes_back_as_it_was_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake)
    assert lake.scan("features", SYMBOL).collect().equals(frame())
    manifest = lake.manifest("features", SYMBOL, DAY)
    assert (manifest.rows, manifest.first_ts, manifest.last_ts, manifest.verdict) == (3, 10, 12, PASSED)


def test_days_are_scanned_in_order_and_lazily(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake, "2024-08-09", 2, 100)
    written(lake, DAY)
    rows = lake.scan("features", SYMBOL)
    assert isinstance(rows, pl.LazyFrame)
    assert rows.select("row_ts").collect()["row_ts"].to_list() == [10, 11, 12, 100, 101]
    assert lake.dates("features", SYMBOL) == [DAY, "2024-08-09"]


def test_an_unchecked_partition_is_refused_unless_asked_for(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("features", SYMBOL, DAY, frame(), schema_sha="s1")
    with pytest.raises(LakeError, match="checks are unchecked"):
        lake.scan("features", SYMBOL)
    assert lake.scan("features", SYMBOL, unchecked=True).collect().height == 3


def test_a_failed_partition_is_always_refused_and_names_its_check(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake)
    assert lake.set_verdict("features", SYMBOL, DAY, False, {"finite": True, "causal": False}).verdict == FAILED
    with pytest.raises(LakeError, match=r"failed \(causal\)"):
        lake.scan("features", SYMBOL, unchecked=True)


def test_writing_again_takes_the_verdict_away(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake)
    lake.write("features", SYMBOL, DAY, frame(5), schema_sha="s1")
    with pytest.raises(LakeError, match="unchecked"):
        lake.scan("features", SYMBOL)
    assert len(list((tmp_path / "features" / SYMBOL / DAY).glob("data-*"))) == 1


def test_a_torn_file_is_found_by_its_hash(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake)
    path = next(tmp_path.rglob("data-*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(LakeError, match="torn"):
        Lake(tmp_path).scan("features", SYMBOL)
    assert len(lake.verify()) == 1
    path.unlink()
    assert "missing" in lake.verify()[0]


def test_a_whole_lake_verifies(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake)
    assert len(list(lake.manifests())) == 1
    assert lake.verify() == []


def test_the_closing_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    state = {"head": np.array([1, 2**62], np.int64), "sums": np.array([[0.1]], np.float64)}
    lake.write("features", SYMBOL, DAY, frame(), schema_sha="s1", state=state)
    with pytest.raises(LakeError, match="unchecked"):
        lake.state("features", SYMBOL, DAY)
    lake.set_verdict("features", SYMBOL, DAY, True, {})
    loaded = lake.state("features", SYMBOL, DAY)
    assert loaded is not None
    assert set(loaded) == set(state)
    assert all(loaded[name].tobytes() == state[name].tobytes() for name in state)


def test_partitions_of_two_schemas_do_not_mix(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake)
    lake.write("features", SYMBOL, "2024-08-09", frame(), schema_sha="s2")
    with pytest.raises(LakeError, match="schema"):
        lake.scan("features", SYMBOL, unchecked=True)


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    first = Lake(tmp_path / "a").write("features", SYMBOL, DAY, frame(), schema_sha="s1")
    second = Lake(tmp_path / "b").write("features", SYMBOL, DAY, frame(), schema_sha="s1")
    assert first.sha256 == second.sha256


def test_a_second_writer_is_refused_while_the_first_one_writes(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake)
    lock = locked(tmp_path / "features" / SYMBOL / DAY / ".lock")
    with lock, pytest.raises(LakeError, match="written by another process"):
        Lake(tmp_path).write("features", SYMBOL, DAY, frame(9), schema_sha="s1")
    assert lake.scan("features", SYMBOL).collect().height == 3


@pytest.mark.parametrize("name", ["../x", "a|b", "", "a/b", ".hidden"])
def test_a_name_that_could_leave_the_lake_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LakeError, match="cannot name a folder"):
        Lake(tmp_path).write("features", name, DAY, frame(), schema_sha="s1")


def test_a_missing_partition_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=f"no partition features/{SYMBOL}/{DAY}"):
        Lake(tmp_path).scan("features", SYMBOL, [DAY])


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written(lake)
    folder = tmp_path / "features" / SYMBOL / DAY
    (folder / f".data.parquet.{os.getpid()}.tmp").write_bytes(b"half")
    (folder / "data-0123456789abcdef.parquet").write_bytes(b"whole, but never committed")
    assert lake.sweep() == 2
    assert lake.verify() == []
    assert lake.scan("features", SYMBOL).collect().height == 3
