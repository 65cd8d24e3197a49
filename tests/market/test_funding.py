"""Payments of funding by hand: when, at which rate and on which mark, by what had been heard at that instant."""

import numpy as np

from market.events import FUNDING, MARK, NO_SIDE, empty_events
from market.funding import payments, still_told
from tests.builders_venue import MS, message, tape

DUE = 100 * MS


def told(at_ms: int, *, mark: float = 0.0, rate: float = 0.0, due: int = DUE, delay_ms: int = 0) -> np.ndarray:
    row = (MARK, NO_SIDE, round(mark * 1e8), 0) if mark else (FUNDING, NO_SIDE, round(rate * 1e12), due)
    return message(at_ms, row, delay_ms=delay_ms)


SAID = tape(told(10, mark=50.0), told(20, rate=1e-4), told(90, rate=3e-4), told(100, mark=60.0))


def test_a_payment_is_made_when_due_at_the_last_rate_and_on_the_last_mark_heard_by_then() -> None:
    paid = payments(tape(SAID, told(101, rate=9e-4), told(101, mark=70.0)), 0.5)
    assert [values.tolist() for values in paid] == [[DUE], [3e-4], [120.0]]


def test_what_the_clock_puts_after_the_payment_does_not_count() -> None:
    paid = payments(tape(SAID, told(99, rate=9e-4, delay_ms=-2)), 0.5)
    assert paid.rate.tolist() == [3e-4]


def test_without_a_mark_it_is_not_known_and_without_a_rate_it_is_none() -> None:
    assert np.isnan(payments(told(20, rate=1e-4), 0.5).mark).tolist() == [True]
    for nothing in (empty_events(0), told(10, mark=50.0), told(101, rate=1e-4)):
        assert payments(nothing, 0.5).ts.size == 0


def test_what_is_kept_pays_the_same_and_no_more() -> None:
    early, late = told(95, rate=5e-4, due=2 * DUE), told(150, rate=6e-4, due=2 * DUE)
    events = tape(SAID[:3], early, SAID[3:], late)
    kept = still_told(events, DUE)
    assert kept["ingest_ts"].tolist() == [at * MS for at in (95, 100, 150)]
    whole, rest = payments(events, 0.5), payments(kept, 0.5)
    assert (rest.ts.tolist(), whole.ts.tolist()) == ([2 * DUE], [DUE, 2 * DUE])
    assert (rest.rate[-1], rest.mark[-1]) == (whole.rate[-1], whole.mark[-1]) == (6e-4, 120.0)
