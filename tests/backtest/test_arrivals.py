"""An order met by the message after its arrival: the agreed leg where that leads there, else an instant in between."""

import numpy as np

from backtest.answers import ANSWER
from backtest.arrivals import legs_as_agreed, legs_without_waiting
from backtest.recorded import OrderLegs
from market.events import FIRST, LAST, Events, empty_events
from market.latency import Legs
from market.orders import ACKED
from trading.records import PLACE

MS = 1_000_000
ENTRY, ACK = 2, 3
CLOCK_MS = (600, 646, 660, 660, 700)  # of the venue at each message; one of them comes late


def tape() -> Events:
    events = empty_events(len(CLOCK_MS))
    events["delay_ns"] = 5 * MS
    events["ingest_ts"] = np.array(CLOCK_MS) * MS + events["delay_ns"]
    events["flags"] = FIRST | LAST
    events["delay_ns"][3] += 17 * MS  # printed at 643, heard of behind the message of 660
    return events


def answers(*orders: tuple[int, int]) -> np.ndarray:
    """Orders that left at an instant and were met at another, ms; acknowledged 10 ms later."""
    found = np.zeros(len(orders), ANSWER)
    found["order_id"] = np.arange(len(orders))
    found["verb"], found["kind"] = PLACE, ACKED
    found["sent_ts"], found["venue_ts"] = (np.array(column) * MS for column in zip(*orders, strict=True))
    found["visible_ts"] = found["venue_ts"] + 10 * MS
    return found


def test_the_agreed_leg_is_taken_where_it_leads_to_the_message_that_met_the_order() -> None:
    sent = answers((621, 646), (640, 660), (595, 646), (690, 700), (590, 600))
    legs = legs_as_agreed(sent, tape(), 10 * MS)
    assert (legs[:, ENTRY] // MS).tolist() == [10, 10, 10, 10, 10]
    assert (legs[:, ACK] // MS).tolist() == [10] * 5  # as it was
    assert sent["venue_ts"][0] - sent["sent_ts"][0] == 25 * MS  # what the stamps alone would say


def test_the_stamps_leg_stays_where_the_agreed_one_leads_elsewhere() -> None:
    too_soon, too_late, never = (570, 646), (640, 646), (655, 660)
    legs = legs_as_agreed(answers(too_soon, too_late, never), tape(), 10 * MS)
    assert (legs[:, ENTRY] // MS).tolist() == [76, 6, 5]


def test_a_backtest_as_recorded_meets_the_agreed_leg() -> None:
    legs = OrderLegs(answers((621, 646), (570, 646)), tape(), Legs(0, 0, 10 * MS, 3 * MS))
    assert legs.legs_of(0, 621 * MS).entry_ns == 10 * MS
    assert legs.legs_of(1, 570 * MS).entry_ns == 76 * MS
    assert legs.legs_of(9, 999 * MS).ack_ns == 10 * MS  # of the newest that was answered


def test_a_drawn_arrival_lies_behind_the_message_before_and_after_the_order_left() -> None:
    sent = answers(*[(620 + place, 646) for place in range(20)], *[(650, 660)] * 20)
    arrivals = sent["sent_ts"] + legs_without_waiting(sent, tape(), seed=3)[:, ENTRY]
    earliest = np.maximum(sent["sent_ts"], np.where(sent["venue_ts"] == 646 * MS, 600, 646) * MS)
    assert (arrivals > earliest).all()
    assert (arrivals <= sent["venue_ts"]).all()
    assert len(set(arrivals.tolist())) > 30
