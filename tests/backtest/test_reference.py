"""The compiled venue against the plain one, to the nanosecond and the lot."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.reference import ReferenceVenue
from backtest.venue import SimulatedVenue
from tests.builders_venue import (
    COIN,
    VENUE,
    HashedLegs,
    act,
    new_reference,
    new_venue,
    parameters,
    sessions,
)
from tests.recorded_trading import compare_on_recording


@settings(max_examples=300)
@given(st.one_of(sessions(), sessions(aligned=True)), parameters())
def test_both_venues_report_the_same_on_any_tape(actions, changes):
    assert act(new_venue(**changes), actions).tolist() == act(new_reference(**changes), actions).tolist()


@settings(max_examples=50)
@given(sessions(), parameters())
def test_both_venues_report_the_same_whatever_the_legs_of_each_request(actions, changes):
    chosen, latency = replace(VENUE, **changes), HashedLegs()
    ours, plain = SimulatedVenue(COIN, chosen, latency), ReferenceVenue(chosen, latency)
    assert act(ours, actions).tolist() == act(plain, actions).tolist()


def test_both_venues_report_the_same_on_a_recording_as_received():
    compare_on_recording("binance-coinm-btcusd_perp", aligned=False)


def test_both_venues_report_the_same_on_a_recording_in_the_venue_s_order():
    compare_on_recording(
        "binance-usdm-btcusdt", aligned=True, queue_model="power", queue_power=2.0, crossed_book="fill"
    )
