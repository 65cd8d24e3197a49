"""Fills worked out by hand; every number can be checked on paper."""

import pytest

from market.events import BBO, BUY, GAP, LEVEL, MARK, NO_SIDE, SELL, SNAPSHOT
from market.orders import (
    ACKED,
    BOOK_CLOSED,
    EXPIRED,
    FILL,
    FILLED,
    FOK,
    FOK_SHORT,
    GTC,
    IOC,
    LIVE,
    NOT_FILLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    PARTIAL,
    POST_ONLY,
    REJECTED,
    SELF_CROSS,
    WOULD_CROSS,
)
from tests.builders_venue import (
    FOREVER,
    MS,
    fills,
    level,
    message,
    new_venue,
    opened,
    resting_bid,
    snapshot,
    tape,
    told_by,
    trade,
)


def test_resting_order_is_filled_in_parts_and_keeps_the_rest():
    venue = resting_bid(qty=5)
    venue.on_events(tape(trade(20, SELL, 100, 12), trade(30, SELL, 100, 2)))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 2), (1, 100, 2)]
    assert (venue.orders["leaves"][0], venue.orders["status"][0]) == (1, PARTIAL)


def test_fill_of_exactly_the_remaining_size_ends_the_order():
    venue = resting_bid(qty=5)
    venue.on_events(tape(trade(20, SELL, 100, 12), trade(30, SELL, 100, 3), trade(40, SELL, 100, 50)))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 2), (1, 100, 3)]
    assert (venue.orders["leaves"][0], venue.orders["status"][0]) == (0, FILLED)


def test_ioc_sweep_over_three_levels_pays_each_level_its_price():
    venue = new_venue()
    venue.place(1, BUY, 103, 25, IOC, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    made = fills(venue.reports(FOREVER))
    assert made == [(1, 101, 10), (1, 102, 10), (1, 103, 5)]
    assert sum(price * lots for _, price, lots in made) / 25 == 101.8


def test_two_own_orders_share_the_volume_behind_one_queue():
    venue = new_venue()
    venue.place(1, BUY, 100, 5, POST_ONLY, 1 * MS)
    venue.place(2, BUY, 100, 5, POST_ONLY, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1), trade(20, SELL, 100, 17)))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 5), (2, 100, 2)]


def test_second_own_order_waits_for_the_market_lots_between_the_two():
    venue = resting_bid(qty=5)
    venue.place(2, BUY, 100, 5, POST_ONLY, 11 * MS)
    venue.on_events(tape(level(15, BUY, 100, 14), trade(20, SELL, 100, 18), trade(21, SELL, 100, 3)))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 5), (2, 100, 2)]  # 10 before, 5 ours, 4 between, 2 ours


def test_better_own_price_is_served_first_and_uses_the_volume_up():
    venue = new_venue()
    venue.place(1, BUY, 99, 5, POST_ONLY, 1 * MS)
    venue.place(2, BUY, 100, 5, POST_ONLY, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1), trade(20, SELL, 99, 8)))
    assert fills(venue.reports(FOREVER)) == [(2, 100, 5)]
    assert venue.orders["front"].tolist() == [7, 0]


def test_trade_through_fills_no_more_than_was_printed():
    venue = resting_bid(qty=5)
    venue.on_events(trade(20, SELL, 99, 3))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 3)]


def test_a_buyer_s_print_leaves_our_bid_alone():
    venue = resting_bid()
    venue.on_events(tape(trade(20, BUY, 100, 50), trade(21, BUY, 99, 50), trade(22, NO_SIDE, 99, 50)))
    assert fills(venue.reports(FOREVER)) == []
    assert venue.orders["front"][0] == 10


def test_displayed_depth_below_the_queue_moves_us_up_and_more_depth_does_not_move_us_back():
    venue = resting_bid()
    venue.on_events(tape(level(20, BUY, 100, 4), level(30, BUY, 100, 50)))
    assert venue.orders["front"][0] == 4
    venue.on_events(trade(40, SELL, 100, 5))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 1)]


def test_book_that_crosses_our_price_without_a_print_fills_nobody():
    venue = resting_bid()
    venue.on_events(message(20, (BBO, SELL, 99, 7)))
    assert fills(venue.reports(FOREVER)) == []
    assert (venue.orders["status"][0], venue.orders["front"][0]) == (LIVE, 0)
    venue.on_events(trade(30, SELL, 100, 1))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 1)]


def test_a_print_from_before_our_arrival_does_not_count_however_late_we_hear_of_it():
    venue = resting_bid()  # arrived at 3 ms
    venue.on_events(trade(20, SELL, 99, 50, delay_ms=18))
    assert fills(venue.reports(FOREVER)) == []
    venue.on_events(trade(21, SELL, 99, 50, delay_ms=18))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 5)]


def test_order_between_the_touches_is_first_in_its_queue():
    venue = new_venue()
    venue.place(1, SELL, 103, 4, POST_ONLY, 5 * MS)
    venue.on_events(tape(snapshot(1, {100: 10}, {105: 10}), level(10, BUY, 90, 1), trade(11, BUY, 103, 3)))
    assert fills(venue.reports(FOREVER)) == [(1, 103, 3)]


def test_consumed_depth_is_gone_until_its_level_is_set_again():
    venue = new_venue()
    venue.place(1, BUY, 101, 8, IOC, 1 * MS)
    venue.place(2, BUY, 101, 8, IOC, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    assert fills(venue.reports(FOREVER)) == [(1, 101, 8), (2, 101, 2)]
    venue.place(3, BUY, 101, 8, IOC, 11 * MS)
    venue.on_events(level(20, BUY, 90, 2))
    assert fills(venue.reports(FOREVER)) == []
    venue.place(4, BUY, 101, 8, IOC, 21 * MS)
    venue.on_events(level(30, SELL, 101, 5))
    assert fills(venue.reports(FOREVER)) == [(4, 101, 5)]


def test_rest_of_a_marketable_gtc_order_stays_at_its_limit():
    venue = new_venue()
    venue.place(1, BUY, 101, 15, GTC, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1), trade(20, SELL, 101, 2)))
    reports = venue.reports(FOREVER)
    assert fills(reports) == [(1, 101, 10), (1, 101, 2)]
    assert reports["maker"][reports["kind"] == FILL].tolist() == [0, 1]
    assert venue.orders["status"][0] == PARTIAL


def test_ioc_rest_expires():
    venue = new_venue()
    venue.place(1, BUY, 101, 15, IOC, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    reports = venue.reports(FOREVER)
    assert [row[1:] for row in told_by(reports)] == [(ACKED, 0), (FILL, 0), (ORDER_EXPIRED, NOT_FILLED)]
    assert (reports["qty"][-1], venue.orders["status"][0]) == (5, EXPIRED)


def test_fok_takes_all_or_nothing():
    venue = new_venue()
    venue.place(1, SELL, 99, 21, FOK, 1 * MS)
    venue.place(2, SELL, 99, 20, FOK, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    reports = venue.reports(FOREVER)
    assert fills(reports) == [(2, 100, 10), (2, 99, 10)]
    assert told_by(reports)[1] == (1, ORDER_EXPIRED, FOK_SHORT)


def test_crossing_post_only_order_is_rejected():
    venue = new_venue()
    venue.place(1, BUY, 101, 1, POST_ONLY, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    assert told_by(venue.reports(FOREVER)) == [(1, ORDER_REJECTED, WOULD_CROSS)]
    assert venue.orders["status"][0] == REJECTED


def test_own_orders_never_trade_with_each_other():
    venue = resting_bid()
    venue.place(2, SELL, 100, 3, IOC, 11 * MS)
    venue.place(3, SELL, 101, 3, POST_ONLY, 11 * MS)
    venue.on_events(level(20, BUY, 90, 2))
    assert told_by(venue.reports(FOREVER)) == [(1, ACKED, 0), (2, ORDER_REJECTED, SELF_CROSS), (3, ACKED, 0)]


def test_closed_book_takes_no_order_and_fills_none_until_the_next_snapshot():
    venue = resting_bid(qty=5)
    venue.place(2, BUY, 99, 1, POST_ONLY, 12 * MS)
    venue.on_events(tape(message(20, (GAP, NO_SIDE, 0, 0)), trade(21, SELL, 98, 50)))
    assert told_by(venue.reports(FOREVER)) == [(1, ACKED, 0), (2, ORDER_REJECTED, BOOK_CLOSED)]
    venue.on_events(tape(snapshot(30, {100: 4}, {101: 10}), trade(31, SELL, 100, 6)))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 2)]  # behind min(10, 4) lots


def test_orders_meet_no_half_applied_message():
    venue = new_venue()
    venue.place(1, BUY, 105, 15, IOC, 1 * MS)
    book = opened(10)
    venue.on_events(book[:7])
    assert venue.reports(FOREVER).size == 0
    venue.on_events(book[7:])
    assert fills(venue.reports(FOREVER)) == [(1, 101, 10), (1, 102, 5)]


def test_queue_is_not_cut_by_a_half_applied_snapshot():
    venue = resting_bid()
    venue.on_events(message(20, (SNAPSHOT, BUY, 99, 3), (SNAPSHOT, BUY, 100, 9), (SNAPSHOT, SELL, 101, 1)))
    assert venue.orders["front"][0] == 9


def test_trace_mode_reports_at_the_clock_and_not_before_the_cause_was_received():
    venue = new_venue()
    venue.place(1, BUY, 100, 5, POST_ONLY, 5 * MS)  # arrives at 7 ms
    venue.on_events(tape(opened(), level(6, BUY, 90, 1)))
    assert venue.reports(FOREVER).size == 0
    venue.on_events(tape(level(20, BUY, 90, 2, delay_ms=12), trade(31, SELL, 99, 5, delay_ms=1)))
    reports = venue.reports(FOREVER)
    assert reports["venue_ts"].tolist() == [8 * MS, 30 * MS]
    assert reports["visible_ts"].tolist() == [20 * MS, 33 * MS]


def test_research_mode_meets_the_state_in_force_at_the_arrival():
    venue = new_venue()
    venue.match_research(opened(), 5 * MS)
    venue.place(1, BUY, 101, 4, IOC, 6 * MS)  # arrives at 8 ms, with the level; the book is then
    venue.match_research(tape(level(8, SELL, 101, 3), level(9, SELL, 101, 9)), 20 * MS)
    reports = venue.reports(FOREVER)
    assert fills(reports) == [(1, 101, 3)]
    assert set(reports["venue_ts"].tolist()) == {8 * MS}
    assert set(reports["visible_ts"].tolist()) == {11 * MS}


def test_reports_are_handed_out_once_and_when_visible():
    venue = resting_bid()  # accepted at 10 ms
    assert venue.reports(12 * MS).size == 0
    assert told_by(venue.reports(13 * MS)) == [(1, ACKED, 0)]
    assert venue.reports(FOREVER).size == 0


def test_level_message_with_many_levels_counts_once_it_is_whole():
    venue = resting_bid()
    venue.on_events(message(20, (LEVEL, BUY, 100, 2), (LEVEL, BUY, 100, 10)))
    assert venue.orders["front"][0] == 10


def test_book_that_crosses_our_price_fills_what_it_shows_where_that_is_the_model():
    venue = resting_bid(qty=5, crossed_book="fill")
    venue.on_events(message(20, (BBO, SELL, 99, 3)))
    reports = venue.reports(FOREVER)
    assert fills(reports) == [(1, 100, 3)]  # at our price, as a resting order
    assert reports["maker"][-1] == 1
    venue.on_events(message(21, (MARK, NO_SIDE, 1, 1)))  # what it took is gone until the level's next update
    assert fills(venue.reports(FOREVER)) == []
    venue.on_events(level(22, SELL, 99, 3))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 2)]


@pytest.mark.parametrize(
    ("model", "power", "front"),
    [
        ("risk_averse", 1.0, 10),
        ("power", 1.0, 8),
        ("power", 2.0, 10 - 6 / 5),
        ("log", 1.0, 10 - 6 * 0.4405938),  # log 11 / (log 11 + log 21)
        ("front", 1.0, 0),
    ],
)
def test_a_decrease_is_shared_between_before_and_behind_us(model, power, front):
    venue = resting_bid(queue_model=model, queue_power=power)
    venue.on_events(tape(level(20, BUY, 100, 30), level(30, BUY, 100, 24)))  # 10 before, 20 behind; 6 leave
    assert venue.orders["front"][0] == pytest.approx(front, abs=1e-5)


def test_printed_lots_are_taken_off_the_next_decrease_once():
    venue = resting_bid(queue_model="power")
    venue.on_events(tape(level(20, BUY, 100, 30), trade(21, SELL, 100, 4)))
    assert venue.orders["front"][0] == 6
    venue.on_events(level(22, BUY, 100, 26))  # the print, and nobody else
    assert venue.orders["front"][0] == 6
    venue.on_events(level(23, BUY, 100, 13))  # half of 26 leave: half of the 6 before us
    assert venue.orders["front"][0] == pytest.approx(3)


def test_lots_printed_first_of_all_are_taken_off_as_well():
    venue = resting_bid(queue_model="power")
    venue.on_events(tape(trade(21, SELL, 100, 4), level(22, BUY, 100, 5)))  # 4 printed, and one that left
    assert venue.orders["front"][0] == 5


def test_nobody_stands_before_us_in_the_most_optimistic_queue():
    venue = resting_bid(qty=5, queue_model="front")
    venue.on_events(trade(20, SELL, 100, 3))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 3)]
