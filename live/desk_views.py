"""A desk's records, orders and reports as views; nothing here keeps anything."""

import math
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from live.desk import Desk
from live.views import BookView, FillView, GateView, Level, OrderView, SignalView
from market.book import ASK, BEST_ASK, BEST_BID, BID, Book, is_open, top_levels
from market.instrument import Instrument
from market.orders import FILL, Reports
from trading import account as own
from trading.lights import Moment, gates

SHOWN_LEVELS: Final = 10
CLASS_NAMES: Final = ("down", "no trade", "up")
STATES: Final = ("free", "in flight", "resting", "cancel sent")


def level_views(book: Book, instrument: Instrument) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """The best bids and asks, best first."""
    bids, asks = (_levels(book, row, instrument) for row in (BID, ASK))
    return bids, asks


def book_view(book: Book, instrument: Instrument) -> BookView:
    """The best levels of a book; none of one that is closed."""
    if not is_open(book):
        return BookView(False, (), (), None, None)
    bid, ask = int(book[2][BEST_BID]), int(book[2][BEST_ASK])
    mid, spread_bp = instrument.price(0.5 * (bid + ask)), 2e4 * (ask - bid) / (ask + bid)
    return BookView(True, *level_views(book, instrument), mid, spread_bp)


def _levels(book: Book, row: int, instrument: Instrument) -> tuple[Level, ...]:
    prices, quantities = np.zeros(SHOWN_LEVELS, np.int64), np.zeros(SHOWN_LEVELS, np.int64)
    count = top_levels(book, row, prices, quantities)
    return tuple(
        Level(instrument.price(int(price)), int(lots) * instrument.lot_size)
        for price, lots in zip(prices[:count], quantities[:count], strict=True)
    )


def gate_views(desk: Desk, newest: NDArray[np.void], now: int) -> tuple[GateView, ...]:
    """Every gate of a desk as it stands, its newest row taken as decided when it was."""
    session, decided = desk.session, newest[0]
    lag_ns = int(decided["infer_ts"] - decided["row_ts"])
    moment = Moment(session.account, session.strategy.limits, session.seen, float(decided["equity"]), now, lag_ns)
    return tuple(GateView(*gate) for gate in gates(moment))


def signal_view(desk: str, newest: NDArray[np.void], horizon_ms: int) -> SignalView:
    """What a decision forecast."""
    record = newest[0]
    ready = bool(record["ready"])
    down, none, up = (_known(record[name]) if ready else None for name in ("p_down", "p_none", "p_up"))
    return SignalView(
        desk=desk,
        row_ts=int(record["row_ts"]),
        ready=ready,
        horizon_ms=horizon_ms,
        p_down=down,
        p_none=none,
        p_up=up,
        confidence=max(p for p in (down, none, up) if p is not None) if None not in (down, none, up) else None,
        mu_bp=_known(record["mu_bp"]),
        sigma_bp=_known(record["sigma_bp"]),
        lower_bp=_known(record["lower_bp"]),
        upper_bp=_known(record["upper_bp"]),
        spread_bp=_known(record["spread_bp"]),
        classes=class_names(int(record["classes"])) if ready else (),
        cost_bp=_known(record["cost_bp"]),
    )


def class_names(classes: int) -> tuple[str, ...]:
    """The classes of a conformal set, as a decision records it.

    >>> class_names(5)
    ('down', 'up')
    """
    return tuple(name for place, name in enumerate(CLASS_NAMES) if classes >> place & 1)


def order_views(desk: Desk, instrument: Instrument) -> tuple[OrderView, ...]:
    """The orders that work, as far as acknowledged."""
    return tuple(
        OrderView(
            desk=desk.name,
            order=f"{desk.name}-{int(order[own.ORDER_ID])}",
            side=side_name(int(order[own.SIDE])),
            price=instrument.price(int(order[own.PRICE])),
            left=int(order[own.LEAVES]) * instrument.lot_size,
            state=STATES[int(order[own.STATE])],
            sent_ts=int(order[own.SENT_TS]),
        )
        for order in desk.session.account[0]
        if order[own.STATE] != own.FREE
    )


def fill_views(desk: str, reports: Reports, instrument: Instrument) -> Iterator[FillView]:
    """The fills among reports, in their order."""
    for report in reports[reports["kind"] == FILL]:
        yield FillView(
            desk=desk,
            order=f"{desk}-{int(report['order_id'])}",
            side=side_name(int(report["side"])),
            price=instrument.price(int(report["price"])),
            quantity=int(report["qty"]) * instrument.lot_size,
            maker=bool(report["maker"]),
            venue_ts=int(report["venue_ts"]),
            visible_ts=int(report["visible_ts"]),
        )


def side_name(side: int) -> Literal["buy", "sell"]:
    """BUY or SELL in a word."""
    return "buy" if side > 0 else "sell"


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
