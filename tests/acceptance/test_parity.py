"""Levels 1 and 2 on every recording, whole; what was compared is printed (``pytest -s``)."""

from pathlib import Path

import pytest

from live.parity import parity_of
from tests.builders_market import RUNS
from tests.builders_parity import recorded_journal

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("run", RUNS)
def test_orders_and_decisions_of_every_recording_come_out_bit_for_bit(run: str, tmp_path: Path) -> None:
    report = parity_of(recorded_journal(tmp_path, run), tmp_path)
    print(f"{run}: {report.orders}; {report.decisions}")  # noqa: T201
    assert report.exact, f"{report.orders}; {report.decisions}"
    assert report.orders.records > 100
    assert report.decisions.rows > 10_000
