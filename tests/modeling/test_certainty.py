"""Outlooks: the batch algorithm as a second implementation, hand-worked returns, and nothing learnt before its time."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.targets import NO_CLASS
from market.errors import ModelError, NotEnoughData
from modeling.certainty import SILENT, Certainty, Instant, Labelled, Outlooks, fit_certainty
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import ConformalParameters
from modeling.uncertainty import (
    AdaptiveConformal,
    class_scores,
    interval_scores,
    return_intervals,
    return_moments,
    true_scores,
)

CELL = Cell(100, 0.0)
SHAPE = ForecastShape((Cell(100, 2.0), CELL, Cell(250, 0.0)))
PARAMETERS = ConformalParameters(0.1, 0.02, 60)
ROW_MS = 20
ROW_NS = ROW_MS * 1_000_000


def forecasts(rows: int, seed: int) -> np.ndarray:
    """Ready forecasts of every cell, their members apart by a tenth of a basis point."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet((1.0, 2.0, 1.0), (rows, 3)).reshape(rows, 9)
    returns = np.tile([-2.0, 0.1, 2.0], (rows, 2)) + rng.normal(0, 0.2, (rows, 6))
    return np.column_stack([said, returns, np.full((rows, 3), 0.1), np.ones(rows)]).astype(np.float32)


def traded(table: np.ndarray) -> np.ndarray:
    """The places of CELL: its classes, its horizon's returns, its spread."""
    return table[:, [3, 4, 5, 9, 10, 11, 16]].astype(np.float64)


def fitted(delay_ms: float = 11.0, rows: int = 80, seed: int = 5) -> Certainty:
    """From labels drawn with fat tails."""
    rng, table = np.random.default_rng(seed), forecasts(rows, seed)
    came = Labelled(rng.integers(-1, 2, rows).astype(np.int8), rng.standard_t(3, rows).astype(np.float32))
    return fit_certainty(SHAPE, CELL, table, came, delay_ms, PARAMETERS)


def mids(rows: int, seed: int) -> np.ndarray:
    """A walk of half ticks; some rows are not valid."""
    rng = np.random.default_rng(seed)
    path = 500_000.0 + np.cumsum(rng.integers(-40, 41, rows)) / 2
    path[rng.random(rows) < 0.05] = math.nan
    return path


def instants(rows: int, seed: int, slowest_ms: int = 90) -> list[Instant]:
    """Consecutive rows whose newest message was as late as drawn, some later than a horizon."""
    row_ts = np.arange(1, rows + 1) * ROW_NS
    late = np.random.default_rng(seed).integers(1, slowest_ms + 1, rows) * 1_000_000
    late[rows // 3 : rows // 3 + 8] = 200_000_000
    return [Instant(*pair) for pair in zip(row_ts.tolist(), np.maximum.accumulate(row_ts - late).tolist(), strict=True)]


def punctual(rows: int) -> list[Instant]:
    """Rows that have each heard all but the last 15 ms."""
    return [Instant(row_ts, row_ts - 15_000_000) for row_ts in range(ROW_NS, (rows + 1) * ROW_NS, ROW_NS)]


@given(seed=st.integers(0, 1_000), delay_ms=st.sampled_from([0.0, 11.0, 20.0, 31.0]), inverse=st.booleans())
@settings(max_examples=12)
def test_outlooks_row_by_row_are_the_intervals_of_the_batch(seed: int, delay_ms: float, inverse: bool) -> None:
    certainty, rows = fitted(delay_ms), 240
    table, path = traded(forecasts(rows, seed)), mids(rows, seed)
    ready = np.random.default_rng(seed).random(rows) > 0.1
    at = instants(rows, seed)
    over = np.array([one.over_ts for one in at])
    te = np.array([one.row_ts for one in at]) + round(delay_ms * 1e6)
    tx, padded = te + CELL.horizon_ms * 1_000_000, np.append(path, math.nan)
    begun, ended = np.searchsorted(over, te), np.searchsorted(over, tx)
    start, end = padded[begun - 1], np.where(ended < rows, padded[ended - 1], math.nan)
    gross = 1e4 * (end - start) / (end if inverse else start)
    mean, deviation = return_moments(table[:, :3], table[:, 3:6])
    state = AdaptiveConformal.from_dict(PARAMETERS, certainty.interval)
    kept = np.flatnonzero(ready)
    expected = return_intervals(state, over[kept], (mean[kept], deviation[kept]), gross[kept], tx[kept])
    outlooks = Outlooks(certainty, ROW_NS, inverse)
    found = [outlooks.after(at[row], path[row], bool(ready[row]), table[row]) for row in range(rows)]
    assert np.array_equal([found[row][3:5] for row in kept], expected, equal_nan=True)
    assert np.array_equal([found[row].mean_bp for row in kept], mean[kept])
    assert all(found[row] is SILENT for row in np.flatnonzero(~ready))


def served(path: np.ndarray, at: list[Instant]) -> list[Any]:
    """Outlooks of ready rows at these mids."""
    outlooks, table = Outlooks(fitted(), ROW_NS, False), traded(forecasts(len(path), 1))
    return [outlooks.after(at[row], path[row], True, table[row]) for row in range(len(path))]


def test_a_return_is_learnt_at_the_first_row_that_has_heard_the_market_to_its_end() -> None:
    calm = np.full(30, 500_000.0)
    jump = calm.copy()
    jump[17:] += 5_000.0  # 100 bp; the return of row 11 ends 111 ms later, at 351, heard by row 18: 380 - 15
    before, after = served(calm, punctual(30)), served(jump, punctual(30))
    assert before[:18] == after[:18]
    assert before[18].upper_bp < after[18].upper_bp
    assert before[18].mean_bp == after[18].mean_bp


def test_a_return_that_no_message_has_passed_is_not_learnt_however_many_rows_close() -> None:
    calm, stalled = np.full(60, 500_000.0), punctual(60)
    stalled[18:50] = [one._replace(over_ts=stalled[17].over_ts) for one in stalled[18:50]]
    jump = calm.copy()
    jump[17:] += 5_000.0
    before, after = served(calm, stalled), served(jump, stalled)
    assert before[:50] == after[:50]
    assert before[50].upper_bp < after[50].upper_bp


def test_sets_hold_what_the_threshold_lets_in() -> None:
    certainty, table = fitted(), traded(forecasts(50, 3))
    outlooks = Outlooks(certainty, ROW_NS, False)
    for at, row in zip(punctual(50), table, strict=True):
        classes = outlooks.after(at, 500_000.0, True, row).classes
        inside = class_scores(row[:3]) <= certainty.set_threshold
        assert [bool(classes & bit) for bit in (1, 2, 4)] == inside.tolist()
    scores = true_scores(class_scores(forecasts(80, 5)[:, 3:6]), np.random.default_rng(5).integers(-1, 2, 80))
    assert certainty.set_threshold == AdaptiveConformal.started(PARAMETERS, scores[-60:]).threshold()


def test_interval_begins_at_the_quantile_of_the_labels_that_it_was_fitted_on() -> None:
    certainty, row = fitted(), traded(forecasts(1, 9))[0]
    rng, table = np.random.default_rng(5), forecasts(80, 5)
    rng.integers(-1, 2, 80)
    scores = interval_scores(rng.standard_t(3, 80).astype(np.float32), *return_moments(table[:, 3:6], table[:, 9:12]))
    limit = np.sort(scores[-60:])[math.ceil(61 * 0.9) - 1]
    outlook = Outlooks(certainty, ROW_NS, False).after(Instant(ROW_NS, 0), 500_000.0, True, row)
    assert outlook.upper_bp - outlook.mean_bp == pytest.approx(limit * outlook.deviation_bp)
    assert outlook.spread_bp == pytest.approx(0.1)


def test_outlooks_go_on_after_a_restart_where_they_were() -> None:
    certainty, table, path = fitted(), traded(forecasts(90, 4)), mids(90, 4)
    whole, half = Outlooks(certainty, ROW_NS, False), Outlooks(certainty, ROW_NS, False)
    at = instants(90, 4)
    expected = [whole.after(at[row], path[row], True, table[row]) for row in range(90)]
    for row in range(40):
        half.after(at[row], path[row], True, table[row])
    again = Outlooks(Certainty.from_dict(json.loads(json.dumps(certainty.as_dict()))), ROW_NS, False)
    again.restore(json.loads(json.dumps(half.as_dict())))
    assert [again.after(at[row], path[row], True, table[row]) for row in range(40, 90)] == expected[40:]
    with pytest.raises(ModelError, match="of another model"):
        Outlooks(fitted(delay_ms=100.0), ROW_NS, False).restore(half.as_dict())


def test_without_a_certainty_there_is_a_mean_and_no_interval() -> None:
    outlooks = Outlooks(None, ROW_NS, False)
    outlook = outlooks.after(Instant(ROW_NS, 0), 500_000.0, True, np.array([0.25, 0.5, 0.25, -1.0, 0.0, 3.0, 0.2]))
    assert (outlook.mean_bp, outlook.spread_bp, outlook.classes) == (0.5, 0.2, 0)
    assert math.isnan(outlook.lower_bp)
    assert math.isnan(outlook.upper_bp)
    assert outlooks.as_dict() == {}


def test_a_certainty_needs_labels_and_the_cell() -> None:
    table = forecasts(20, 1)
    unknown = Labelled(np.full(20, NO_CLASS, np.int8), np.full(20, np.nan, np.float32))
    with pytest.raises(NotEnoughData, match="none of 20 scores"):
        fit_certainty(SHAPE, CELL, table, unknown, 0.0, PARAMETERS)
    with pytest.raises(ModelError, match="no cell h5000_b0"):
        fit_certainty(SHAPE, Cell(5000, 0.0), table, unknown, 0.0, PARAMETERS)
