"""Outlooks: the batch algorithm as a second implementation, hand-worked returns, and nothing learnt before its time."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.parameters import Exit
from labeling.quotes import NO_QUOTE, Quote
from labeling.targets import NO_CLASS
from market.book import apply_events, new_book
from market.errors import ModelError, NotEnoughData
from modeling.adaptive_calibration import AdaptiveCalibration
from modeling.certainty import SILENT, Certainty, Instant, Labelled, Outlooks, Question, Worth, fit_certainty
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import AdaptiveParameters, ConformalParameters
from modeling.uncertainty import (
    AdaptiveConformal,
    class_scores,
    conformal_sets,
    interval_scores,
    return_intervals,
    return_moments,
    true_scores,
)
from tests.builders_labels import snapshot, tape

CELL = Cell(100, 0.0)
SHAPE = ForecastShape((Cell(100, 2.0), CELL, Cell(250, 0.0)))
PARAMETERS = ConformalParameters(0.1, 0.02, 60)
ADAPTIVE = AdaptiveParameters(0.02, 0.01)
STILL = AdaptiveParameters(0.0, 0.0)
ROW_MS = 20
ROW_NS = ROW_MS * 1_000_000
HALF = 10.0  # ticks from the mid to what an order gets
LINEAR, INVERSE = Worth(0.0005, False), Worth(100.0, True)


def forecasts(rows: int, seed: int) -> np.ndarray:
    """Ready forecasts of every cell, their members apart by a tenth of a basis point."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet((1.0, 2.0, 1.0), (rows, 3)).reshape(rows, 9)
    returns = np.tile([-2.0, 0.1, 2.0], (rows, 2)) + rng.normal(0, 0.2, (rows, 6))
    return np.column_stack([said, returns, np.full((rows, 3), 0.1), np.ones(rows)]).astype(np.float32)


def traded(table: np.ndarray) -> np.ndarray:
    """The places of CELL: its classes, its horizon's returns, its spread."""
    return table[:, [3, 4, 5, 9, 10, 11, 16]].astype(np.float64)


def question(delay_ms: float = 11.0, latency_ms: float = 11.0, exit: Exit = "walk") -> Question:
    """Of CELL, for an order of 10,000."""
    return Question(CELL, delay_ms, latency_ms, 10_000.0, 0.2, exit)


ASKED = question()


def drawn(rows: int, seed: int) -> Labelled:
    """Labels with fat tails, each known 100 ms behind its row."""
    rng, row_ts = np.random.default_rng(seed), np.arange(rows, dtype=np.int64) * ROW_NS
    classes, gross = rng.integers(-1, 2, rows).astype(np.int8), rng.standard_t(3, rows).astype(np.float32)
    return Labelled(classes, gross, row_ts + 100_000_000, row_ts - 15_000_000)


def fitted(asked: Question = ASKED, rows: int = 80, seed: int = 5, adaptive: AdaptiveParameters = STILL) -> Certainty:
    """From labels as they are drawn."""
    return fit_certainty(SHAPE, asked, forecasts(rows, seed), drawn(rows, seed), PARAMETERS, adaptive)


def mids(rows: int, seed: int) -> np.ndarray:
    """A walk of half ticks; some rows are not valid."""
    rng = np.random.default_rng(seed)
    path = 500_000.0 + np.cumsum(rng.integers(-40, 41, rows)) / 2
    path[rng.random(rows) < 0.05] = math.nan
    return path


def quotes(path: np.ndarray, half: float = HALF) -> list[Quote]:
    """What stands around some mids."""
    return [NO_QUOTE if math.isnan(mid) else Quote(mid, mid - half, mid + half) for mid in path.tolist()]


def instants(rows: int, seed: int, slowest_ms: int = 90) -> list[Instant]:
    """Consecutive rows whose newest message was as late as drawn, some later than a horizon."""
    row_ts = np.arange(1, rows + 1) * ROW_NS
    late = np.random.default_rng(seed).integers(1, slowest_ms + 1, rows) * 1_000_000
    late[rows // 3 : rows // 3 + 8] = 200_000_000
    return [Instant(*pair) for pair in zip(row_ts.tolist(), np.maximum.accumulate(row_ts - late).tolist(), strict=True)]


def punctual(rows: int) -> list[Instant]:
    """Rows that have each heard all but the last 15 ms."""
    return [Instant(row_ts, row_ts - 15_000_000) for row_ts in range(ROW_NS, (rows + 1) * ROW_NS, ROW_NS)]


def outcomes(at: list[Instant], path: np.ndarray, delay_ms: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mid at the begin and at the end of each row's outcome, NaN where there is none, and when it is over."""
    over, padded = np.array([one.over_ts for one in at]), np.append(path, math.nan)
    te = np.array([one.row_ts for one in at]) + round(delay_ms * 1e6)
    tx = te + CELL.horizon_ms * 1_000_000
    begun, ended = np.searchsorted(over, te), np.searchsorted(over, tx)
    return padded[begun - 1], np.where(ended < len(path), padded[ended - 1], math.nan), tx


@given(
    seed=st.integers(0, 1_000),
    delay_ms=st.sampled_from([0.0, 11.0, 31.0]),
    latency_ms=st.sampled_from([11.0, 20.0]),
    worth=st.sampled_from([LINEAR, INVERSE]),
)
@settings(max_examples=12)
def test_outlooks_row_by_row_are_intervals_and_sets_of_the_batch(
    seed: int, delay_ms: float, latency_ms: float, worth: Worth
) -> None:
    certainty, rows = fitted(question(delay_ms, latency_ms), adaptive=ADAPTIVE), 240
    table, path = traded(forecasts(rows, seed)), mids(rows, seed)
    ready, at = np.random.default_rng(seed).random(rows) > 0.1, instants(rows, seed)
    over, kept = np.array([one.over_ts for one in at]), np.flatnonzero(ready)
    start, end, tx = outcomes(at, path, delay_ms)
    gross = 1e4 * (end - start) / (end if worth.inverse else start)
    states = (AdaptiveConformal.from_dict(PARAMETERS, state) for state in (certainty.interval, certainty.sets))
    interval, sets = states
    came, ended = gross, tx
    start, end, tx = outcomes(at, path, latency_ms)
    long, short = (end - HALF) / (start + HALF), (end + HALF) / (start - HALF)
    nets = (1 - 1 / long, 1 / short - 1) if worth.inverse else (long - 1, 1 - short)
    sides = np.where(np.maximum(*nets) > 0.2e-4, np.where(nets[0] >= nets[1], 1, -1), 0)
    classes = np.where(np.isfinite(long), sides, NO_CLASS).astype(np.int8)
    calibration = AdaptiveCalibration.from_dict(ADAPTIVE, certainty.calibration)
    bent = calibration.run(over[kept], table[kept, :3], classes[kept], tx[kept])
    mean, deviation = return_moments(bent, table[kept, 3:6])
    expected = return_intervals(interval, over[kept], (mean, deviation), came[kept], ended[kept])
    let_in = conformal_sets(sets, over[kept], bent, classes[kept], tx[kept])
    outlooks, around = Outlooks(certainty, ROW_NS, worth), quotes(path)
    seen = [outlooks.after(at[row], around[row], bool(ready[row]), table[row]) for row in range(rows)]
    found = [one.outlook for one in seen]
    assert np.array_equal([seen[row].traded for row in kept], np.column_stack((bent, table[kept, 3:])))
    assert np.abs(bent - table[kept, :3]).max() > 0.05
    assert np.array_equal([found[row][3:5] for row in kept], expected, equal_nan=True)
    assert np.array_equal([[found[row].classes & bit for bit in (1, 2, 4)] for row in kept], let_in * [1, 2, 4])
    assert np.array_equal([found[row].mean_bp for row in kept], mean)
    assert all(found[row] is SILENT for row in np.flatnonzero(~ready))
    assert {-1, 0, 1} <= set(classes[kept].tolist())


def served(path: np.ndarray, at: list[Instant]) -> list[Any]:
    """Outlooks of ready rows at these mids."""
    outlooks, table, around = Outlooks(fitted(), ROW_NS, LINEAR), traded(forecasts(len(path), 1)), quotes(path)
    return [outlooks.after(at[row], around[row], True, table[row]).outlook for row in range(len(path))]


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


def test_a_class_is_learnt_at_the_first_row_that_has_heard_the_market_to_the_trips_end() -> None:
    certain = np.array(
        [0.01, 0.98, 0.01, -1.0, 0.0, 1.0, 0.0]
    )  # sure that no trade pays: the others score 0.985 and 0.995

    def let_in(path: np.ndarray) -> list[int]:
        outlooks = Outlooks(fitted(), ROW_NS, LINEAR)
        steps = zip(punctual(300), quotes(path), strict=True)
        return [outlooks.after(*step, True, certain).outlook.classes for step in steps]

    calm = np.full(300, 500_000.0)
    falling = calm.copy()
    falling[17:] -= (
        np.arange(1, 284) * 100.0
    )  # two bp a row, from 350 ms on; the trip of row 11 ends 111 ms later, at 351
    still, after = let_in(calm), let_in(falling)
    assert still[:18] == after[:18]
    assert set(after[-60:]) == {3}  # down, again and again, until it is let in beside no trade
    assert not any(classes & 1 for classes in still)


def test_a_session_that_cannot_see_its_class_keeps_the_sets_that_it_begins_with() -> None:
    rows, table = 240, traded(forecasts(240, 3))
    path = mids(rows, 3)
    vwap, walk = (Outlooks(fitted(question(exit=how)), ROW_NS, LINEAR) for how in ("vwap", "walk"))
    limit = AdaptiveConformal.from_dict(PARAMETERS, fitted().sets).threshold()
    inside = (class_scores(table[:, :3]) <= limit) @ [1, 2, 4]
    steps = list(zip(punctual(rows), quotes(path), table, strict=True))
    assert [vwap.after(at, around, True, row).outlook.classes for at, around, row in steps] == inside.tolist()
    assert [walk.after(at, around, True, row).outlook.classes for at, around, row in steps] != inside.tolist()


def test_sets_begin_at_the_quantile_of_the_labels_that_they_were_fitted_on() -> None:
    scores = true_scores(class_scores(forecasts(80, 5)[:, 3:6]), np.random.default_rng(5).integers(-1, 2, 80))
    begins = AdaptiveConformal.started(PARAMETERS, scores[-60:]).as_dict()
    assert fitted().sets == begins | {"newest": pytest.approx(begins["newest"])}


def test_sets_begin_with_scores_of_probabilities_as_they_were_bent_at_their_row() -> None:
    came, said = drawn(80, 5), forecasts(80, 5)[:, 3:6]
    calibration = AdaptiveCalibration(ADAPTIVE)
    bent = calibration.run(came.over_ts, said, came.classes, came.known_ts)
    found = fitted(adaptive=ADAPTIVE)
    assert found.calibration == calibration.as_dict() != AdaptiveCalibration(ADAPTIVE).as_dict()
    assert found.sets["newest"] == true_scores(class_scores(bent), came.classes)[-60:].tolist()
    assert Certainty.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_a_quote_is_that_of_an_order_of_the_labels_size() -> None:
    book = new_book()
    apply_events(book, tape(*snapshot(0.0, {99_999: 150, 99_990: 90}, {100_001: 500})))
    assert Outlooks(fitted(), ROW_NS, LINEAR).quote(book) == (100_000.0, (150 * 99_999 + 50 * 99_990) / 200, 100_001.0)
    assert Outlooks(None, ROW_NS, LINEAR).quote(book) is NO_QUOTE


def test_interval_begins_at_the_quantile_of_the_labels_that_it_was_fitted_on() -> None:
    certainty, row = fitted(), traded(forecasts(1, 9))[0]
    rng, table = np.random.default_rng(5), forecasts(80, 5)
    rng.integers(-1, 2, 80)
    scores = interval_scores(rng.standard_t(3, 80).astype(np.float32), *return_moments(table[:, 3:6], table[:, 9:12]))
    limit = np.sort(scores[-60:])[math.ceil(61 * 0.9) - 1]
    outlook, _ = Outlooks(certainty, ROW_NS, LINEAR).after(Instant(ROW_NS, 0), quotes(np.array([5e5]))[0], True, row)
    assert outlook.upper_bp - outlook.mean_bp == pytest.approx(limit * outlook.deviation_bp)
    assert outlook.spread_bp == pytest.approx(0.1)


def test_outlooks_go_on_after_a_restart_where_they_were() -> None:
    certainty, table, around = fitted(adaptive=ADAPTIVE), traded(forecasts(90, 4)), quotes(mids(90, 4))
    whole, half = Outlooks(certainty, ROW_NS, LINEAR), Outlooks(certainty, ROW_NS, LINEAR)
    at = instants(90, 4)
    expected = [repr(whole.after(at[row], around[row], True, table[row])) for row in range(90)]
    for row in range(40):
        half.after(at[row], around[row], True, table[row])
    again = Outlooks(Certainty.from_dict(json.loads(json.dumps(certainty.as_dict()))), ROW_NS, LINEAR)
    again.restore(json.loads(json.dumps(half.as_dict())))
    assert [repr(again.after(at[row], around[row], True, table[row])) for row in range(40, 90)] == expected[40:]
    with pytest.raises(ModelError, match="of another model"):
        Outlooks(fitted(question(latency_ms=100.0)), ROW_NS, LINEAR).restore(half.as_dict())


def test_without_a_certainty_there_is_a_mean_and_no_interval() -> None:
    outlooks = Outlooks(None, ROW_NS, LINEAR)
    given = np.array([0.25, 0.5, 0.25, -1.0, 0.0, 3.0, 0.2])
    outlook, same = outlooks.after(Instant(ROW_NS, 0), NO_QUOTE, True, given)
    assert same is given
    assert (outlook.mean_bp, outlook.spread_bp, outlook.classes) == (0.5, 0.2, 0)
    assert math.isnan(outlook.lower_bp)
    assert math.isnan(outlook.upper_bp)
    assert outlooks.as_dict() == {}


def test_a_certainty_needs_labels_and_the_cell() -> None:
    table = forecasts(20, 1)
    unknown = drawn(20, 1)._replace(classes=np.full(20, NO_CLASS, np.int8), gross_bp=np.full(20, np.nan, np.float32))
    with pytest.raises(NotEnoughData, match="none of 20 scores"):
        fit_certainty(SHAPE, question(), table, unknown, PARAMETERS, ADAPTIVE)
    with pytest.raises(ModelError, match="no cell h5000_b0"):
        fit_certainty(SHAPE, replace(question(), cell=Cell(5000, 0.0)), table, unknown, PARAMETERS, ADAPTIVE)


def test_a_question_that_no_label_answers_is_refused() -> None:
    assert Question.from_dict(json.loads(json.dumps(question().as_dict()))) == question()
    with pytest.raises(ModelError, match="no label is of"):
        Question.from_dict(question().as_dict() | {"exit": "hope"})
