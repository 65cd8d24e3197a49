"""Fills worked out by hand; every number can be checked on paper."""

from market.events import BBO, BUY, GAP, LEVEL, NO_SIDE, SELL, SNAPSHOT
from market.orders import (
    ACKED,
    ALREADY_DONE,
    BOOK_CLOSED,
    CANCEL_REJECTED,
    CANCELLED,
    EXPIRED,
    FILL,
    FILLED,
    FOK,
    FOK_SHORT,
    GTC,
    IOC,
    LIVE,
    NOT_FILLED,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    PARTIAL,
    PENDING_CANCEL,
    POST_ONLY,
    REJECTED,
    SELF_CROSS,
    UNKNOWN_ORDER,
    WOULD_CROSS,
    Reports,
)
from tests.builders_venue import FOREVER, MS, fills, level, message, new_venue, opened, snapshot, tape, trade


def _told(reports: Reports) -> list[tuple[int, int, int]]:
    return [(int(row["order_id"]), int(row["kind"]), int(row["reason"])) for row in reports]


def _resting_bid(qty: int = 5):
    """A venue where order 1 bids 100 behind 10 displayed lots, accepted at 10 ms."""
    venue = new_venue()
    venue.place(1, BUY, 100, qty, POST_ONLY, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    return venue


def test_resting_order_is_filled_in_parts_and_keeps_the_rest():
    venue = _resting_bid(qty=5)
    venue.on_events(tape(trade(20, SELL, 100, 12), trade(30, SELL, 100, 2)))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 2), (1, 100, 2)]
    assert (venue.orders["leaves"][0], venue.orders["status"][0]) == (1, PARTIAL)


def test_fill_of_exactly_the_remaining_size_ends_the_order():
    venue = _resting_bid(qty=5)
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
    venue = _resting_bid(qty=5)
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
    venue = _resting_bid(qty=5)
    venue.on_events(trade(20, SELL, 99, 3))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 3)]


def test_a_buyer_s_print_leaves_our_bid_alone():
    venue = _resting_bid()
    venue.on_events(tape(trade(20, BUY, 100, 50), trade(21, BUY, 99, 50), trade(22, NO_SIDE, 99, 50)))
    assert fills(venue.reports(FOREVER)) == []
    assert venue.orders["front"][0] == 10


def test_displayed_depth_below_the_queue_moves_us_up_and_more_depth_does_not_move_us_back():
    venue = _resting_bid()
    venue.on_events(tape(level(20, BUY, 100, 4), level(30, BUY, 100, 50)))
    assert venue.orders["front"][0] == 4
    venue.on_events(trade(40, SELL, 100, 5))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 1)]


def test_book_that_crosses_our_price_without_a_print_fills_nobody():
    venue = _resting_bid()
    venue.on_events(message(20, (BBO, SELL, 99, 7)))
    assert fills(venue.reports(FOREVER)) == []
    assert (venue.orders["status"][0], venue.orders["front"][0]) == (LIVE, 0)
    venue.on_events(trade(30, SELL, 100, 1))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 1)]


def test_a_print_from_before_our_arrival_does_not_count_however_late_we_hear_of_it():
    venue = _resting_bid()  # arrived at 3 ms
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
    assert [row[1:] for row in _told(reports)] == [(ACKED, 0), (FILL, 0), (ORDER_EXPIRED, NOT_FILLED)]
    assert (reports["qty"][-1], venue.orders["status"][0]) == (5, EXPIRED)


def test_fok_takes_all_or_nothing():
    venue = new_venue()
    venue.place(1, SELL, 99, 21, FOK, 1 * MS)
    venue.place(2, SELL, 99, 20, FOK, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    reports = venue.reports(FOREVER)
    assert fills(reports) == [(2, 100, 10), (2, 99, 10)]
    assert _told(reports)[1] == (1, ORDER_EXPIRED, FOK_SHORT)


def test_crossing_post_only_order_is_rejected():
    venue = new_venue()
    venue.place(1, BUY, 101, 1, POST_ONLY, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    assert _told(venue.reports(FOREVER)) == [(1, ORDER_REJECTED, WOULD_CROSS)]
    assert venue.orders["status"][0] == REJECTED


def test_own_orders_never_trade_with_each_other():
    venue = _resting_bid()
    venue.place(2, SELL, 100, 3, IOC, 11 * MS)
    venue.place(3, SELL, 101, 3, POST_ONLY, 11 * MS)
    venue.on_events(level(20, BUY, 90, 2))
    assert _told(venue.reports(FOREVER)) == [(1, ACKED, 0), (2, ORDER_REJECTED, SELF_CROSS), (3, ACKED, 0)]


def test_pending_cancel_can_still_be_filled():
    venue = _resting_bid(qty=5)
    venue.cancel(1, 19 * MS)  # arrives at 21 ms
    assert venue.orders["status"][0] == PENDING_CANCEL
    venue.on_events(trade(20, SELL, 100, 12))
    assert (venue.orders["status"][0], venue.orders["leaves"][0]) == (PENDING_CANCEL, 3)
    venue.on_events(level(22, BUY, 90, 2))
    assert _told(venue.reports(FOREVER)) == [(1, ACKED, 0), (1, FILL, 0), (1, ORDER_CANCELLED, 0)]
    assert (venue.orders["status"][0], venue.orders["leaves"][0]) == (CANCELLED, 0)


def test_cancel_that_comes_after_the_fill_is_rejected():
    venue = _resting_bid(qty=5)
    venue.cancel(1, 19 * MS)
    venue.on_events(tape(trade(20, SELL, 100, 15), level(22, BUY, 90, 2)))
    assert _told(venue.reports(FOREVER))[-1] == (1, CANCEL_REJECTED, ALREADY_DONE)


def test_cancel_of_an_unknown_order_is_rejected():
    venue = _resting_bid()
    venue.cancel(77, 11 * MS)
    venue.on_events(level(20, BUY, 90, 2))
    assert _told(venue.reports(FOREVER))[-1] == (77, CANCEL_REJECTED, UNKNOWN_ORDER)


def test_closed_book_takes_no_order_and_fills_none_until_the_next_snapshot():
    venue = _resting_bid(qty=5)
    venue.place(2, BUY, 99, 1, POST_ONLY, 12 * MS)
    venue.on_events(tape(message(20, (GAP, NO_SIDE, 0, 0)), trade(21, SELL, 98, 50)))
    assert _told(venue.reports(FOREVER)) == [(1, ACKED, 0), (2, ORDER_REJECTED, BOOK_CLOSED)]
    venue.on_events(tape(snapshot(30, {100: 4}, {101: 10}), trade(31, SELL, 100, 6)))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 2)]  # behind min(10, 4) lots


def test_cancel_reaches_a_closed_venue():
    venue = _resting_bid()
    venue.on_events(message(20, (GAP, NO_SIDE, 0, 0)))
    venue.cancel(1, 20 * MS)
    venue.on_events(trade(30, SELL, 98, 50))
    assert _told(venue.reports(FOREVER)) == [(1, ACKED, 0), (1, ORDER_CANCELLED, 0)]


def test_orders_meet_no_half_applied_message():
    venue = new_venue()
    venue.place(1, BUY, 105, 15, IOC, 1 * MS)
    book = opened(10)
    venue.on_events(book[:7])
    assert venue.reports(FOREVER).size == 0
    venue.on_events(book[7:])
    assert fills(venue.reports(FOREVER)) == [(1, 101, 10), (1, 102, 5)]


def test_queue_is_not_cut_by_a_half_applied_snapshot():
    venue = _resting_bid()
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
    venue = _resting_bid()  # accepted at 10 ms
    assert venue.reports(12 * MS).size == 0
    assert _told(venue.reports(13 * MS)) == [(1, ACKED, 0)]
    assert venue.reports(FOREVER).size == 0


def test_level_message_with_many_levels_counts_once_it_is_whole():
    venue = _resting_bid()
    venue.on_events(message(20, (LEVEL, BUY, 100, 2), (LEVEL, BUY, 100, 10)))
    assert venue.orders["front"][0] == 10
