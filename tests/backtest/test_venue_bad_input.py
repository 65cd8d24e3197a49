"""What cannot be: a reason code from the venue, or one clear error; never a silent end."""

import numpy as np
import pytest

from backtest.parameters import VenueParameters
from backtest.venue import SimulatedVenue
from market.errors import BacktestError, ConfigError
from market.events import BUY, SELL
from market.orders import (
    ACKED,
    BAD_PRICE,
    BAD_QTY,
    BAD_SIDE,
    BAD_TIF,
    BOOK_CLOSED,
    DUPLICATE_ID,
    FILL,
    GTC,
    IOC,
    LARGEST,
    NEVER_ARRIVED,
    OPENING,
    ORDER_REJECTED,
    POST_ONLY,
    REASON_NAMES,
    REPORT_NAMES,
)
from tests.builders_venue import COIN, FOREVER, MS, fills, level, new_venue, opened, snapshot, tape, trade

GOOD = {"order_latency_ms": 2.0, "ack_latency_ms": 3.0, "queue_model": "risk_averse"} | {
    "queue_power": 1.0,
    "crossed_book": "none",
    "reject_share": 0.0,
    "cancel_reject_share": 0.0,
    "cancel_lost_share": 0.0,
    "reconcile_ms": 20.0,
    "fee_tier": "",
    "maker_fee": 0.0,
    "taker_fee": 0.0,
    "seed": 0,
}


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"price": 0}, BAD_PRICE),
        ({"price": -100}, BAD_PRICE),
        ({"price": LARGEST + 1}, BAD_PRICE),
        ({"qty": 0}, BAD_QTY),
        ({"qty": -5}, BAD_QTY),
        ({"qty": 2**62}, BAD_QTY),
        ({"side": 0}, BAD_SIDE),
        ({"side": 7}, BAD_SIDE),
        ({"tif": 4}, BAD_TIF),
        ({"tif": -1}, BAD_TIF),
    ],
)
def test_flawed_order_is_rejected_with_its_reason(flaw, reason):
    venue = new_venue()
    venue.place(**({"order_id": 5, "side": BUY, "price": 99, "qty": 1, "tif": GTC, "sent_ts": 1 * MS} | flaw))
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    (report,) = venue.reports(FOREVER)
    assert (report["order_id"], report["kind"], report["reason"]) == (5, ORDER_REJECTED, reason)


def test_every_code_has_a_name():
    assert len(REASON_NAMES) == NEVER_ARRIVED + 1
    assert len(REPORT_NAMES) == OPENING + 1


@pytest.mark.parametrize("wrong", [{"price": 100.5}, {"qty": 1.0}, {"order_id": "a"}, {"sent_ts": 2**63}])
def test_order_that_is_not_in_whole_numbers_is_one_error(wrong):
    with pytest.raises(BacktestError, match=next(iter(wrong))):
        new_venue().place(**({"order_id": 1, "side": BUY, "price": 99, "qty": 1, "tif": GTC, "sent_ts": 0} | wrong))


def test_second_order_of_an_id_is_rejected_and_the_first_goes_on():
    venue = new_venue()
    venue.place(1, BUY, 101, 4, IOC, 1 * MS)
    venue.place(1, BUY, 101, 6, IOC, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    reports = venue.reports(FOREVER)
    assert fills(reports) == [(1, 101, 4)]
    assert reports["reason"][-1] == DUPLICATE_ID


def test_orders_before_the_first_book_are_rejected():
    venue = new_venue()
    venue.place(1, BUY, 99, 1, POST_ONLY, 1 * MS)
    venue.on_events(trade(10, SELL, 99, 5))
    assert venue.reports(FOREVER)["reason"].tolist() == [BOOK_CLOSED]


def test_tape_out_of_order_is_one_error_in_research_mode():
    venue = new_venue()
    with pytest.raises(BacktestError, match="goes back from 20000000 to 10000000 ns at event 11"):
        venue.match_research(tape(opened(), level(20, BUY, 90, 1), level(10, BUY, 90, 1)), 30 * MS)


def test_tape_past_its_end_is_one_error_in_research_mode():
    with pytest.raises(BacktestError, match="goes back"):
        new_venue().match_research(opened(5), 4 * MS)


def test_order_into_the_played_past_is_one_error_in_research_mode():
    venue = new_venue()
    venue.match_research(opened(), 20 * MS)
    venue.place(1, BUY, 99, 1, POST_ONLY, 10 * MS)
    with pytest.raises(BacktestError, match="arrives at 12000000 ns"):
        venue.match_research(tape(), 30 * MS)


def test_trace_mode_takes_messages_that_overtook_each_other():
    venue = new_venue()
    venue.on_events(tape(opened(10), level(12, BUY, 90, 1, delay_ms=9)))
    assert venue.clock == 10 * MS


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, 2))])
def test_a_tape_of_something_else_is_one_error(wrong):
    with pytest.raises(BacktestError, match="event records"):
        new_venue().on_events(wrong)


def test_read_only_and_strided_tapes_are_taken():
    book = tape(opened(), level(10, BUY, 90, 1))
    book.flags.writeable = False
    venue = new_venue()
    venue.on_events(book)
    wide = np.repeat(tape(level(11, BUY, 91, 2), level(12, BUY, 92, 2)), 2)
    venue.on_events(wide[::2])
    assert venue.clock == 12 * MS


def test_more_orders_and_reports_than_there_was_room_for():
    venue = new_venue()
    for order_id in range(2_000):
        venue.place(order_id, BUY, 90 + order_id % 10, 1, POST_ONLY, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 80, 1), trade(11, SELL, 80, 5_000), level(12, BUY, 80, 2)))
    reports = venue.reports(FOREVER)
    assert (reports["kind"] == ACKED).sum() == (reports["kind"] == FILL).sum() == 2_000


def test_a_sweep_of_more_levels_than_there_was_room_for():
    venue = new_venue()
    venue.place(1, BUY, 10_000, 5_000, IOC, 1 * MS)
    venue.on_events(tape(snapshot(1, {100: 10}, dict.fromkeys(range(101, 5_101), 1)), level(10, BUY, 80, 1)))
    assert len(fills(venue.reports(FOREVER))) == 5_000


def test_a_sweep_that_waits_for_room_reports_the_same_in_research_mode():
    venue = new_venue()
    venue.place(1, BUY, 10_000, 5_000, IOC, 1 * MS)
    venue.match_research(
        tape(snapshot(1, {100: 10}, dict.fromkeys(range(101, 5_101), 1)), level(10, BUY, 80, 1)), 10 * MS
    )
    reports = venue.reports(FOREVER)
    assert len(fills(reports)) == 5_000
    assert set(reports["venue_ts"].tolist()) == {3 * MS}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"order_latency_ms": -1.0}, "order_latency_ms=-1.0"),
        ({"queue_power": 0.0}, "queue_power=0.0"),
        ({"crossed_book": "maybe"}, "crossed_book='maybe'"),
        ({"reject_share": 1.5}, "reject_share=1.5"),
        ({"cancel_reject_share": 0.6, "cancel_lost_share": 0.6}, "cancel_lost_share=1.2"),
        ({"reconcile_ms": 0.0}, "reconcile_ms=0.0"),
        ({"ack_latency_ms": float("nan")}, "ack_latency_ms=nan"),
        ({"queue_model": "best"}, "queue_model='best' is not one of"),
        ({"taker_fee": 0.5}, "taker_fee=0.5"),
        ({"taker_fee": None}, "taker_fee=None with fee_tier=''"),
        ({"fee_tier": "vip0"}, "maker_fee=0.0 with fee_tier='vip0': either a tier says the fees"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_setting_out_of_range_is_refused(wrong, told):
    with pytest.raises(ConfigError, match=told):
        VenueParameters(**(GOOD | wrong))


def test_dump_of_another_venue_is_refused():
    other = SimulatedVenue(COIN, VenueParameters(**(GOOD | {"queue_power": 9.0})))
    with pytest.raises(BacktestError, match="queue code"):
        other.load(new_venue().dump())


def test_torn_dump_is_refused_and_changes_nothing():
    venue = new_venue()
    venue.on_events(opened())
    saved = venue.dump()
    for torn in ({"meta": saved["meta"]}, saved | {"orders": saved["meta"]}):
        with pytest.raises(BacktestError, match="dump"):
            venue.load(torn)
    assert venue.clock == 1 * MS
