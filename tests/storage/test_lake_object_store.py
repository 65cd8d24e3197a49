"""Behind a URL the lake is the same lake: whole or refused, read through a cache that is proved by hash."""

import time
import uuid
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import polars as pl
import pytest

from market.errors import LakeError
from storage.lake import Lake
from storage.object_store import GRACE_S, ObjectStore

DAY = ("events", "venue-coin", "2024-08-08")
ROWS = pl.DataFrame({"ingest_ts": np.arange(10), "x": np.arange(10) * 0.5})
MEMORY = fsspec.filesystem("memory")


@pytest.fixture
def url() -> str:
    """A place of its own in the memory store of this process."""
    return f"memory://{uuid.uuid4().hex}/lake"


def passed(lake: Lake, key: str = DAY[2], rows: pl.DataFrame = ROWS) -> None:
    lake.write(*DAY[:2], key, rows, schema_sha="s1", state={"head": np.arange(3)}, metadata={"cold_start": True})
    lake.set_verdict(*DAY[:2], key, True, {"ordered": True})


def objects(url: str) -> list[str]:
    return sorted(path.rsplit("/", 1)[-1][:5] for path in MEMORY.find(url.removeprefix("memory:/")))


def test_another_machine_reads_what_one_has_written(tmp_path: Path, url: str) -> None:
    passed(Lake(url, tmp_path / "here"), "2024-08-09", ROWS[5:])
    passed(Lake(url, tmp_path / "here"), rows=ROWS[:5])
    there = Lake(url, tmp_path / "there")
    assert there.dates(*DAY[:2]) == [DAY[2], "2024-08-09"]
    assert there.scan(*DAY[:2]).collect().equals(ROWS)
    assert pl.concat(there.batches(*DAY[:2])).equals(ROWS)
    assert there.relation(duckdb.connect(), *DAY[:2]).pl().equals(ROWS)
    state = there.state(*DAY)
    assert state is not None
    assert state["head"].tolist() == [0, 1, 2]
    assert [manifest.rows for manifest in there.manifests()] == [5, 5]
    assert there.intact(*DAY)
    assert there.verify() == []


def test_the_store_and_a_folder_hold_the_same_bytes(tmp_path: Path, url: str) -> None:
    folder, store = Lake(tmp_path / "folder"), Lake(url, tmp_path / "cache")
    assert folder.write(*DAY, ROWS, schema_sha="s1") == store.write(*DAY, ROWS, schema_sha="s1")


def test_the_refusals_are_those_of_a_folder(tmp_path: Path, url: str) -> None:
    lake = Lake(url, tmp_path)
    with pytest.raises(LakeError, match="no partition events/venue-coin/2024-08-08"):
        lake.manifest(*DAY)
    assert not lake.holds(*DAY)
    lake.write(*DAY, ROWS, schema_sha="s1")
    with pytest.raises(LakeError, match="checks are unchecked"):
        lake.scan(*DAY[:2])


def test_a_torn_object_is_never_read(tmp_path: Path, url: str) -> None:
    passed(Lake(url, tmp_path / "here"))
    [path] = [path for path in MEMORY.find(url.removeprefix("memory:/")) if path.endswith(".parquet")]
    MEMORY.pipe_file(path, MEMORY.cat_file(path)[:-1] + b"?")
    there = Lake(url, tmp_path / "there")
    with pytest.raises(LakeError, match="torn: data-"):
        there.scan(*DAY[:2])
    assert len(there.verify()) == 1
    MEMORY.rm_file(path)
    for lake in (there, Lake(url, tmp_path / "here")):
        with pytest.raises(LakeError, match="missing"):
            lake.scan(*DAY[:2])
        assert "missing" in lake.verify()[0]


def test_a_damaged_cache_is_filled_again(tmp_path: Path, url: str) -> None:
    passed(Lake(url, tmp_path))
    [cached] = tmp_path.rglob("data-*.parquet")
    cached.write_bytes(b"rot")
    assert Lake(url, tmp_path).scan(*DAY[:2]).collect().equals(ROWS)


def test_leaving_without_a_commit_leaves_the_old_partition(tmp_path: Path, url: str) -> None:
    lake = Lake(url, tmp_path)
    passed(lake)
    before = objects(url)
    with lake.writing(*DAY, schema_sha="s1") as partition:
        partition.append(ROWS[:3])
    assert objects(url) == before
    assert lake.scan(*DAY[:2]).collect().equals(ROWS)


def test_a_write_beside_another_machines_is_noticed_and_that_one_stays(tmp_path: Path, url: str) -> None:
    here, there = Lake(url, tmp_path / "here"), Lake(url, tmp_path / "there")
    passed(here)
    with here.writing(*DAY, schema_sha="s1") as partition:
        partition.append(ROWS[:3])
        passed(there, rows=ROWS[:7])
        with pytest.raises(LakeError, match="written by another machine meanwhile"):
            partition.commit()
    assert here.scan(*DAY[:2]).collect().equals(ROWS[:7])
    assert here.verify() == []


def test_two_writers_on_one_machine_exclude_each_other(tmp_path: Path, url: str) -> None:
    first, second = Lake(url, tmp_path), Lake(url, tmp_path)
    with first.writing(*DAY, schema_sha="s1"), pytest.raises(LakeError, match="being written by another process"):
        second.write(*DAY, ROWS, schema_sha="s1")


def test_objects_without_a_manifest_are_swept_when_no_writer_can_still_want_them(tmp_path: Path, url: str) -> None:
    lake = Lake(url, tmp_path)
    passed(lake)
    lake.write(*DAY, ROWS[:3], schema_sha="s1")
    assert objects(url) == ["data-", "data-", "manif", "state"]
    assert lake.sweep() == 0
    later = ObjectStore(url, tmp_path, now=lambda: time.time() + GRACE_S + 60)
    [place] = later.touched()
    assert later.sweep(place, set(lake.manifest(*DAY).files)) == 2
    assert objects(url) == ["data-", "manif"]
    assert lake.verify() == []


@pytest.mark.parametrize(("bad", "said"), [("nosuch://b/lake", "nosuch"), ("memory://lake", "cache")])
def test_a_url_that_cannot_be_used_is_one_line(bad: str, said: str, tmp_path: Path) -> None:
    cache = tmp_path if bad.startswith("nosuch") else None
    with pytest.raises(LakeError, match=said):
        Lake(bad, cache)
