"""Tapes, instruments and parameters that the tests of labels are made of."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.ledger import Ledger
from labeling.leakage import LeakReport, Rows, ignores_future, poison_after, truncate_after
from labeling.parameters import Exit, LabelParameters
from labeling.targets import label_rows, tradeable_grid
from market.book import ASK, BEST_ASK, BEST_BID, BID, Book, apply_events, new_book, next_level, quantity
from market.events import (
    BUY,
    FIRST,
    FUNDING,
    LAST,
    LEVEL,
    MARK,
    NO_SIDE,
    SELL,
    SNAPSHOT,
    TRADE,
    Events,
    empty_events,
    venue_ts,
)
from market.instrument import Instrument
from tests.builders_market import RUNS

MS = 1_000_000
START = 1_723_161_600 * 1_000_000_000
LINEAR = Instrument("v-usdt", "v", "btcusdt", "linear", 0.5, 0.001, 1.0, "BTC", "USDT")
INVERSE = Instrument("v-usd", "v", "btcusd", "inverse", 0.5, 1.0, 100.0, "BTC", "USD")
SPOT = Instrument("v-spot", "v", "btcusdt", "spot", 0.5, 0.001, 1.0, "BTC", "USDT")
INSTRUMENTS = (LINEAR, INVERSE, SPOT)

# No-trade shares in % by round-trip budget in bp, at ALL_HORIZONS, measured by another implementation: a row each
# 100 ms of the local clock, 10 ms to the venue, 10,000 quote currency, both legs walked, the book as it was received.
ALL_HORIZONS = (250, 1_000, 5_000, 30_000, 60_000)
PUBLISHED = {
    "binance-usdm-btcusdt": {
        0.0: (79.9, 48.9, 8.3, 2.3, 1.1),
        2.0: (98.8, 93.7, 66.8, 29.3, 13.1),
        4.0: (99.7, 98.7, 89.3, 48.4, 23.0),
        10.0: (100.0, 100.0, 99.0, 88.4, 68.7),
    },
    "binance-spot-btcusdt": {
        0.0: (81.8, 53.4, 12.3, 1.5, 2.0),
        2.0: (99.0, 92.6, 66.1, 24.6, 17.8),
        4.0: (99.8, 98.9, 84.6, 45.5, 28.4),
        10.0: (100.0, 100.0, 99.9, 84.4, 69.6),
    },
}


def label_parameters(**changed: Any) -> LabelParameters:
    """Labels of 250 ms and 1 s that enter after 10 ms, with some settings changed."""
    settings: dict[str, Any] = {
        "horizons_ms": (250, 1_000),
        "fee_budgets_bp": (0.0, 2.0, 10.0),
        "infer_latency_ms": 2.0,
        "order_latency_ms": 8.0,
        "latency": "constant",
        "latency_seed": 1,
        "latency_min_orders": 1,
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


def with_funding(events: Events, seed: int, due_ms: tuple[int, ...], centre: int = 100_000) -> Events:
    """The tape with a mark and a rate that change every few milliseconds, late by some more, paid at ``due_ms``."""
    rng, rows = np.random.default_rng(seed), []
    for ms in np.cumsum(rng.exponential(15.0, 100)):
        delay, due = float(rng.exponential(6.0)), next((due for due in due_ms if due > ms), 10_000)
        rows.append(event(float(ms), MARK, NO_SIDE, int((centre + rng.integers(-50, 50)) * 0.5 * 1e8), 0, delay))
        rate = int(rng.integers(-(10**9), 10**9))
        rows.append(event(float(ms), FUNDING, NO_SIDE, rate, START + due * MS, delay))
    return tape(*events.tolist(), *rows)


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
    events: Events, instrument: Instrument, side: int, lots: int, te: int, tx: int, fee: float, *, leave: Exit = "walk"
) -> float:
    """Net return per entry notional of taking the book at te, level by level, and leaving at tx; funding is paid.

    The ledger hears the tape as it arrives, up to each of the two instants.
    """
    ledger = Ledger(instrument)
    ledger.on_events(events[events["ingest_ts"] <= te])
    ledger.pay_funding(te)
    for fill in walked_fills(venue_book(events, te), side, lots):
        ledger.book_fill(*fill, fee)
    entry_notional = ledger.volume
    ledger.on_events(events[(events["ingest_ts"] > te) & (events["ingest_ts"] <= tx)])
    ledger.pay_funding(tx)
    for fill in _leaving_fills(events, instrument, (-side, lots), (te, tx), leave):
        ledger.book_fill(*fill, fee)
    assert ledger.position == 0
    return ledger.equity(float("nan")) / entry_notional


def _leaving_fills(
    events: Events, instrument: Instrument, order: tuple[int, int], life: tuple[int, int], leave: Exit
) -> list[tuple[int, Any, int]]:
    """(side, price, lots) by which an order of (side, lots) leaves: price may lie between ticks."""
    (side, lots), book = order, venue_book(events, life[1])
    if leave == "walk":
        return list(walked_fills(book, side, lots))
    if leave == "mid":
        return [(side, (int(book[2][BEST_BID]) + int(book[2][BEST_ASK])) / 2, lots)]
    times = venue_ts(events)
    printed = events[(events["kind"] == TRADE) & (life[0] < times) & (times <= life[1])]
    pairs = list(zip(printed["price"].tolist(), printed["qty"].tolist(), strict=True))
    whole = sum(qty for _, qty in pairs)
    value = sum(qty / price if instrument.inverse else qty * price for price, qty in pairs)
    return [(side, whole / value if instrument.inverse else value / whole, lots)]


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


def grid_instants(events: Events, step_ms: int) -> NDArray[np.int64]:
    """The multiples of a step on the local clock that a tape covers, ns."""
    step = step_ms * MS
    return np.arange(events["ingest_ts"][0] // step + 1, events["ingest_ts"][-1] // step + 1) * step


def shares(run: str, events: Events, *, as_published: bool) -> pl.DataFrame:
    """Class shares of a recording by the conventions of PUBLISHED, or by ours.

    Ours: a row each 20 ms, 1 ms to decide and 10 ms to the venue, the venue's book at aligned time.
    """
    tape, step_ms, infer_ms = events.copy(), 20, 1.0
    if as_published:
        tape["delay_ns"], step_ms, infer_ms = 0, 100, 0.0
    parameters = label_parameters(
        horizons_ms=ALL_HORIZONS,
        fee_budgets_bp=tuple(PUBLISHED[run]),
        infer_latency_ms=infer_ms,
        order_latency_ms=10.0,
    )
    table = label_rows(tape, grid_instants(tape, step_ms), parameters, RUNS[run][0], None)
    return tradeable_grid(table, parameters, RUNS[run][0].contract)
