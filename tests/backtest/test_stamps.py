"""A venue's whole milliseconds find the message that they belong to, also where the two clocks drift apart."""

import numpy as np
import pytest

from backtest.stamps import on_our_clock
from market.events import FIRST, LAST, Events, aligned_ts, empty_events
from market.orders import ACKED, FILL, ORDER_REJECTED, REPORT, Reports

MS = 1_000_000
START = 1_723_161_300_000 * MS
AHEAD_NS = 4_300_000  # of our clock over the venue's, as we know it


def messages(count: int, seed: int = 0) -> Events:
    """A message of one event every few milliseconds of the venue's clock."""
    tape = empty_events(count)
    tape["exchange_ts"] = START + np.cumsum(np.random.default_rng(seed).integers(2, 9, count)) * MS
    tape["delay_ns"] = 12 * MS
    tape["ingest_ts"] = tape["exchange_ts"] + AHEAD_NS + tape["delay_ns"]
    tape["flags"] = FIRST | LAST
    return tape


def answered(tape: Events, drift_ns: int, kind: int = ACKED) -> Reports:
    """A report at every third message, by a clock that drifts by so much against the tape's, in whole milliseconds."""
    own = tape[::3]
    reports = np.zeros(own.size, REPORT)
    shown = own["exchange_ts"] + np.linspace(0, drift_ns, own.size).astype(np.int64)
    reports["order_id"], reports["kind"], reports["venue_ts"] = np.arange(own.size), kind, shown // MS * MS
    return reports


@pytest.mark.parametrize("drift_ns", [0, 700_000, 3_600_000, -3_600_000])
def test_every_stamp_comes_to_lie_on_its_own_message_though_the_clocks_drift(drift_ns: int) -> None:
    tape = messages(1_500)
    reports = answered(tape, drift_ns, FILL)
    placed = on_our_clock(reports, tape)
    assert placed["venue_ts"].tolist() == aligned_ts(tape)[::3].tolist()
    assert reports["venue_ts"].tolist() == answered(tape, drift_ns)["venue_ts"].tolist()  # a copy was placed


def test_reports_of_one_message_share_its_stamp_in_any_order() -> None:
    tape = messages(300)
    twice = np.concatenate([answered(tape, 900_000), answered(tape, 900_000, FILL)])[::-1]
    assert on_our_clock(twice, tape)["venue_ts"].tolist() == [*aligned_ts(tape)[::3][::-1].tolist()] * 2


def test_what_no_message_let_happen_or_is_stamped_finer_stays_as_it_was() -> None:
    tape = messages(300)
    refused = answered(tape, 0, ORDER_REJECTED)
    assert on_our_clock(refused, tape).tolist() == refused.tolist()
    finer = answered(tape, 0)
    finer["venue_ts"][7] += 1
    assert on_our_clock(finer, tape).tolist() == finer.tolist()
    elsewhen = answered(tape, 0)[:2]
    elsewhen["venue_ts"] += 3_600_000 * MS
    assert on_our_clock(elsewhen, tape).tolist() == elsewhen.tolist()
    assert on_our_clock(finer[:0], tape).size == 0
