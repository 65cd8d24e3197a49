"""Fills worked out by hand; every number can be checked on paper."""

from typing import Any

import pytest

from market.events import BBO, BUY, GAP, LEVEL, MARK, NO_SIDE, SELL, SNAPSHOT
from market.orders import (
    ACKED,
    ALREADY_DONE,
    BAD_PRICE,
    BAD_QTY,
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
    MODIFIED,
    MODIFY_REJECTED,
    NO_ANSWER,
    NOT_FILLED,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    PARTIAL,
    PENDING_CANCEL,
    PENDING_MODIFY,
    POST_ONLY,
    REJECTED,
    SELF_CROSS,
    UNKNOWN,
    UNKNOWN_ORDER,
    VENUE_REFUSED,
    WOULD_CROSS,
    Reports,
)
from tests.builders_venue import (
    FOREVER,
    MS,
    fills,
    level,
    message,
    new_reference,
    new_venue,
    opened,
    snapshot,
    tape,
    trade,
)


def _told(reports: Reports) -> list[tuple[int, int, int]]:
    return [(int(row["order_id"]), int(row["kind"]), int(row["reason"])) for row in reports]


def _resting_bid(qty: int = 5, **changes: Any):
    """A venue where order 1 bids 100 behind 10 displayed lots, accepted at 10 ms."""
    venue = new_venue(**changes)
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


def test_less_quantity_at_the_same_price_keeps_the_place():
    venue = _resting_bid(qty=5)
    venue.on_events(trade(20, SELL, 100, 11))  # 10 before us, 1 of ours
    venue.modify(1, 100, 3, 20 * MS)
    assert venue.orders["status"][0] == PENDING_MODIFY
    venue.on_events(tape(level(30, BUY, 100, 40), trade(31, SELL, 100, 9)))
    reports = venue.reports(FOREVER)
    assert _told(reports) == [(1, ACKED, 0), (1, FILL, 0), (1, MODIFIED, 0), (1, FILL, 0)]
    assert fills(reports) == [(1, 100, 1), (1, 100, 2)]
    assert venue.orders["status"][0] == FILLED


def test_more_quantity_or_another_price_loses_the_place():
    for price, qty, front in ((100, 6, 30), (99, 5, 10)):
        venue = _resting_bid(qty=5)
        venue.on_events(level(15, BUY, 100, 30))
        venue.modify(1, price, qty, 20 * MS)
        venue.on_events(level(30, BUY, 90, 2))
        assert (venue.orders["front"][0], venue.orders["leaves"][0]) == (front, qty)


def test_until_it_arrives_a_modified_order_fills_at_its_old_price():
    venue = _resting_bid(qty=5)
    venue.modify(1, 99, 5, 19 * MS)  # arrives at 21 ms
    venue.on_events(tape(trade(20, SELL, 100, 12), level(25, BUY, 90, 2)))
    reports = venue.reports(FOREVER)
    assert fills(reports) == [(1, 100, 2)]
    assert (reports["price"][-1], reports["qty"][-1], reports["leaves"][-1]) == (99, 5, 3)


@pytest.mark.parametrize("venue_of", [new_venue, new_reference])
def test_a_moved_order_is_not_filled_by_a_print_from_before_it_moved(venue_of):
    venue = venue_of()
    venue.place(1, BUY, 98, 5, POST_ONLY, 1 * MS)  # arrives at 3 ms
    venue.modify(1, 99, 5, 20 * MS)  # arrives at 22 ms
    venue.on_events(tape(opened(), level(10, BUY, 90, 1), level(30, BUY, 90, 2)))
    venue.on_events(trade(50, SELL, 99, 50, delay_ms=35))  # printed at 15 ms, when the bid was at 98
    assert fills(venue.reports(FOREVER)) == []
    venue.on_events(trade(51, SELL, 99, 50, delay_ms=29))  # at 22 ms
    assert fills(venue.reports(FOREVER)) == [(1, 99, 5)]


@pytest.mark.parametrize("venue_of", [new_venue, new_reference])
def test_a_moved_order_is_not_filled_by_a_cross_from_before_it_moved(venue_of):
    venue = venue_of(crossed_book="fill")
    venue.place(1, BUY, 98, 5, POST_ONLY, 1 * MS)
    venue.modify(1, 100, 5, 20 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1), level(30, BUY, 90, 2)))
    venue.on_events(message(50, (LEVEL, SELL, 100, 9), delay_ms=35))
    assert fills(venue.reports(FOREVER)) == []
    venue.on_events(message(51, (LEVEL, SELL, 100, 8), delay_ms=29))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 5)]


@pytest.mark.parametrize("venue_of", [new_venue, new_reference])
def test_an_order_that_keeps_its_place_has_stood_since_it_first_arrived(venue_of):
    venue = venue_of()
    venue.place(1, BUY, 100, 5, POST_ONLY, 1 * MS)
    venue.modify(1, 100, 3, 20 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1), level(30, BUY, 90, 2)))
    venue.on_events(trade(50, SELL, 100, 50, delay_ms=35))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 3)]


def test_a_limit_modified_through_the_touch_takes_and_a_post_only_one_ends():
    venue = new_venue()
    venue.place(1, BUY, 100, 5, GTC, 1 * MS)
    venue.place(2, BUY, 99, 5, POST_ONLY, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    for order_id in (1, 2):
        venue.modify(order_id, 101, 5, 11 * MS)
    venue.on_events(level(20, BUY, 90, 2))
    reports = venue.reports(FOREVER)
    assert fills(reports) == [(1, 101, 5)]
    assert _told(reports)[-1] == (2, ORDER_CANCELLED, WOULD_CROSS)


def test_quantity_modified_to_what_was_filled_ends_the_order():
    venue = _resting_bid(qty=5)
    venue.on_events(trade(20, SELL, 100, 12))
    venue.modify(1, 100, 2, 20 * MS)
    venue.on_events(level(30, BUY, 90, 2))
    assert _told(venue.reports(FOREVER))[-1] == (1, ORDER_CANCELLED, 0)
    assert venue.orders["leaves"][0] == 0


def test_flawed_modify_is_rejected_and_the_order_stands():
    venue = _resting_bid(qty=5)
    for order_id, price, qty in ((1, 0, 5), (1, 100, 0), (77, 100, 5)):
        venue.modify(order_id, price, qty, 11 * MS)
    venue.on_events(tape(level(20, BUY, 90, 2), trade(21, SELL, 100, 15)))
    reports = venue.reports(FOREVER)
    assert _told(reports)[1:4] == [
        (1, MODIFY_REJECTED, BAD_PRICE),
        (1, MODIFY_REJECTED, BAD_QTY),
        (77, MODIFY_REJECTED, UNKNOWN_ORDER),
    ]
    assert fills(reports) == [(1, 100, 5)]
    venue.modify(1, 99, 5, 22 * MS)
    venue.on_events(level(30, BUY, 90, 3))
    assert _told(venue.reports(FOREVER)) == [(1, MODIFY_REJECTED, ALREADY_DONE)]


def test_refused_cancel_leaves_the_order_fillable():
    venue = _resting_bid(qty=5, cancel_reject_share=1.0)
    venue.cancel(1, 11 * MS)
    venue.on_events(tape(level(20, BUY, 90, 2), trade(21, SELL, 100, 12)))
    reports = venue.reports(FOREVER)
    assert _told(reports) == [(1, ACKED, 0), (1, CANCEL_REJECTED, VENUE_REFUSED), (1, FILL, 0)]
    assert reports["leaves"][1] == 5
    assert venue.tallies["cancels_refused"] == venue.tallies["cancels"] == 1


def test_lost_cancel_is_found_out_by_a_look_at_the_venue():
    venue = _resting_bid(qty=5, cancel_lost_share=1.0)  # we look 20 ms after sending
    venue.cancel(1, 11 * MS)
    venue.on_events(tape(level(20, BUY, 90, 2), trade(21, SELL, 100, 12)))
    assert venue.orders["status"][0] == UNKNOWN
    assert _told(venue.reports(30 * MS)) == [(1, ACKED, 0), (1, FILL, 0)]
    venue.on_events(level(31, BUY, 90, 3))
    (found,) = venue.reports(FOREVER)
    assert (found["kind"], found["reason"], found["leaves"]) == (CANCEL_REJECTED, NO_ANSWER, 3)
    assert (venue.orders["status"][0], venue.tallies["cancels_unanswered"]) == (PARTIAL, 1)


def test_refused_order_is_reported_and_counted():
    venue = _resting_bid(qty=5, reject_share=1.0)
    assert _told(venue.reports(FOREVER)) == [(1, ORDER_REJECTED, VENUE_REFUSED)]
    assert venue.tallies["orders_refused"] == venue.tallies["orders"] == 1


def test_failures_are_drawn_anew_for_every_cancel_of_an_order():
    venue = _resting_bid(qty=5, cancel_reject_share=0.5)
    for at_ms in range(11, 31):
        venue.cancel(1, at_ms * MS)
    venue.on_events(level(40, BUY, 90, 2))
    told = _told(venue.reports(FOREVER))
    assert (1, CANCEL_REJECTED, VENUE_REFUSED) in told
    assert (1, ORDER_CANCELLED, 0) in told


def test_book_that_crosses_our_price_fills_what_it_shows_where_that_is_the_model():
    venue = _resting_bid(qty=5, crossed_book="fill")
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
    venue = _resting_bid(queue_model=model, queue_power=power)
    venue.on_events(tape(level(20, BUY, 100, 30), level(30, BUY, 100, 24)))  # 10 before, 20 behind; 6 leave
    assert venue.orders["front"][0] == pytest.approx(front, abs=1e-5)


def test_printed_lots_are_taken_off_the_next_decrease_once():
    venue = _resting_bid(queue_model="power")
    venue.on_events(tape(level(20, BUY, 100, 30), trade(21, SELL, 100, 4)))
    assert venue.orders["front"][0] == 6
    venue.on_events(level(22, BUY, 100, 26))  # the print, and nobody else
    assert venue.orders["front"][0] == 6
    venue.on_events(level(23, BUY, 100, 13))  # half of 26 leave: half of the 6 before us
    assert venue.orders["front"][0] == pytest.approx(3)


def test_lots_printed_first_of_all_are_taken_off_as_well():
    venue = _resting_bid(queue_model="power")
    venue.on_events(tape(trade(21, SELL, 100, 4), level(22, BUY, 100, 5)))  # 4 printed, and one that left
    assert venue.orders["front"][0] == 5


def test_nobody_stands_before_us_in_the_most_optimistic_queue():
    venue = _resting_bid(qty=5, queue_model="front")
    venue.on_events(trade(20, SELL, 100, 3))
    assert fills(venue.reports(FOREVER)) == [(1, 100, 3)]
