"""The verdicts between the stages, on events made by hand."""

import numpy as np
import polars as pl
import pytest

from assets.checks import (
    SETTLING_NS,
    alike,
    closed_ns,
    day_start,
    gap_share,
    lag_p95,
    negative_delays,
    ordered,
    quarantine_share,
)
from market.events import FIRST, GAP, LAST, LEVEL, NO_VENUE_TIME, REPLAYED, SNAPSHOT, Events, empty_events

DAY = "2024-08-08"
S = 1_000_000_000


def events_at(*seconds: float, kind: int = LEVEL) -> Events:
    events = empty_events(len(seconds))
    events["ingest_ts"] = day_start(DAY) + (np.array(seconds) * S).astype(np.int64)
    events["kind"] = kind
    return events


def test_events_in_order_on_their_day_pass() -> None:
    assert ordered(events_at(0, 1, 1, 86_399.9), DAY).passed


def test_events_out_of_order_or_off_their_day_or_none_at_all_do_not_pass() -> None:
    assert ordered(events_at(2, 1), DAY).facts["backward_steps"] == 1
    assert not ordered(events_at(2, 1), DAY).passed
    assert ordered(events_at(1, 86_400), DAY).facts["outside_the_day"] == 1
    assert not ordered(events_at(1, 86_400), DAY).passed
    assert not ordered(events_at(), DAY).passed


def test_a_gap_lasts_until_the_last_level_of_the_next_snapshot() -> None:
    events = events_at(0, 10, 10.2, 10.3, 10.4, 100)
    events["kind"][1:4] = GAP, SNAPSHOT, SNAPSHOT
    events["flags"][2:4] = FIRST, LAST
    assert closed_ns(events) == pytest.approx(0.3 * S)
    assert gap_share(events).passed
    assert gap_share(events).facts["share"] == pytest.approx(0.003)


def test_a_gap_that_nothing_mends_lasts_to_the_end_and_is_refused() -> None:
    events = events_at(0, 98, 100)
    events["kind"][1] = GAP
    assert closed_ns(events) == 2 * S
    assert not gap_share(events).passed


def test_the_wait_for_the_first_snapshot_is_no_gap() -> None:
    events = events_at(0, 50, 100)
    events["kind"][1], events["flags"][1] = SNAPSHOT, LAST
    assert closed_ns(events) == 0


def test_lag_is_judged_at_its_95th_percentile() -> None:
    events = events_at(*range(100))
    events["delay_ns"] = 10_000_000
    events["delay_ns"][:4] = 900_000_000
    assert lag_p95(events).passed
    events["delay_ns"][:6] = 900_000_000
    assert not lag_p95(events).passed


def test_events_without_a_fresh_stamp_are_not_late() -> None:
    events = events_at(*range(10))
    events["delay_ns"][:6] = 900_000_000
    events["flags"][:3], events["flags"][3:5], events["kind"][5] = NO_VENUE_TIME, REPLAYED, SNAPSHOT
    assert lag_p95(events).passed
    assert not lag_p95(events[:0]).passed


def test_a_negative_delay_is_refused_once_the_clock_has_settled() -> None:
    events = events_at(0, 1, 30, SETTLING_NS / S + 1)
    events["delay_ns"][1] = -1
    assert negative_delays(events, cold_start=True).passed
    assert not negative_delays(events, cold_start=False).passed
    events["delay_ns"][3] = -1
    assert not negative_delays(events, cold_start=True).passed


def test_quarantine_is_measured_against_what_is_allowed() -> None:
    assert quarantine_share(1000, 1, 0.001).passed
    assert not quarantine_share(1000, 2, 0.001).passed


def test_tables_are_alike_only_bit_for_bit() -> None:
    table = pl.DataFrame({"x": [0.1, float("nan")], "y": [1, 2]})
    assert alike("parity", table, table.clone()).passed
    assert alike("parity", table, table.with_columns(x=pl.col("x") * (1 + 1e-16) + 1e-17)).facts["differing"] == "x"
    assert not alike("parity", table, table.drop("y")).passed
    assert not alike("parity", table[:0], table[:0]).passed
