"""A loader that is killed in the middle of its inserts, with real processes."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from storage.clickhouse import open_warehouse
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
    warehouse.finish(build, tape.height)
"""


def test_a_loader_killed_three_times_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    rows, tape = 500, random_tape(np.random.default_rng(13), 8_000)
    tape.write_parquet(tmp_path / "tape.parquet")
    command = [sys.executable, "-c", KILLED_LOADER, str(tmp_path / "db"), str(tmp_path / "tape.parquet"), str(rows)]
    for batches in (3, 6, 12):
        loader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert loader.stdout is not None
        with loader.stdout as lines:
            for _ in range(batches):
                assert lines.readline()
            time.sleep(0.001 * batches)  # somewhere inside the next insert
            loader.kill()
        loader.wait()
    with open_warehouse(embedded_parameters(), tmp_path / "db") as opened:
        day = opened.day(SYMBOL, DATE)
        assert day is not None
        assert not day.whole
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    with open_warehouse(embedded_parameters(), tmp_path / "db") as opened:
        assert parity_with_lake(opened, SYMBOL, DATE, lambda connection: connection.from_arrow(tape.to_arrow())).exact
        day = opened.day(SYMBOL, DATE)
        assert day is not None
        assert (day.build, day.whole, day.rows) == (1, True, tape.height)
