"""A partition is written batch by batch, and read back so, in constant memory."""

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import LakeError
from storage import parquet
from storage.lake import Lake, Manifest

DAY = ("events", "venue-coin", "2024-08-08")


def rows(count: int, start: int = 0) -> pl.DataFrame:
    stamps = np.arange(start, start + count, dtype=np.int64)
    return pl.DataFrame({"ingest_ts": stamps * 1_000, "price": stamps % 7, "ratio": (stamps % 5).astype(np.float32)})


def write_in(lake: Lake, table: pl.DataFrame, cuts: list[int]) -> Manifest:
    with lake.writing(*DAY, schema_sha="s1") as partition:
        for start, end in zip([0, *cuts], [*cuts, table.height], strict=True):
            partition.append(table[start:end])
        return partition.commit({"head": np.arange(3)}, {"cold_start": True})


def test_batches_appended_in_turn_are_one_partition(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    manifest = write_in(lake, rows(10), [3, 4])
    assert lake.scan(*DAY[:2], unchecked=True).collect().equals(rows(10))
    assert (manifest.rows, manifest.first_ts, manifest.last_ts) == (10, 0, 9_000)
    assert manifest.columns == {"ingest_ts": "Int64", "price": "Int64", "ratio": "Float32"}
    assert manifest.metadata == {"cold_start": True}


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 50), max_size=6).map(sorted))
def test_the_same_rows_make_the_same_bytes_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    table = rows(50)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parquet, "ROW_GROUP_ROWS", 16)
        lake = Lake(tmp_path_factory.mktemp("lake"))
        assert write_in(lake, table, []).sha256 == write_in(lake, table, cuts).sha256
        assert lake.scan(*DAY[:2], unchecked=True).collect().equals(table)


def test_rows_come_back_one_row_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 4)
    lake = Lake(tmp_path)
    write_in(lake, rows(10), [])
    batches = list(lake.batches(*DAY[:2], unchecked=True))
    assert [batch.height for batch in batches] == [4, 4, 2]
    assert pl.concat(batches).equals(rows(10))
    assert next(lake.batches(*DAY[:2], columns=["price"], unchecked=True)).equals(rows(4).select("price"))


def test_batches_of_an_unchecked_partition_are_refused_before_the_first_row(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_in(lake, rows(10), [])
    with pytest.raises(LakeError, match="checks are unchecked"):
        lake.batches(*DAY[:2])


def test_leaving_without_a_commit_leaves_the_old_partition_and_nothing_else(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_in(lake, rows(10), [])
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with lake.writing(*DAY, schema_sha="s1") as partition:
        partition.append(rows(5))
    with pytest.raises(ZeroDivisionError), lake.writing(*DAY, schema_sha="s1") as partition:
        partition.append(rows(1 // 0))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert lake.scan(*DAY[:2], unchecked=True).collect().equals(rows(10))


def test_an_empty_table_is_a_partition_and_no_table_is_none(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert write_in(lake, rows(0), []).rows == 0
    assert lake.scan(*DAY[:2], unchecked=True).collect().equals(rows(0))
    with lake.writing(*DAY, schema_sha="s1") as partition, pytest.raises(LakeError, match="nothing was appended"):
        partition.commit()


def test_a_batch_of_other_columns_is_refused(tmp_path: Path) -> None:
    with Lake(tmp_path).writing(*DAY, schema_sha="s1") as partition:
        partition.append(rows(2))
        with pytest.raises(LakeError, match="events/venue-coin/2024-08-08 was begun with"):
            partition.append(rows(2).drop("price"))


def test_a_committed_partition_takes_no_more(tmp_path: Path) -> None:
    with Lake(tmp_path).writing(*DAY, schema_sha="s1") as partition:
        partition.append(rows(2))
        partition.commit()
        with pytest.raises(LakeError, match="is committed"):
            partition.append(rows(2))


def test_a_null_behind_rows_without_one_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 4)
    lake = Lake(tmp_path)
    table = rows(10).with_columns(price=pl.when(pl.col("ingest_ts") == 9_000).then(None).otherwise(pl.col("price")))
    write_in(lake, table, [4, 8])
    assert lake.scan(*DAY[:2], unchecked=True).collect().equals(table)
    assert lake.verify() == []


def test_importing_a_day_again_changes_no_byte_and_leaves_nothing_behind(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_in(lake, rows(10), [3])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_in(lake, rows(10), [7])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_duckdb_reads_what_polars_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 4)
    lake = Lake(tmp_path)
    for day in range(3):
        lake.write(*DAY[:2], f"2024-08-0{day + 1}", rows(10, day * 10), schema_sha="s1")
    connection = duckdb.connect()
    with pytest.raises(LakeError, match="checks are unchecked"):
        lake.relation(connection, *DAY[:2])
    relation = lake.relation(connection, *DAY[:2], ["2024-08-02", "2024-08-01"], unchecked=True)
    assert relation.pl().equals(lake.scan(*DAY[:2], ["2024-08-02", "2024-08-01"], unchecked=True).collect())
    late = lake.relation(connection, *DAY[:2], unchecked=True).filter("ingest_ts >= 25000").aggregate("sum(price)")
    assert late.fetchall() == [(sum(n % 7 for n in range(25, 30)),)]


KINDS: dict[str, pl.Series] = {
    "every integer": pl.Series([-128, 0, 127], dtype=pl.Int8),
    "unsigned": pl.Series([0, 1, 2**64 - 1], dtype=pl.UInt64),
    "bits of a float": pl.Series(np.array([0x7FC00001, 0x80000000, 0], np.uint32).view(np.float32)),
    "double": pl.Series(np.array([0x7FF8000000000001, 1 << 63, 0], np.uint64).view(np.float64)),
    "truth": pl.Series([True, False, True]),
    "text": pl.Series(["a", "", "a"]),
    "bytes": pl.Series([b"a", b"", b"\x00"]),
    "nulls": pl.Series([1, None, 3]),
    "lists": pl.Series([[0.5, -0.0], [], [float("inf")]], dtype=pl.List(pl.Float64)),
    "times": pl.Series([1, 2, 3]).cast(pl.Datetime("ns", "UTC")),
    "fixed": pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Int64, 2)),
    "named": pl.Series(["up", "down", "up"], dtype=pl.Enum(["up", "down"])),
    "parts": pl.Series([{"a": 1, "b": None}, {"a": None, "b": "x"}, {"a": 3, "b": "y"}]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_every_kind_come_back_bit_for_bit(tmp_path: Path, kind: str) -> None:
    table = pl.DataFrame({"column": KINDS[kind]})
    lake = Lake(tmp_path)
    lake.write(*DAY, table, schema_sha="s1")
    read = lake.scan(*DAY[:2], unchecked=True).collect()
    assert read.schema == table.schema
    assert read.equals(table)
    if table.dtypes[0].is_float():
        assert read["column"].to_numpy().tobytes() == table["column"].to_numpy().tobytes()
