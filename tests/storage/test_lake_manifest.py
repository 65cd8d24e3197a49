"""A manifest is of this version, brought up to it, or refused in one line; a bad one hides no other."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from market.errors import LakeError
from storage.compaction import compact_all
from storage.files import file_sha256
from storage.lake import PASSED, Lake
from storage.manifest import MANIFEST_VERSION

DAY = ("features", "venue-coin", "2024-08-08")
ROWS = pl.DataFrame({"row_ts": np.arange(10, 13), "x": [0.0, 0.5, 1.0]})


def passed(root: Path, key: str = DAY[2]) -> Path:
    """A partition that may be used; its manifest."""
    lake = Lake(root)
    lake.write(*DAY[:2], key, ROWS, schema_sha="s1")
    lake.set_verdict(*DAY[:2], key, True, {"finite": True})
    return root.joinpath(*DAY[:2], key, "manifest.json")


def first_version(root: Path) -> None:
    """A partition as it was written before manifests had a version: Polars' own Parquet, no columns recorded."""
    folder = root.joinpath(*DAY)
    folder.mkdir(parents=True)
    ROWS.write_parquet(folder / "new.parquet", compression="zstd")
    sha256 = file_sha256(folder / "new.parquet")
    file = (folder / "new.parquet").rename(folder / f"data-{sha256[:16]}.parquet")
    content = {
        "bytes": file.stat().st_size,
        "checks": {"finite": True},
        "dataset": DAY[0],
        "file": file.name,
        "first_ts": 10,
        "key": DAY[2],
        "last_ts": 12,
        "metadata": {"cold_start": True},
        "rows": 3,
        "schema_sha": "s1",
        "sha256": sha256,
        "state_file": None,
        "state_sha256": None,
        "symbol": DAY[1],
        "verdict": "passed",
    }
    (folder / "manifest.json").write_text(json.dumps(content, indent=1, sort_keys=True))


def test_a_manifest_says_its_version_and_the_columns_with_their_types(tmp_path: Path) -> None:
    content = json.loads(passed(tmp_path).read_text())
    assert content["schema_version"] == MANIFEST_VERSION
    assert list(content["columns"].items()) == [("row_ts", "Int64"), ("x", "Float64")]


def test_a_partition_of_the_first_version_is_read_on(tmp_path: Path) -> None:
    first_version(tmp_path)
    lake = Lake(tmp_path)
    manifest = lake.manifest(*DAY)
    assert (manifest.schema_version, manifest.columns, manifest.verdict) == (MANIFEST_VERSION, {}, PASSED)
    assert lake.scan(*DAY[:2]).collect().equals(ROWS)
    assert pl.concat(lake.batches(*DAY[:2])).equals(ROWS)
    assert lake.verify() == []


def test_a_manifest_of_a_later_version_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    path = passed(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": MANIFEST_VERSION + 1}))
    with pytest.raises(LakeError, match=r"version 3, this program knows 1 to 2: .* build it again with main.py run"):
        Lake(tmp_path).scan(*DAY[:2])


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"rows": 3}', '{"schema_version": "two"}', "\udcff", '{"schema_version": true}'],
)
def test_a_bad_manifest_is_one_clear_line_everywhere(tmp_path: Path, content: str) -> None:
    path = passed(tmp_path)
    passed(tmp_path, "2024-08-09")
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    lake = Lake(tmp_path)
    for read in (lambda: lake.manifest(*DAY), lambda: lake.scan(*DAY[:2])):
        with pytest.raises(LakeError, match="manifest of features/venue-coin/2024-08-08") as refused:
            read()
        assert "\n" not in str(refused.value)
    assert not lake.intact(*DAY)
    manifests, faults = lake.manifests()
    assert [manifest.key for manifest in manifests] == ["2024-08-09"]
    assert faults == lake.verify()
    assert [fault.split(" ")[3] for fault in faults] == ["features/venue-coin/2024-08-08"]


def test_a_manifest_of_a_wrong_type_or_another_partition_is_refused(tmp_path: Path) -> None:
    path = passed(tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "rows": "three"}))
    with pytest.raises(LakeError, match=r"rows"):
        Lake(tmp_path).manifest(*DAY)
    path.write_text(json.dumps({**content, "last_ts": 10**30}))
    with pytest.raises(LakeError, match=r"last_ts"):
        Lake(tmp_path).manifest(*DAY)
    path.write_text(json.dumps({**content, "key": "2024-08-09"}))
    with pytest.raises(LakeError, match="2024-08-08 is that of features/venue-coin/2024-08-09"):
        Lake(tmp_path).manifest(*DAY)


def test_the_sweep_leaves_a_folder_with_a_bad_manifest_alone_and_goes_on(tmp_path: Path) -> None:
    bad, good = passed(tmp_path), passed(tmp_path, "2024-08-09")
    bad.write_text("{")
    for manifest in (bad, good):
        (manifest.parent / "data-0000000000000000.parquet").write_bytes(b"left behind")
    there = sorted(bad.parent.iterdir())
    assert Lake(tmp_path).sweep() == 1
    assert sorted(bad.parent.iterdir()) == there
    assert not (good.parent / "data-0000000000000000.parquet").exists()


def test_a_partition_with_a_bad_manifest_can_be_written_again(tmp_path: Path) -> None:
    path = passed(tmp_path)
    path.write_text("{")
    passed(tmp_path)
    assert Lake(tmp_path).scan(*DAY[:2]).collect().equals(ROWS)
    assert Lake(tmp_path).verify() == []


def test_compaction_brings_a_partition_of_the_first_version_up_to_date(tmp_path: Path) -> None:
    first_version(tmp_path)
    lake = Lake(tmp_path)
    old = lake.manifest(*DAY)
    assert len(compact_all(lake)[0]) == 1
    new = lake.manifest(*DAY)
    assert (new.columns, new.verdict) == ({"row_ts": "Int64", "x": "Float64"}, PASSED)
    assert new.rows_sha256 == old.sha256 == new.original_sha256
    assert lake.scan(*DAY[:2]).collect().equals(ROWS)


def test_a_figure_that_is_not_finite_leaves_its_partition_readable(tmp_path: Path) -> None:
    facts = {"no_trade": float("nan"), "figures": {"model": [1.5, float("inf")]}, "rows": 3}
    Lake(tmp_path).write(*DAY, ROWS, schema_sha="s1", metadata=facts)
    found = Lake(tmp_path).manifest(*DAY).metadata
    assert found == {"no_trade": None, "figures": {"model": [1.5, None]}, "rows": 3}
