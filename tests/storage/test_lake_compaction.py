"""Compaction changes how rows are stored, and nothing that anybody can read of them."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from market.errors import LakeError
from storage.compaction import compact_all
from storage.files import file_sha256
from storage.lake import FAILED, PASSED, Lake

TABLE, SYMBOL, DAY = "live_events", "venue-coin", "2024-08-08"
BITS = np.array([0x7FC00001, 0x7FC00002, 0x80000000, 0, 1], np.uint32).view(np.float32)  # two NaNs, -0, 0, the least


def in_small_groups(lake: Lake, rows: pl.DataFrame, passed: bool = True) -> None:
    """A partition with a state and a verdict whose file has row groups of seven rows."""
    lake.write(TABLE, SYMBOL, DAY, rows, schema_sha="s1", state={"head": np.arange(4)}, metadata={"frames": 3})
    lake.set_verdict(TABLE, SYMBOL, DAY, passed, {"ordered": passed})
    manifest = lake.manifest(TABLE, SYMBOL, DAY)
    folder = lake.file(manifest).parent
    rows.write_parquet(folder / "small", row_group_size=7)
    sha256 = file_sha256(folder / "small")
    (folder / "small").rename(folder / f"data-{sha256[:16]}.parquet")
    content = json.loads((folder / "manifest.json").read_text())
    content |= {"file": f"data-{sha256[:16]}.parquet", "sha256": sha256}
    (folder / "manifest.json").write_text(json.dumps(content))


def table(count: int = 500) -> pl.DataFrame:
    stamps = np.arange(count, dtype=np.int64)
    return pl.DataFrame({"ingest_ts": stamps, "ratio": BITS[stamps % BITS.size], "note": [f"n{n % 3}" for n in stamps]})


def test_rows_verdict_facts_and_state_stay_and_the_row_groups_are_merged(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    in_small_groups(lake, table())
    old, state = lake.manifest(TABLE, SYMBOL, DAY), lake.state(TABLE, SYMBOL, DAY)
    [done] = compact_all(lake)
    new = lake.manifest(TABLE, SYMBOL, DAY)
    rows = lake.scan(TABLE, SYMBOL).collect()
    assert rows.equals(table())
    assert rows["ratio"].to_numpy().tobytes() == table()["ratio"].to_numpy().tobytes()
    assert pq.read_metadata(lake.file(new)).num_row_groups == 1
    assert (done.bytes_before, done.bytes_after) == (old.bytes, new.bytes)
    assert (new.verdict, new.checks, new.metadata) == (PASSED, {"ordered": True}, {"frames": 3})
    assert new.rows_sha256 == old.sha256 != new.sha256
    after = lake.state(TABLE, SYMBOL, DAY)
    assert state is not None
    assert after is not None
    assert after["head"].tolist() == state["head"].tolist() == [0, 1, 2, 3]
    assert lake.verify() == []
    assert len(list(tmp_path.rglob("data-*"))) == 1


def test_compaction_twice_is_compaction_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    in_small_groups(lake, table())
    assert len(compact_all(lake)) == 1
    first = lake.manifest(TABLE, SYMBOL, DAY)
    assert compact_all(lake) == []
    assert lake.manifest(TABLE, SYMBOL, DAY) == first


def test_compaction_stores_what_a_write_of_the_same_rows_stores(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "a")
    in_small_groups(lake, table())
    compact_all(lake)
    written = Lake(tmp_path / "b").write(TABLE, SYMBOL, DAY, table(), schema_sha="s1")
    assert lake.manifest(TABLE, SYMBOL, DAY).sha256 == written.sha256


def test_a_refused_partition_stays_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    in_small_groups(lake, table(), passed=False)
    compact_all(lake)
    assert lake.manifest(TABLE, SYMBOL, DAY).verdict == FAILED


def test_a_torn_partition_is_not_compacted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    in_small_groups(lake, table())
    path = lake.file(lake.manifest(TABLE, SYMBOL, DAY))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LakeError, match="torn"):
        compact_all(Lake(tmp_path))
    assert path.exists()
