"""Random single orders, sent into our venue and into hftbacktest's, and what became of each in both."""

from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.parameters import VenueParameters
from backtest.venue import SimulatedVenue
from benchmarks.harness import peer_module
from benchmarks.peer_backtest import open_peer, peer_tape
from market.book import BEST_ASK, BEST_BID
from market.events import BUY, SELL, SNAPSHOT, Events, venue_ts
from market.instrument import Instrument
from market.orders import FILL, GTC, ORDER_CANCELLED, ORDER_REJECTED, POST_ONLY

ENGINE: Final = "HashMapMarketDepthBacktest"
LONGEST_NS: Final = 3_000_000_000  # from an order to its cancel
FOREVER: Final = 2**62

# ends of an order
OPEN: Final = 0
FILLED: Final = 1
CANCELLED: Final = 2
REFUSED: Final = 3
END_NAMES: Final = ("open", "filled", "cancelled", "refused")


class Orders(NamedTuple):
    """Single orders of one lot, by time of sending; each array has shape (orders,)."""

    sent_ts: NDArray[np.int64]
    cancel_ts: NDArray[np.int64]
    side: NDArray[np.int64]
    price: NDArray[np.int64]  # ticks
    tif: NDArray[np.int64]


class Ends(NamedTuple):
    """What became of each order, and when at the venue, ns."""

    end: NDArray[np.int64]
    venue_ts: NDArray[np.int64]


def compare(events: Events, instrument: Instrument, venue: VenueParameters, count: int) -> Counter[str]:
    """How many orders ended how: by the one way of both ("filled"), or by ours and the peer's ("filled, open").

    Two that ended one way at two instants count as "filled, filled". Nothing is known that would explain either.
    """
    events = at_the_venue(events)
    orders, ours = our_ends(events, instrument, venue, count)
    theirs = peer_ends(events, instrument, venue, orders)
    return Counter(_told(*ends) for ends in zip(*ours, *theirs, strict=True))


def _told(ours: int, our_ts: int, theirs: int, their_ts: int) -> str:
    same = ours == theirs and our_ts == their_ts
    return END_NAMES[ours] if same else f"{END_NAMES[ours]}, {END_NAMES[theirs]}"


def at_the_venue(events: Events) -> Events:
    """The tape from its first snapshot on, in the venue's order, with delays that count from ``venue_ts``."""
    events = events[np.flatnonzero(events["kind"] == SNAPSHOT)[0] :].copy()
    stamps = venue_ts(events)
    events["delay_ns"] = events["ingest_ts"] - stamps
    return events[np.argsort(stamps, kind="stable")]


def our_ends(events: Events, instrument: Instrument, parameters: VenueParameters, count: int) -> tuple[Orders, Ends]:
    """Draw the orders from the book that each meets at its sending, and follow each alone."""
    stamps = events["ingest_ts"] - events["delay_ns"]
    rng, market = np.random.default_rng(5), SimulatedVenue(instrument, parameters)
    times = np.sort(rng.integers(stamps[0] + 10**9, stamps[-1] - 2 * LONGEST_NS, count))
    rows, ends, at = [], [], 0
    for order_id, sent_ts in enumerate(times.tolist(), start=1):
        until = int(np.searchsorted(stamps, sent_ts, side="right"))
        market.match_research(events[at:until], sent_ts)
        at = until
        side, price, tif = _drawn(market.book[2], rng)
        cancel_ts = sent_ts + int(rng.integers(parameters.order_latency_ns * 3, LONGEST_NS))
        rows.append((sent_ts, cancel_ts, side, price, tif))
        alone = SimulatedVenue(instrument, parameters)
        alone.load(market.dump())
        alone.place(order_id, side, price, 1, tif, sent_ts)
        alone.cancel(order_id, cancel_ts)
        last_ts = cancel_ts + parameters.order_latency_ns
        alone.match_research(events[until : int(np.searchsorted(stamps, last_ts, side="right"))], last_ts)
        ends.append(_end_of(alone))
    return Orders(*np.array(rows, np.int64).T), Ends(*np.array(ends, np.int64).T)


def _drawn(head: NDArray[np.int64], rng: np.random.Generator) -> tuple[int, int, int]:
    side = int(rng.choice([BUY, SELL]))
    best = head[BEST_BID] if side == BUY else head[BEST_ASK]
    tif = int(rng.choice([POST_ONLY, POST_ONLY, GTC]))
    return side, int(best) - side * int(rng.integers(-2, 6)), tif


def _end_of(venue: SimulatedVenue) -> tuple[int, int]:
    ends = {FILL: FILLED, ORDER_CANCELLED: CANCELLED, ORDER_REJECTED: REFUSED}
    for report in venue.reports(FOREVER):
        if int(report["kind"]) in ends:
            return ends[int(report["kind"])], int(report["venue_ts"])
    return OPEN, 0


def peer_ends(events: Events, instrument: Instrument, parameters: VenueParameters, orders: Orders) -> Ends:
    """All orders in one run of the peer, whose orders do not know of each other."""
    tape = peer_tape(events, instrument)  # the peer borrows it: it has to outlive the run
    backtest = open_peer(tape, instrument, parameters, ENGINE, (0, 0))
    count = orders.sent_ts.size
    times = np.concatenate([orders.sent_ts, orders.cancel_ts])
    order = np.argsort(times, kind="stable")
    status, stamps = np.zeros(count, np.int64), np.zeros(count, np.int64)
    _peer_run(instrument)(backtest, times[order], order, orders, (status, stamps))
    words = peer_module("hftbacktest.order")
    ends = np.zeros(256, np.int64)
    ends[[words.FILLED, words.CANCELED, words.EXPIRED, words.REJECTED]] = [FILLED, CANCELLED, REFUSED, REFUSED]
    return Ends(ends[status], stamps)


def _peer_run(instrument: Instrument) -> Callable[..., None]:
    words = peer_module("hftbacktest.order")
    gtc, gtx, limit, _filled = words.GTC, words.GTX, words.LIMIT, words.FILLED
    tick, lot, post_only, buy = instrument.tick_size, instrument.lot_size, POST_ONLY, BUY

    @njit
    def run(backtest, times, places, orders, found):
        status, stamps = found
        count = orders.sent_ts.size
        backtest.elapse(1)
        for i in range(times.size):
            backtest.elapse(times[i] - backtest.current_timestamp)
            k = places[i] % count
            if places[i] >= count:
                order = backtest.orders(0).get(k + 1)
                if order is not None and order.cancellable:
                    backtest.cancel(0, k + 1, False)
                continue
            price, tif = orders.price[k] * tick, gtx if orders.tif[k] == post_only else gtc
            if orders.side[k] == buy:
                backtest.submit_buy_order(0, k + 1, price, lot, tif, limit, False)
            else:
                backtest.submit_sell_order(0, k + 1, price, lot, tif, limit, False)
        backtest.elapse(1_000_000_000)
        for k in range(count):
            order = backtest.orders(0).get(k + 1)
            if order is not None:
                status[k], stamps[k] = order.status, order.exch_timestamp

    return run
