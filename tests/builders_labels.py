"""Tapes, instruments and parameters that the tests of labels are made of."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from backtest.ledger import Ledger
from labeling.leakage import LeakReport, Rows, ignores_future, poison_after, truncate_after
from labeling.parameters import LabelParameters
from market.book import ASK, BID, Book, apply_events, new_book, next_level, quantity
from market.events import BUY, FIRST, LAST, LEVEL, SELL, SNAPSHOT, TRADE, Events, empty_events, venue_ts
from market.instrument import Instrument

MS = 1_000_000
START = 1_723_161_600 * 1_000_000_000
LINEAR = Instrument("v-usdt", "v", "btcusdt", "linear", 0.5, 0.001, 1.0, "BTC", "USDT")
INVERSE = Instrument("v-usd", "v", "btcusd", "inverse", 0.5, 1.0, 100.0, "BTC", "USD")
SPOT = Instrument("v-spot", "v", "btcusdt", "spot", 0.5, 0.001, 1.0, "BTC", "USDT")
INSTRUMENTS = (LINEAR, INVERSE, SPOT)


def label_parameters(**changed: Any) -> LabelParameters:
    """Labels of 250 ms and 1 s that enter after 10 ms, with some settings changed."""
    settings: dict[str, Any] = {
        "horizons_ms": (250, 1_000),
        "fee_budgets_bp": (0.0, 2.0, 10.0),
        "infer_latency_ms": 2.0,
        "order_latency_ms": 8.0,
        "order_notional_usd": 10_000.0,
        "margin_bp": 0.0,
        "anchor": "executable",
        "target": "mid",
        "exit": "walk",
        "min_tradeable_share": 0.02,
    }
    return LabelParameters(**(settings | changed))


def event(
    ms: float,
    kind: int,
    side: int = BUY,
    price: int = 0,
    qty: int = 0,
    delay_ms: float = 0.0,
    flags: int = FIRST | LAST,
) -> tuple[int, ...]:
    """One event that the venue's book takes ``ms`` after the start; its update id is that time."""
    ingest = START + round((ms + delay_ms) * MS)
    return kind, side, flags, 0, round(START + ms * MS), ingest, round(delay_ms * MS), 0, price, qty, round(ms * MS) + 1


def tape(*rows: tuple[int, ...]) -> Events:
    """Events in the order of arrival."""
    events = np.array(list(rows), dtype=empty_events(0).dtype)
    return events[np.argsort(events["ingest_ts"], kind="stable")]


def snapshot(ms: float, bids: dict[int, int], asks: dict[int, int]) -> list[tuple[int, ...]]:
    """A whole book, price to lots, both sides filled."""
    rows = [event(ms, SNAPSHOT, BUY, price, qty, flags=0) for price, qty in bids.items()]
    rows += [event(ms, SNAPSHOT, SELL, price, qty, flags=0) for price, qty in asks.items()]
    rows[0] = (*rows[0][:2], FIRST, *rows[0][3:])
    rows[-1] = (*rows[-1][:2], LAST, *rows[-1][3:])
    return rows


def random_tape(seed: int, steps: int = 150, centre: int = 100_000, deep: int = 200) -> Events:
    """A book of thirty levels a side whose touch wanders, with trades, delays and messages out of order."""
    rng = np.random.default_rng(seed)
    rows = snapshot(
        0.0,
        {centre - 1 - i: int(rng.integers(1, deep)) for i in range(30)},
        {centre + 1 + i: int(rng.integers(1, deep)) for i in range(30)},
    )
    mid, ms = centre, 0.0
    for _ in range(steps):
        ms += float(np.round(rng.exponential(10.0), 3))
        moved = mid + int(rng.integers(-3, 4))
        delay = float(np.round(rng.exponential(4.0), 3))
        for price in range(min(mid, moved) - 2, max(mid, moved) + 3):
            side = BUY if price < moved else SELL
            rows.append(event(ms, LEVEL, -side, price, 0, delay))
            rows.append(event(ms, LEVEL, side, price, int(rng.integers(1, deep)) if price != moved else 0, delay))
        rows.append(event(ms, TRADE, int(rng.choice([BUY, SELL])), moved, int(rng.integers(1, deep)), delay))
        mid = moved
    return tape(*rows)


def venue_book(events: Events, ts: int) -> Book:
    """The venue's book in force at ``ts``, rebuilt from the start."""
    times = venue_ts(events)
    order = np.argsort(times, kind="stable")
    book = new_book()
    apply_events(book, events[order[times[order] <= ts]])
    return book


def walked_fills(book: Book, side: int, lots: int) -> list[tuple[int, int, int]]:
    """(side, price, lots) of every level that a taker order meets."""
    row = ASK if side == BUY else BID
    fills, price = [], int(book[2][row])
    while lots > 0 and price:
        taken = min(lots, int(quantity(book, row, price)))
        fills.append((side, price, taken))
        lots, price = lots - taken, int(next_level(book, row, price))
    return fills


def booked_round_trip(
    events: Events, instrument: Instrument, side: int, lots: int, te: int, tx: int, fee: float
) -> float:
    """Net return per entry notional of taking the book at te and giving it back at tx, level by level."""
    ledger = Ledger(instrument)
    for fill in walked_fills(venue_book(events, te), side, lots):
        ledger.book_fill(*fill, fee)
    entry_notional = ledger.volume
    for fill in walked_fills(venue_book(events, tx), -side, lots):
        ledger.book_fill(*fill, fee)
    assert ledger.position == 0
    return ledger.equity(float("nan")) / entry_notional


def features_ignore_future(
    rows_of: Callable[[Events, int], Rows], events: Events, instants: Iterable[int]
) -> LeakReport:
    """Whether rows up to each instant are the same, bit for bit, when later events are poisoned, or cut off.

    ``rows_of(events, until)`` returns every row with row_ts <= until, each time from the same opening state.
    """
    end = int(events["ingest_ts"].max())

    def spoiled(instant: int) -> tuple[Rows, Rows]:
        truncated = rows_of(truncate_after(events, instant), instant)
        return rows_of(poison_after(events, instant), end), truncated

    return ignores_future(rows_of(events, end), spoiled, instants)
