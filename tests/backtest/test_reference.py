"""The compiled venue against the plain one, to the nanosecond and the lot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.book import BEST_ASK, BEST_BID
from market.events import BUY, SELL, Events, aligned_ts
from market.orders import FILL, FOK, GTC, IOC, POST_ONLY, Reports
from tests.builders_market import RUNS, recorded_events
from tests.builders_venue import FOREVER, MS, Action, act, new_reference, new_venue, sessions

EVENTS = 20_000


@settings(max_examples=300)
@given(st.one_of(sessions(), sessions(aligned=True)))
def test_both_venues_report_the_same_on_any_tape(actions):
    assert act(new_venue(), actions).tolist() == act(new_reference(), actions).tolist()


@pytest.mark.parametrize("run", RUNS)
def test_both_venues_report_the_same_on_a_recording_as_received(run):
    events = recorded_events(run)[:EVENTS]
    cuts = np.flatnonzero(np.diff(events["ingest_ts"] // (20 * MS), append=FOREVER))
    _compare(_trade_along(events, cuts, np.random.default_rng(1), aligned=False))


@pytest.mark.parametrize("run", RUNS)
def test_both_venues_report_the_same_on_a_recording_in_the_venue_s_order(run):
    events = recorded_events(run)[:EVENTS]
    events = events[np.argsort(aligned_ts(events), kind="stable")]
    cuts = np.flatnonzero(np.diff(aligned_ts(events) // (20 * MS), append=FOREVER))
    _compare(_trade_along(events, cuts, np.random.default_rng(2), aligned=True))


def _compare(session: tuple[list[Action], Reports]) -> None:
    actions, reports = session
    made = reports[reports["kind"] == FILL]
    assert 0 < made["maker"].sum() < made.size
    assert reports.tolist() == act(new_reference(), actions).tolist()


def _trade_along(
    events: Events, cuts: np.ndarray, rng: np.random.Generator, aligned: bool
) -> tuple[list[Action], Reports]:
    """Random orders around the touch, one in four steps of 20 ms, cancelled at random; what was done and reported."""
    venue, start, next_id = new_venue(), 0, 1
    actions: list[Action] = []
    handed: list[Reports] = []
    for cut in cuts:
        part = events[start : cut + 1].copy()
        now_ns = int((aligned_ts(part) if aligned else part["ingest_ts"])[-1])
        step: list[Action] = [("match_research", part, now_ns) if aligned else ("on_events", part)]
        if rng.random() < 0.25 and venue.book[2][BEST_BID] and venue.book[2][BEST_ASK]:
            step.append(("place", next_id, *_draw_order(venue.book[2], rng), now_ns + int(rng.integers(MS))))
            next_id += 1
        if rng.random() < 0.1:
            step.append(("cancel", int(rng.integers(max(1, next_id - 20), next_id + 1)), now_ns))
        step.append(("reports", now_ns))
        handed.append(act(venue, step))
        actions += step
        start = cut + 1
    handed.append(act(venue, [("reports", FOREVER)]))
    return [*actions, ("reports", FOREVER)], np.concatenate(handed)


def _draw_order(head: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Side, price within three ticks of the touch, lots, time in force."""
    side = int(rng.choice([BUY, SELL]))
    own, other = (BEST_BID, BEST_ASK) if side == BUY else (BEST_ASK, BEST_BID)
    tif = int(rng.choice([POST_ONLY, POST_ONLY, POST_ONLY, GTC, IOC, FOK]))
    touch = int(head[own] if tif in (POST_ONLY, GTC) else head[other])
    return side, touch + side * int(rng.integers(-1, 3)), int(10 ** rng.uniform(0, 5)), tif
