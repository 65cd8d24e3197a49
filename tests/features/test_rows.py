"""Rows worked by hand: the grid, the windows, the status and its recovery."""

from dataclasses import replace

import numpy as np
import pytest

from features.batch import feature_rows, frame_to_rows, rows_to_frame
from features.catalogue import BOOK_CLOSED, CROSSED, ONE_SIDED, SILENT, VALID, WARMING_UP, feature_names
from features.step import new_state
from market.errors import DataError
from market.events import BBO, BUY, GAP, LEVEL, SELL, TRADE, empty_events
from tests.builders_features import MS, PARAMETERS, START, batch_rows, message, same_bytes, snapshot, synthetic_events

QUICK = replace(PARAMETERS, normalizer_sample_ms=20, normalizer_min_samples=2, max_silence_ms=10_000)
NAMES = feature_names(QUICK)
READY = START + 1_100 * MS  # window and normaliser are warm


def rows_until(until, *messages, parameters=QUICK):
    return feature_rows(np.concatenate(messages), new_state(parameters), parameters, until)


def raw_at(row_ts, *messages):
    rows = rows_until(row_ts, snapshot(START, 1), *messages)
    assert rows.status[-1] == VALID
    return dict(zip(NAMES, rows.raw[-1].tolist(), strict=True))


def status_at(row_ts, *messages):
    rows = rows_until(row_ts, snapshot(START, 1), *messages)
    assert not rows.raw[rows.status != VALID].any()
    assert not rows.values[rows.status != VALID].any()
    return int(rows.status[-1])


def test_rows_close_at_every_multiple_of_the_interval():
    rows = rows_until(START + 95 * MS, snapshot(START + 7 * MS, 1))
    assert ((rows.row_ts - START) // MS).tolist() == [20, 40, 60, 80]


def test_first_row_closes_at_the_first_event_when_that_lies_on_the_grid():
    assert rows_until(START + 5 * MS, snapshot(START, 1)).row_ts.tolist() == [START]


def test_an_event_on_the_grid_belongs_to_the_row_that_closes_there():
    trades = [message(READY + shift, 2 + shift, (TRADE, BUY, 1_001, 1)) for shift in (0, 1)]
    rows = rows_until(READY + 20 * MS, snapshot(START, 1), *trades)
    column = NAMES.index("log_event_count_50ms")
    assert np.allclose(rows.raw[-2:, column], np.log1p([1, 2]))


def test_an_event_leaves_the_window_when_the_window_has_passed():
    trade = message(READY, 2, (TRADE, SELL, 999, 3))
    rows = rows_until(READY + 80 * MS, snapshot(START, 1), trade)
    column = NAMES.index("trade_imbalance_50ms")
    assert rows.raw[-5:, column].tolist() == [-1.0, -1.0, -1.0, 0.0, 0.0]


def test_instant_features_of_a_small_book():
    touch = message(READY - 2 * MS, 2, (BBO, BUY, 999, 30), (BBO, SELL, 1_001, 10), delay_ns=7 * MS)
    raw = raw_at(READY, touch)
    assert raw["spread_ticks"] == 2
    assert raw["queue_imbalance"] == 0.5
    assert raw["imbalance_5"] == np.float32(20 / 120)
    assert raw["imbalance_10"] == np.float32(20 / 220)
    assert raw["microprice_deviation"] == 0.5
    assert raw["log_bid_size"] == np.float32(np.log1p(30))
    assert raw["log_ask_size"] == np.float32(np.log1p(10))
    assert raw["delay_ms"] == 7
    assert raw["log_trade_age"] == np.float32(np.log1p(1_100))


def test_order_flow_counts_what_joins_and_leaves_the_touch():
    joined = message(READY - 30 * MS, 2, (LEVEL, BUY, 999, 14))  # 4 lots join the bid
    raised = message(READY - 20 * MS, 3, (LEVEL, BUY, 1_000, 6))  # a new bid of 6 lots
    lifted = message(READY - 10 * MS, 4, (LEVEL, SELL, 1_001, 0))  # the ask of 10 lots leaves
    assert raw_at(READY, joined)["order_flow_imbalance_50ms"] == 4
    assert raw_at(READY, joined, raised)["order_flow_imbalance_50ms"] == 10
    assert raw_at(READY, joined, raised, lifted)["order_flow_imbalance_50ms"] == 20


def test_a_message_counts_as_one_move_of_the_touch():
    shifted = message(READY - 10 * MS, 2, (LEVEL, BUY, 999, 0), (LEVEL, BUY, 999, 10))
    assert raw_at(READY, shifted)["order_flow_imbalance_50ms"] == 0


def test_momentum_and_volatility_are_in_ticks_of_the_mid():
    up = message(READY - 30 * MS, 2, (BBO, BUY, 1_002, 5), (BBO, SELL, 1_004, 5))
    down = message(READY - 10 * MS, 3, (BBO, BUY, 998, 5), (BBO, SELL, 1_000, 5))
    raw = raw_at(READY, up, down)
    assert raw["momentum_50ms"] == raw["momentum_1000ms"] == -1
    assert raw["realized_volatility_50ms"] == 5


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ([(GAP, 0, 0, 0)], BOOK_CLOSED),
        ([(LEVEL, SELL, price, 0) for price in range(1_001, 1_016)], ONE_SIDED),
        ([(LEVEL, BUY, 1_001, 5)], CROSSED),
    ],
    ids=["gap", "one-sided", "crossed"],
)
def test_a_broken_book_gives_its_reason(changes, status):
    assert status_at(READY, message(READY - MS, 2, *changes)) == status


def test_the_touch_of_a_closed_book_is_unknown():
    rows = rows_until(READY, snapshot(START, 1), message(READY - MS, 2, (GAP, 0, 0, 0)))
    assert (rows.best_bid[-1], rows.best_ask[-1]) == (0, 0)
    assert (rows.best_bid[-2], rows.best_ask[-2]) == (999, 1_001)


def test_rows_warm_up_again_after_a_resync():
    gap = message(READY, 2, (GAP, 0, 0, 0))
    again = snapshot(READY + 10 * MS, 3)
    assert status_at(READY + 1_000 * MS, gap, again) == WARMING_UP
    assert status_at(READY + 1_020 * MS, gap, again) == VALID


def test_rows_wait_for_the_samples_of_the_normalizer():
    slow = replace(QUICK, normalizer_sample_ms=500, normalizer_min_samples=3)
    rows = rows_until(START + 3_000 * MS, snapshot(START, 1), parameters=slow)
    first_valid = rows.row_ts[rows.status == VALID][0]
    assert first_valid == START + 2_020 * MS  # samples at 1.0, 1.5 and 2.0 s


def test_a_silent_feed_is_invalid_and_recovers_at_once():
    silence = READY + QUICK.max_silence_ms * MS
    word = message(silence + 30 * MS, 2, (TRADE, BUY, 1_001, 1))
    trade = message(READY, 2, (TRADE, BUY, 1_001, 1))
    assert status_at(silence, trade) == VALID
    assert status_at(silence + 20 * MS, trade) == SILENT
    assert status_at(silence + 40 * MS, trade, word) == VALID


def test_a_row_is_normalized_before_it_is_sampled():
    trade = message(READY, 2, (TRADE, BUY, 1_001, 1), delay_ns=0)
    rows = rows_until(READY, snapshot(START, 1), trade)
    assert rows.values[-1, NAMES.index("log_trade_age")] < 0
    column = NAMES.index("spread_ticks")
    wide = message(READY, 2, (LEVEL, SELL, 1_001, 0))
    rows = rows_until(READY, snapshot(START, 1), wide)
    assert rows.values[-1, column] == 1.0  # (3 - 2) / floor: the median is still that of the past


def test_a_stretch_without_events_still_has_rows():
    state = new_state(QUICK)
    feature_rows(snapshot(START, 1), state, QUICK, START + 10 * MS)
    assert feature_rows(empty_events(0), state, QUICK, START + 100 * MS).row_ts.size == 5


def test_nothing_is_closed_before_the_first_event():
    assert feature_rows(empty_events(0), new_state(QUICK), QUICK, START).row_ts.size == 0


def test_events_beyond_the_end_are_refused():
    with pytest.raises(DataError, match="later than until"):
        rows_until(START - 1, snapshot(START, 1))


def test_a_state_of_other_settings_is_refused():
    with pytest.raises(DataError, match="other feature parameters"):
        feature_rows(snapshot(START, 1), new_state(PARAMETERS), QUICK, START)


def test_rows_survive_the_frame():
    rows = batch_rows(synthetic_events(1))
    frame = rows_to_frame(rows, PARAMETERS)
    assert same_bytes(frame_to_rows(frame, PARAMETERS), rows)
    with pytest.raises(DataError, match="momentum_50ms"):
        frame_to_rows(frame.drop("momentum_50ms"), PARAMETERS)
