"""Points of a sweep do not depend on how many processes run them."""

from pathlib import Path

from assets.sweeps import sweep_with
from backtest.surface import Grid
from tests.builders_backtest import desk, imbalance_forecasts, stretch


def test_a_sweep_over_processes_gives_the_rows_of_one_process(tmp_path: Path) -> None:
    case = (desk("take"), stretch()[0], imbalance_forecasts())
    points = Grid((0.0, 0.5), (1.0, 4.0), (1.0,)).points
    alone = sweep_with(*case, tmp_path, 1)(points)
    shared = sweep_with(*case, tmp_path, 2)(points)
    assert alone == shared
    assert sum(row["fills"] for row in alone) > 10
    assert list(tmp_path.iterdir()) == []
