"""What ``main.py lake`` says of a lake, and the status that it leaves with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from storage.lake import Lake
from storage.lake_report import compact, list_partitions, verify

ROOT = Path(__file__).parents[2]
NOON = 1_723_118_400_000_000_000  # 2024-08-08 12:00 UTC
ROWS = pl.DataFrame({"row_ts": np.arange(NOON, NOON + 3_000_000_000, 1_000_000_000)})


def lake_of_two(root: Path) -> Lake:
    lake = Lake(root)
    for dataset in ("features", "labels"):
        lake.write(dataset, "venue-coin", "2024-08-08", ROWS, schema_sha="s1")
    lake.set_verdict("labels", "venue-coin", "2024-08-08", True, {"degeneracy": True})
    return lake


def test_the_list_shows_rows_bytes_verdict_and_times(tmp_path: Path) -> None:
    lake = lake_of_two(tmp_path)
    size = lake.manifest("labels", "venue-coin", "2024-08-08").bytes
    report = list_partitions(lake)
    lines = [line.split() for line in report.text.splitlines()]
    times = ["2024-08-08", "12:00:00", "2024-08-08", "12:00:02"]
    assert lines[1] == ["features/venue-coin/2024-08-08", "3", str(size), "unchecked", *times]
    assert lines[2] == ["labels/venue-coin/2024-08-08", "3", str(size), "passed", *times]
    assert lines[3] == ["2", "partitions,", "6", "rows,", f"{2 * size:,}", "bytes"]
    assert json.loads(json.dumps(report.plain))["partitions"][1]["columns"] == {"row_ts": "Int64"}


def test_a_lake_without_a_fault_says_so(tmp_path: Path) -> None:
    report = verify(lake_of_two(tmp_path))
    assert (report.text, report.sound) == ("2 partitions, 0 faults", True)


def test_compaction_of_what_is_compact_rewrites_nothing(tmp_path: Path) -> None:
    assert compact(lake_of_two(tmp_path)).text == "0 of 2 partitions rewritten, 0 -> 0 bytes"


def test_verify_names_every_fault_on_a_line_and_ends_with_status_1(tmp_path: Path) -> None:
    lake = lake_of_two(tmp_path / "lake")
    torn = lake.manifest("features", "venue-coin", "2024-08-08").file
    (tmp_path / "lake" / "features" / "venue-coin" / "2024-08-08" / torn).unlink()
    (tmp_path / "lake" / "labels" / "venue-coin" / "2024-08-08" / "manifest.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "main.py", "lake", "verify"],
        cwd=ROOT, env={**os.environ, "TICKLOOP_VAR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first == f"features/venue-coin/2024-08-08 is torn: {torn} is missing"
    assert second.startswith("the manifest of labels/venue-coin/2024-08-08 cannot be read")
    assert last == "2 partitions, 2 faults"
