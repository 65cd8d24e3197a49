"""Cancels and changes of orders worked out by hand: in time, too late, refused, lost, unanswered."""

import pytest

from market.events import BUY, GAP, LEVEL, NO_SIDE, SELL
from market.orders import (
    ACKED,
    ALREADY_DONE,
    BAD_PRICE,
    BAD_QTY,
    CANCEL_REJECTED,
    CANCELLED,
    FILL,
    FILLED,
    GTC,
    MODIFIED,
    MODIFY_REJECTED,
    NO_ANSWER,
    ORDER_CANCELLED,
    ORDER_REJECTED,
    PARTIAL,
    PENDING_CANCEL,
    PENDING_MODIFY,
    POST_ONLY,
    UNKNOWN,
    UNKNOWN_ORDER,
    VENUE_REFUSED,
    WOULD_CROSS,
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
    resting_bid,
    tape,
    told_by,
    trade,
)


def test_pending_cancel_can_still_be_filled():
    venue = resting_bid(qty=5)
    venue.cancel(1, 19 * MS)  # arrives at 21 ms
    assert venue.orders["status"][0] == PENDING_CANCEL
    venue.on_events(trade(20, SELL, 100, 12))
    assert (venue.orders["status"][0], venue.orders["leaves"][0]) == (PENDING_CANCEL, 3)
    venue.on_events(level(22, BUY, 90, 2))
    assert told_by(venue.reports(FOREVER)) == [(1, ACKED, 0), (1, FILL, 0), (1, ORDER_CANCELLED, 0)]
    assert (venue.orders["status"][0], venue.orders["leaves"][0]) == (CANCELLED, 0)


def test_cancel_that_comes_after_the_fill_is_rejected():
    venue = resting_bid(qty=5)
    venue.cancel(1, 19 * MS)
    venue.on_events(tape(trade(20, SELL, 100, 15), level(22, BUY, 90, 2)))
    assert told_by(venue.reports(FOREVER))[-1] == (1, CANCEL_REJECTED, ALREADY_DONE)


def test_cancel_of_an_unknown_order_is_rejected():
    venue = resting_bid()
    venue.cancel(77, 11 * MS)
    venue.on_events(level(20, BUY, 90, 2))
    assert told_by(venue.reports(FOREVER))[-1] == (77, CANCEL_REJECTED, UNKNOWN_ORDER)


def test_cancel_reaches_a_closed_venue():
    venue = resting_bid()
    venue.on_events(message(20, (GAP, NO_SIDE, 0, 0)))
    venue.cancel(1, 20 * MS)
    venue.on_events(trade(30, SELL, 98, 50))
    assert told_by(venue.reports(FOREVER)) == [(1, ACKED, 0), (1, ORDER_CANCELLED, 0)]


def test_less_quantity_at_the_same_price_keeps_the_place():
    venue = resting_bid(qty=5)
    venue.on_events(trade(20, SELL, 100, 11))  # 10 before us, 1 of ours
    venue.modify(1, 100, 3, 20 * MS)
    assert venue.orders["status"][0] == PENDING_MODIFY
    venue.on_events(tape(level(30, BUY, 100, 40), trade(31, SELL, 100, 9)))
    reports = venue.reports(FOREVER)
    assert told_by(reports) == [(1, ACKED, 0), (1, FILL, 0), (1, MODIFIED, 0), (1, FILL, 0)]
    assert fills(reports) == [(1, 100, 1), (1, 100, 2)]
    assert venue.orders["status"][0] == FILLED


def test_more_quantity_or_another_price_loses_the_place():
    for price, qty, front in ((100, 6, 30), (99, 5, 10)):
        venue = resting_bid(qty=5)
        venue.on_events(level(15, BUY, 100, 30))
        venue.modify(1, price, qty, 20 * MS)
        venue.on_events(level(30, BUY, 90, 2))
        assert (venue.orders["front"][0], venue.orders["leaves"][0]) == (front, qty)


def test_until_it_arrives_a_modified_order_fills_at_its_old_price():
    venue = resting_bid(qty=5)
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
    assert told_by(reports)[-1] == (2, ORDER_CANCELLED, WOULD_CROSS)


def test_quantity_modified_to_what_was_filled_ends_the_order():
    venue = resting_bid(qty=5)
    venue.on_events(trade(20, SELL, 100, 12))
    venue.modify(1, 100, 2, 20 * MS)
    venue.on_events(level(30, BUY, 90, 2))
    assert told_by(venue.reports(FOREVER))[-1] == (1, ORDER_CANCELLED, 0)
    assert venue.orders["leaves"][0] == 0


def test_flawed_modify_is_rejected_and_the_order_stands():
    venue = resting_bid(qty=5)
    for order_id, price, qty in ((1, 0, 5), (1, 100, 0), (77, 100, 5)):
        venue.modify(order_id, price, qty, 11 * MS)
    venue.on_events(tape(level(20, BUY, 90, 2), trade(21, SELL, 100, 15)))
    reports = venue.reports(FOREVER)
    assert told_by(reports)[1:4] == [
        (1, MODIFY_REJECTED, BAD_PRICE),
        (1, MODIFY_REJECTED, BAD_QTY),
        (77, MODIFY_REJECTED, UNKNOWN_ORDER),
    ]
    assert fills(reports) == [(1, 100, 5)]
    venue.modify(1, 99, 5, 22 * MS)
    venue.on_events(level(30, BUY, 90, 3))
    assert told_by(venue.reports(FOREVER)) == [(1, MODIFY_REJECTED, ALREADY_DONE)]


def test_refused_cancel_leaves_the_order_fillable():
    venue = resting_bid(qty=5, cancel_reject_share=1.0)
    venue.cancel(1, 11 * MS)
    venue.on_events(tape(level(20, BUY, 90, 2), trade(21, SELL, 100, 12)))
    reports = venue.reports(FOREVER)
    assert told_by(reports) == [(1, ACKED, 0), (1, CANCEL_REJECTED, VENUE_REFUSED), (1, FILL, 0)]
    assert reports["leaves"][1] == 5
    assert venue.tallies["cancels_refused"] == venue.tallies["cancels"] == 1


def test_lost_cancel_is_found_out_by_a_look_at_the_venue():
    venue = resting_bid(qty=5, cancel_lost_share=1.0)  # we look 20 ms after sending
    venue.cancel(1, 11 * MS)
    venue.on_events(tape(level(20, BUY, 90, 2), trade(21, SELL, 100, 12)))
    assert venue.orders["status"][0] == UNKNOWN
    assert told_by(venue.reports(30 * MS)) == [(1, ACKED, 0), (1, FILL, 0)]
    venue.on_events(level(31, BUY, 90, 3))
    (found,) = venue.reports(FOREVER)
    assert (found["kind"], found["reason"], found["leaves"]) == (CANCEL_REJECTED, NO_ANSWER, 3)
    assert (venue.orders["status"][0], venue.tallies["cancels_unanswered"]) == (PARTIAL, 1)


def test_refused_order_is_reported_and_counted():
    venue = resting_bid(qty=5, reject_share=1.0)
    assert told_by(venue.reports(FOREVER)) == [(1, ORDER_REJECTED, VENUE_REFUSED)]
    assert venue.tallies["orders_refused"] == venue.tallies["orders"] == 1


def test_failures_are_drawn_anew_for_every_cancel_of_an_order():
    venue = resting_bid(qty=5, cancel_reject_share=0.5)
    for at_ms in range(11, 31):
        venue.cancel(1, at_ms * MS)
    venue.on_events(level(40, BUY, 90, 2))
    told = told_by(venue.reports(FOREVER))
    assert (1, CANCEL_REJECTED, VENUE_REFUSED) in told
    assert (1, ORDER_CANCELLED, 0) in told
