"""Latency tables: what they refuse, and that draws keep legs together, blocks in a row and each row as likely."""

from collections.abc import Sequence

import numba
import numpy as np
import pytest
from scipy import stats

from market.errors import BacktestError
from market.events import FIRST, LAST, empty_events
from market.latency import (
    LatencyTable,
    Legs,
    constant,
    draw_all,
    draw_legs,
    draw_row,
    latency_table,
    message_rates,
    message_stamps,
    stressed,
)

SLOT = 1_000
HAND = [[1, 10, 100, 1_000], [2, 20, 200, 2_000], [3, 30, 300, 3_000], [4, 40, 400, 4_000]]


def _table(rows: int, block_rows: int, edges: Sequence[float] = ()) -> LatencyTable:
    """Row i has the legs i, 2i, 3i, 4i; its rate is 10 and 90 in turns of ten rows."""
    legs = np.arange(rows)[:, None] * np.arange(1, 5)
    return latency_table(legs, np.where(np.arange(rows) // 10 % 2, 90, 10), edges, SLOT, block_rows)


def _rows(table: LatencyTable, subjects: np.ndarray, rate: float, seed: int = 1) -> np.ndarray:
    return np.array([draw_row(table, seed, subject, rate) for subject in subjects])


def test_a_hand_written_table_is_sorted_into_its_buckets() -> None:
    table = latency_table(HAND, rates=[5, 50, 4, 500], edges=[10, 100, 1_000])
    assert table.members.tolist() == [0, 2, 1, 3]
    assert table.starts.tolist() == [0, 2, 3, 4, 4]
    assert table.stand_in.tolist() == [0, 1, 2, 2]


def test_an_edge_belongs_to_the_bucket_above() -> None:
    table = latency_table(HAND[:2], rates=[9, 10], edges=[10])
    assert [draw_row(table, 0, 0, rate) for rate in (9.99, 10.0)] == [0, 1]


def test_an_empty_bucket_is_stood_in_for_by_the_nearest() -> None:
    table = latency_table(HAND[:2], rates=[5, 45], edges=[10, 20, 30, 40])
    assert [draw_row(table, 3, 8, rate) for rate in (5, 15, 25, 35, 45)] == [0, 0, 0, 1, 1]


def test_a_constant_table_draws_nothing_else() -> None:
    legs = Legs(7, 8, 9, 10)
    drawn = draw_all(constant(legs), 5, np.arange(50) * 10**9, np.arange(50) * 10.0)
    assert (drawn == legs).all()


def test_stress_lengthens_each_leg_and_keeps_what_is_drawn() -> None:
    table = _table(200, 5, edges=[50])
    instants, rates = np.arange(300) * SLOT, np.tile([10.0, 90.0], 150)
    assert (draw_all(stressed(table, 3), 2, instants, rates) == 3 * draw_all(table, 2, instants, rates)).all()
    assert (stressed(table, 0).ack_ns == 0).all()


def test_every_table_is_one_type_to_a_kernel_and_cannot_be_changed() -> None:
    table = _table(9, 2, edges=[50])
    assert numba.typeof(stressed(table, 2)) == numba.typeof(table) == numba.typeof(constant(Legs(1, 1, 1, 1)))
    with pytest.raises(ValueError, match="read-only"):
        table.ack_ns[0] = 1


def test_legs_of_one_order_stay_together() -> None:
    drawn = draw_all(_table(500, 7), 4, np.arange(2_000) * SLOT, np.zeros(2_000))
    assert (drawn == drawn[:, :1] * np.arange(1, 5)).all()
    assert np.unique(drawn[:, 0]).size > 400


def test_each_row_of_a_bucket_is_as_likely() -> None:
    table = _table(100, block_rows=4, edges=[50])
    drawn = _rows(table, np.arange(40_000), rate=90)
    counts = np.bincount(drawn, minlength=100)
    assert (counts[table.rates < 50] == 0).all()
    assert stats.chisquare(counts[table.rates > 50]).statistic < 4 * stats.chi2.ppf(0.999, 49)  # blocks of four


def test_a_block_goes_through_its_bucket_in_the_order_of_the_journal() -> None:
    table = _table(100, block_rows=8, edges=[50])
    members = table.members[table.starts[1] :].tolist()
    for block in range(50):
        drawn = _rows(table, np.arange(8 * block, 8 * block + 8), rate=90)
        places = [members.index(row) for row in drawn]
        assert places == [(places[0] + step) % 50 for step in range(8)]


def test_a_block_bootstrap_keeps_the_autocorrelation_and_single_rows_lose_it() -> None:
    series = np.cumsum(np.random.default_rng(3).normal(size=400))
    legs = np.tile(np.rint(1e6 + 1e4 * (series - series.min()))[:, None], 4)
    instants, still = np.arange(20_000) * SLOT, np.zeros(20_000)
    lags = {
        block: np.corrcoef(drawn[1:], drawn[:-1])[0, 1]
        for block in (1, 50)
        for drawn in [draw_all(latency_table(legs, np.zeros(400), (), SLOT, block), 9, instants, still)[:, 0]]
    }
    assert abs(lags[1]) < 0.03
    assert lags[50] > 0.95


def test_a_draw_does_not_depend_on_the_order_of_drawing() -> None:
    table, instants = _table(300, 6, edges=[50]), np.arange(500) * SLOT // 2
    forward = draw_all(table, 8, instants, np.full(500, 90.0))
    assert (draw_all(table, 8, instants[::-1].copy(), np.full(500, 90.0))[::-1] == forward).all()
    assert tuple(draw_legs(table, 8, instants[123], 90.0)) == tuple(forward[123])
    assert (forward[::2] == forward[1::2]).all()  # two instants of one slot meet one row
    assert (draw_all(table, 9, instants, np.full(500, 90.0)) != forward).any()


def test_a_rate_counts_messages_of_the_last_whole_bins() -> None:
    events = empty_events(4)
    events["ingest_ts"] = np.array([10, 10, 60, 50]) * 1_000_000
    events["flags"] = [FIRST, LAST, FIRST | LAST, FIRST | LAST]
    stamps = message_stamps(events)
    assert stamps.tolist() == [10_000_000, 60_000_000, 60_000_000]
    at = np.array([60, 100, 1_099, 1_100]) * 1_000_000
    assert message_rates(stamps, at).tolist() == [0, 3, 3, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"legs": []}, "at least one row"),
        ({"legs": [[1, 2, 3]]}, "not of shape"),
        ({"legs": [HAND[0], [1, 2, -3, 4]]}, "row 1 of a latency table has entry_ns=-3"),
        ({"rates": [1]}, "as many message rates"),
        ({"rates": [1, float("nan")]}, "as many message rates"),
        ({"rates": [1, -1]}, "as many message rates"),
        ({"edges": [2, 2]}, "must rise"),
        ({"edges": [float("inf")]}, "must rise"),
        ({"spacing_ns": 0}, "spacing_ns=0"),
        ({"block_rows": 0}, "block_rows=0"),
    ],
)
def test_a_table_that_cannot_be_drawn_from_is_refused(change: dict[str, object], message: str) -> None:
    arguments = {"legs": HAND[:2], "rates": [1, 2], "edges": [2], **change}
    with pytest.raises(BacktestError, match=message):
        latency_table(**arguments)


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_a_senseless_stress_is_refused(factor: float) -> None:
    with pytest.raises(BacktestError, match="stressed"):
        stressed(constant(Legs(1, 1, 1, 1)), factor)
