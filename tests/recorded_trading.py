"""Random orders sent along a recording, into the compiled venue and the plain one."""

from typing import Any, Final

import numpy as np

from market.book import BEST_ASK, BEST_BID
from market.events import BUY, SELL, Events, aligned_ts
from market.orders import FILL, FOK, GTC, IOC, POST_ONLY, Reports
from tests.builders_market import recorded_events
from tests.builders_venue import FOREVER, MS, Action, act, new_reference, new_venue

EVENTS: Final = 20_000


def compare_on_recording(run: str, aligned: bool, **changes: Any) -> None:
    """Assert that both venues report the same, to the nanosecond and lot, over a recording's first 20,000 events."""
    events = recorded_events(run)[:EVENTS]
    if aligned:
        events = events[np.argsort(aligned_ts(events), kind="stable")]
    actions, reports = trade_along(events, aligned, changes)
    made = reports[reports["kind"] == FILL]
    assert 0 < made["maker"].sum() < made.size
    assert reports.tolist() == act(new_reference(**changes), actions).tolist()


def trade_along(events: Events, aligned: bool, changes: dict[str, Any]) -> tuple[list[Action], Reports]:
    """Random orders around the touch, one in four steps of 20 ms, cancelled and modified at random; and the reports."""
    stamps = aligned_ts(events) if aligned else events["ingest_ts"]
    cuts = np.flatnonzero(np.diff(stamps // (20 * MS), append=FOREVER))
    rng, venue, start, next_id = np.random.default_rng(1 + aligned), new_venue(**changes), 0, 1
    actions: list[Action] = []
    handed: list[Reports] = []
    for cut in cuts:
        part = events[start : cut + 1].copy()
        now_ns = int(stamps[cut])
        step: list[Action] = [("match_research", part, now_ns) if aligned else ("on_events", part)]
        if rng.random() < 0.25 and venue.book[2][BEST_BID] and venue.book[2][BEST_ASK]:
            step.append(("place", next_id, *_draw_order(venue.book[2], rng), now_ns + int(rng.integers(MS))))
            next_id += 1
        if rng.random() < 0.1:
            step.append(("cancel", int(rng.integers(max(1, next_id - 20), next_id + 1)), now_ns))
        if rng.random() < 0.1 and next_id > 1:
            step.append(("modify", next_id - 1, *_draw_order(venue.book[2], rng)[1:3], now_ns))
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
