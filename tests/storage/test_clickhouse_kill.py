"""A loader that is killed in the middle of its inserts, with real processes."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from storage.clickhouse import Build, Warehouse, open_warehouse
from storage.clickhouse_parity import parity_with_lake
from tests.builders_clickhouse import DATE, SYMBOL, embedded_parameters, random_tape

ROOT = Path(__file__).parents[2]
KILLED_LOADER = """
import sys
import polars as pl
from pathlib import Path
from storage.clickhouse import Build, open_warehouse
from tests.builders_clickhouse import DATE, SYMBOL, embedded_parameters

folder, tape, rows = Path(sys.argv[1]), pl.read_parquet(sys.argv[2]), int(sys.argv[3])
with open_warehouse(embedded_parameters(), folder) as warehouse:
    day = warehouse.day(SYMBOL, DATE)
    build = Build(SYMBOL, DATE, "sha", day.build) if day else warehouse.begin(SYMBOL, DATE, "sha")
    for number in range(-(-tape.height // rows)):
        warehouse.insert(build, number, number * rows, tape.slice(number * rows, rows))
        print(number, flush=True)
"""


def test_a_loader_killed_twice_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    rows, tape = 500, random_tape(np.random.default_rng(13), 4_000)
    tape.write_parquet(tmp_path / "tape.parquet")
    command = [sys.executable, "-c", KILLED_LOADER, str(tmp_path / "db"), str(tmp_path / "tape.parquet"), str(rows)]
    for batches in (2, 5):
        loader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert loader.stdout is not None
        with loader.stdout as lines:
            for _ in range(batches):
                assert lines.readline()
            time.sleep(0.001 * batches)  # somewhere inside the next insert
            loader.kill()
        loader.wait()
    with open_warehouse(embedded_parameters(), tmp_path / "db") as opened:
        assert state(opened) == (1, False, 0)
        build = Build(SYMBOL, DATE, "sha", 1)
        for number in range(tape.height // rows):
            opened.insert(build, number, number * rows, tape.slice(number * rows, rows))
        opened.finish(build, tape.height)
        assert state(opened) == (1, True, tape.height)
        assert parity_with_lake(opened, SYMBOL, DATE, lambda connection: connection.from_arrow(tape.to_arrow())).exact


def state(warehouse: Warehouse) -> tuple[int, bool, int]:
    """Build, whether it is whole, and its rows."""
    day = warehouse.day(SYMBOL, DATE)
    assert day is not None
    return day.build, day.whole, day.rows
