"""Rows worked by hand: the grid, the windows, the status and its recovery."""

from dataclasses import replace

import numpy as np
import pytest

from features.batch import feature_rows, frame_to_rows, rows_to_frame
from features.catalogue import (
    BOOK_CLOSED,
    CROSSED,
    LATE_FUNDING,
    NO_LEADER,
    ONE_SIDED,
    SILENT,
    VALID,
    WARMING_UP,
    feature_names,
)
from features.step import new_state
from market.errors import DataError
from market.events import BBO, BUY, FUNDING, GAP, INDEX, LEVEL, LIQUIDATION, MARK, SELL, TRADE, empty_events
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
    assert raw["log_bid_size_1"] == np.float32(np.log1p(30))
    assert raw["log_ask_size_1"] == np.float32(np.log1p(10))
    assert raw["log_bid_size_2"] == raw["log_ask_size_5"] == np.float32(np.log1p(10))
    assert raw["sqrt_bid_offset_1"] == 1
    assert raw["sqrt_ask_offset_4"] == 2
    assert raw["delay_ms"] == 7
    assert raw["log_trade_age"] == np.float32(np.log1p(1_100))


def test_order_flow_counts_what_joins_and_leaves_the_touch():
    joined = message(READY - 30 * MS, 2, (LEVEL, BUY, 999, 14))  # 4 lots join the bid
    raised = message(READY - 20 * MS, 3, (LEVEL, BUY, 1_000, 6))  # a new bid of 6 lots
    lifted = message(READY - 10 * MS, 4, (LEVEL, SELL, 1_001, 0))  # the ask of 10 lots leaves
    assert raw_at(READY, joined)["order_flow_imbalance_50ms"] == 4
    assert raw_at(READY, joined, raised)["order_flow_imbalance_50ms"] == 10
    assert raw_at(READY, joined, raised, lifted)["order_flow_imbalance_50ms"] == 20


def test_a_quantity_at_an_ask_that_stays_counts_against_the_flow():
    grown = message(READY - 30 * MS, 2, (LEVEL, SELL, 1_001, 16))  # 6 lots join the ask
    raw = raw_at(READY, grown)
    assert raw["order_flow_imbalance_50ms"] == raw["order_flow_imbalance_5_50ms"] == -6
    assert raw["log_touch_churn_50ms"] == 0


def test_a_window_is_not_a_bucket_longer_than_it_says():
    old, young = (message(READY - ago * MS, 2 + ago, (TRADE, BUY, 1_001, 1)) for ago in (51, 49))
    assert raw_at(READY, old)["log_trade_count_50ms"] == 0
    assert raw_at(READY, young)["log_trade_count_50ms"] == np.float32(np.log1p(1))


def test_a_message_counts_as_one_move_of_the_touch():
    shifted = message(READY - 10 * MS, 2, (LEVEL, BUY, 999, 0), (LEVEL, BUY, 999, 10))
    assert raw_at(READY, shifted)["order_flow_imbalance_50ms"] == 0


def test_a_touch_that_falls_behind_all_known_levels_takes_them_away():
    raw = raw_at(READY, message(READY - 10 * MS, 2, (BBO, BUY, 991, 5), (BBO, SELL, 1_001, 10)))
    assert raw["spread_ticks"] == 10
    assert raw["momentum_50ms"] == -4
    assert raw["order_flow_imbalance_50ms"] == -10
    assert raw["log_touch_churn_50ms"] == np.float32(np.log1p(1))


def test_momentum_and_volatility_are_in_ticks_of_the_mid():
    up = message(READY - 30 * MS, 2, (BBO, BUY, 1_002, 5), (BBO, SELL, 1_004, 5))
    down = message(READY - 10 * MS, 3, (BBO, BUY, 998, 5), (BBO, SELL, 1_000, 5))
    raw = raw_at(READY, up, down)
    assert raw["momentum_50ms"] == raw["momentum_1000ms"] == -1
    assert raw["realized_volatility_50ms"] == 5


def test_deep_flow_counts_the_best_five_levels_and_leaves_out_what_comes_into_view():
    deeper = message(READY - 30 * MS, 2, (LEVEL, BUY, 996, 17))  # 7 lots join the fourth bid
    far = message(READY - 25 * MS, 3, (LEVEL, BUY, 990, 90))  # the tenth level is out of view
    lifted = message(READY - 20 * MS, 4, (LEVEL, SELL, 1_001, 0))  # the ask of 10 leaves, 1_006 comes into view
    assert raw_at(READY, deeper, far)["order_flow_imbalance_5_50ms"] == 7
    assert raw_at(READY, deeper, far, lifted)["order_flow_imbalance_5_50ms"] == 17


def test_cancels_are_what_left_and_was_not_traded():
    trade = message(READY - 30 * MS, 2, (TRADE, SELL, 999, 4))
    left = message(READY - 29 * MS, 3, (LEVEL, BUY, 999, 1))  # 9 of 10 lots gone, 4 of them traded
    joined = message(READY - 28 * MS, 4, (LEVEL, SELL, 1_001, 15))
    raw = raw_at(READY, trade, left, joined)
    assert raw["cancel_share_50ms"] == 0.5
    assert raw["log_volume_50ms"] == np.float32(np.log1p(4))
    assert raw["log_touch_churn_50ms"] == 0


def test_trades_leave_their_sign_their_run_and_their_price():
    trades = [(TRADE, SELL, 999, 1), (TRADE, BUY, 1_001, 2), (TRADE, BUY, 1_003, 1)]
    raw = raw_at(READY, *(message(READY - 30 * MS + at, 2 + at, trade) for at, trade in enumerate(trades)))
    assert raw["trade_sign_50ms"] == np.float32(1 / 3)
    assert raw["trade_imbalance_50ms"] == 0.5
    assert raw["trade_run"] == np.float32(np.log1p(2))
    assert raw["vwap_distance_50ms"] == -1  # 1_000 against (999 + 2 x 1_001 + 1_003) / 4


def test_jitter_is_the_mean_change_of_the_delay():
    delays = [(30, 5), (20, 8), (10, 4)]
    trades = [message(READY - ago * MS, ago, (TRADE, BUY, 1_001, 1), delay_ns=delay * MS) for ago, delay in delays]
    assert raw_at(READY, *trades)["delay_jitter"] == 3.5


def test_what_the_venue_publishes_is_known_from_its_arrival():
    words = [(MARK, 0, 100_100, 0), (INDEX, 0, 100_000, 0), (FUNDING, 0, 10**8, READY + 3_600_000 * MS)]
    published = message(READY, 2, *words)
    raw = raw_at(READY, published)
    assert raw["basis"] == 10
    assert raw["funding_rate"] == 1
    assert raw["time_to_funding"] == 0.125
    rows = rows_until(READY + 20 * MS, snapshot(START, 1), message(READY + MS, 2, *words))
    assert rows.raw[-2:, NAMES.index("funding_rate")].tolist() == [0, 1]


def test_forced_orders_near_the_mid_count_and_fade():
    forced = [(LIQUIDATION, SELL, 999, 6), (LIQUIDATION, BUY, 1_006, 9), (LIQUIDATION, BUY, 1_002, 3)]
    words = [message(READY - 2_000 * MS, 2 + at, order) for at, order in enumerate(forced)]
    rows = rows_until(READY, snapshot(START - 5_000 * MS, 1), *words)
    raw = dict(zip(NAMES, rows.raw[-1].tolist(), strict=True))
    assert raw["log_liquidated_sell"] == np.float32(np.log1p(3))  # one half-life ago
    assert raw["log_liquidated_buy"] == np.float32(np.log1p(1.5))  # 60 bp away is too far


def test_a_required_funding_rate_that_comes_late_invalidates_rows():
    strict = replace(QUICK, max_funding_age_s=1)
    funding = message(READY, 2, (FUNDING, 0, 10**8, READY))
    heard = rows_until(READY + 1_020 * MS, snapshot(START, 1), funding, parameters=strict)
    assert heard.status[heard.row_ts < READY].tolist()[-1] == LATE_FUNDING
    assert heard.status[heard.row_ts == READY + 1_000 * MS] == VALID
    assert heard.status[-1] == LATE_FUNDING


def test_a_follower_sees_the_leader_and_stops_when_it_stops():
    led = replace(QUICK, leader="the-leader", max_silence_ms=1_000)
    row_ts = np.arange(START, READY + 1, 20 * MS)
    mid2 = np.where(row_ts < READY - 40 * MS, 4_000, 4_002)
    trades = [message(READY + at * MS, 700 + at, (TRADE, BUY, 1_001, 1)) for at in (-600, 0, 900)]
    end = READY + 1_020 * MS
    tape, leader = np.concatenate([snapshot(START, 1), *trades]), (row_ts, mid2, np.full(row_ts.size, 0.25))
    rows = feature_rows(tape, new_state(led), led, end, leader)
    seen = dict(zip(feature_names(led), rows.raw[rows.row_ts == READY][0].tolist(), strict=True))
    assert seen["leader_imbalance"] == 0.25
    assert seen["leader_return_50ms"] == seen["leader_return_1000ms"] == 5
    assert rows.status[-2:].tolist() == [VALID, NO_LEADER]


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


def test_a_silent_feed_is_invalid_and_warms_up_when_it_speaks_again():
    silence = READY + QUICK.max_silence_ms * MS
    word = message(silence + 30 * MS, 2, (TRADE, BUY, 1_001, 1))
    trade = message(READY, 2, (TRADE, BUY, 1_001, 1))
    assert status_at(silence, trade) == VALID
    assert status_at(silence + 20 * MS, trade) == SILENT
    assert status_at(silence + 40 * MS, trade, word) == WARMING_UP
    assert status_at(silence + 1_000 * MS, trade, word) == WARMING_UP
    assert status_at(silence + 1_020 * MS, trade, word) == VALID


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
