"""Levels 1 and 2 on a slice of every real recording; the acceptance tests take them whole."""

from pathlib import Path

import pytest

from live.parity import parity_of
from tests.builders_market import RUNS
from tests.builders_parity import recorded_journal

SECONDS = 5.0


@pytest.mark.parametrize("run", RUNS)
def test_orders_and_decisions_of_a_slice_come_out_bit_for_bit(run: str, tmp_path: Path) -> None:
    report = parity_of(recorded_journal(tmp_path, run, SECONDS), tmp_path)
    assert report.exact, f"{report.orders}; {report.decisions}"
    assert report.orders.records > 0
    assert report.decisions.rows > 300
