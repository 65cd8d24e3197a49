"""Rows beside labels: cut by time, hidden where they may not teach."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.batch import Rows
from features.catalogue import SILENT
from labeling.replay import OK, PAST_END
from labeling.targets import NO_CLASS
from market.errors import ModelError, NotEnoughData
from modeling.forecast import Cell
from modeling.sampling import learnable, ready_rows, weighted_by_uniqueness
from modeling.survey import require_classes
from modeling.training_rows import NOTHING_HEARD, cells_of, heard_until, training_set, window
from tests.builders_labels import label_parameters
from tests.builders_modeling import ROW_NS, START, labelled_rows

LABELS = label_parameters(fee_budgets_bp=(0.0, 2.0), infer_latency_ms=1.0, order_latency_ms=9.0)
CELLS = (Cell(250, 0.0), Cell(1000, 2.0))


def _rows(count: int) -> Rows:
    blank = np.zeros(count, np.int64)
    values = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    return Rows(START + np.arange(count) * ROW_NS, blank.astype(np.uint8), blank, blank, values, values)


def _labels(rows: Rows) -> pl.DataFrame:
    count = len(rows.row_ts)
    prices = {name: np.full(count, 100.0) for name in ("entry_mid", "sell_at", "buy_at")}
    columns = {"row_ts": rows.row_ts, "te": rows.row_ts + 10_000_000, **prices}
    for horizon, move in ((250, 1e-4), (1000, 5e-4)):
        columns |= {
            f"gross_{horizon}": np.full(count, 9.9),
            f"exec_gross_{horizon}": np.full(count, move),
            f"spread_{horizon}": np.full(count, 1e-5),
            f"slippage_{horizon}": np.full(count, 2e-5),
            f"funding_{horizon}": np.zeros(count),
            f"long_ratio_{horizon}": np.full(count, 1 + move),
            f"short_ratio_{horizon}": np.full(count, 1 + move),
            f"status_{horizon}": np.full(count, OK, np.uint8),
        }
    return pl.DataFrame(columns)


def test_training_set_by_hand():
    rows = _rows(4)
    data = training_set(rows, _labels(rows), LABELS, CELLS, "linear", row_ns=ROW_NS)
    assert data.classes.tolist() == [[1, 1]] * 4
    assert data.gross_bp[0] == pytest.approx([1.0, 5.0])
    assert data.cost_bp[0] == pytest.approx([0.3, 0.3])
    assert (data.known_ts[0] - START).tolist() == [260_000_000, 1_010_000_000]
    assert data.values is rows.values
    assert data.valid.all()


@given(came=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=12))
def test_a_row_has_heard_all_before_the_newest_stamp_that_came_by_its_end(came):
    messages = np.array(sorted(came), np.int64).reshape(-1, 2)
    found = heard_until(np.arange(0, 80, 7), messages[:, 0], messages[:, 1])
    stamps = [[int(at - late) for at, late in messages if at <= row] for row in range(0, 80, 7)]
    assert found.tolist() == [max(heard) - 1 if heard else NOTHING_HEARD for heard in stamps]


def test_labels_of_other_instants_are_refused():
    rows = _rows(4)
    with pytest.raises(ModelError, match="4 rows and 3 labels"):
        training_set(rows, _labels(rows)[:3], LABELS, CELLS, "linear", row_ns=ROW_NS)


def test_unknown_label_and_invalid_row_do_not_teach():
    rows = _rows(4)
    rows.status[1] = SILENT
    labels = _labels(rows).with_columns(pl.Series("status_250", [OK, OK, OK, PAST_END], dtype=pl.UInt8))
    data = training_set(rows, labels, LABELS, CELLS, "linear", row_ns=ROW_NS)
    assert data.classes[3].tolist() == [NO_CLASS, 1]
    assert learnable(data, 1).tolist() == [[True, True], [False, False], [True, True], [False, True]]


def test_row_after_missing_rows_starts_anew():
    rows = _rows(6)
    rows.row_ts[4:] += 5 * ROW_NS
    data = training_set(rows, _labels(rows), LABELS, CELLS, "linear", row_ns=ROW_NS)
    assert data.valid.tolist() == [True, True, True, True, False, True]


def test_every_other_row_missing_leaves_none_that_follows():
    rows = _rows(6)
    rows.row_ts[:] = rows.row_ts[0] + np.arange(6) * 2 * ROW_NS
    data = training_set(rows, _labels(rows), LABELS, CELLS, "linear", row_ns=ROW_NS)
    assert data.valid.tolist() == [True, False, False, False, False, False]


@given(valid=st.lists(st.booleans(), max_size=40), field=st.integers(1, 6))
def test_rows_are_ready_after_a_run_of_valid_ones(valid, field):
    found = ready_rows(np.array(valid, np.bool_), field)
    slow = [row + 1 >= field and all(valid[row + 1 - field : row + 1]) for row in range(len(valid))]
    assert found.tolist() == slow


def test_window_hides_the_labels_of_its_context():
    data = labelled_rows(100)
    part = window(data, START + 40 * ROW_NS, START + 60 * ROW_NS, context_rows=10)
    assert len(part) == 30
    assert part.row_ts[0] == START + 30 * ROW_NS
    assert (part.classes[:10] == NO_CLASS).all()
    assert np.isnan(part.gross_bp[:10]).all()
    assert np.array_equal(part.classes[10:], data.classes[40:60])
    assert np.array_equal(part.values, data.values[30:60])


def test_window_without_rows_is_refused():
    with pytest.raises(NotEnoughData, match="none of 100 rows"):
        window(labelled_rows(100), START - 10, START)


def test_cells_are_the_tradeable_ones():
    grid = pl.DataFrame(
        {"horizon_ms": [1000, 250, 250], "budget_bp": [0.0, 2.0, 0.0], "tradeable": [True, False, True]}
    )
    assert cells_of(grid) == (Cell(250, 0.0), Cell(1000, 0.0))
    with pytest.raises(NotEnoughData, match="none of the 3 cells"):
        cells_of(grid.with_columns(tradeable=pl.lit(False)))


def test_all_classes_must_be_there_to_learn_from():
    data = labelled_rows(300)
    require_classes(data, 20)
    with pytest.raises(NotEnoughData, match="none of 300 rows"):
        require_classes(data, 301)


def test_rows_weigh_what_their_labels_say_alone():
    data = window(labelled_rows(400), START + 50 * ROW_NS, START + 400 * ROW_NS, context_rows=20)
    weights = weighted_by_uniqueness(data).weights
    inside = weights[20:]
    assert inside.mean() == pytest.approx(1.0, rel=1e-5)
    assert inside[0] > 2 * inside[len(inside) // 2]  # few labels live beside the first
    assert (weights > 0).all()
    assert weights.dtype == np.float32
