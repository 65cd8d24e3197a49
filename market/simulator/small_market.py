"""A small synthetic market, for tests and for a demo without a recording; no claim about any strategy may rest on it.

Orders arrive at random around a mean-reverting fair price; what the venue would send of them comes out as a
capture in Binance's COIN-M wire format, so that it takes the same way through decoder, clock and book.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from market.events import BUY, SELL
from market.instrument import Instrument
from market.simulator.wire import Wire
from market.sources.capture import capture_line

OFFSET_NS: Final = -250_000_000  # local clock minus the venue's
START_TICKS: Final = 600_000
ORDERS_PER_SECOND: Final = 800.0
FIRST_ID: Final = 1_000_000_000

_LIMIT_SHARE: Final = 0.50  # of all orders; cancels take what market orders leave
_MARKET_SHARE: Final = 0.07
_MEAN_DISTANCE: Final = 12.0  # ticks between a new limit order and the fair price
_MEAN_LOTS: Final = 40.0
_LEVELS: Final = 80  # a side, at the start and where cancels keep it
_VOLATILITY: Final = 15.0  # ticks of the fair price per square root of a second
_REVERSION_S: Final = 120.0  # time constant of its way back
_PULL: Final = 0.03  # how much likelier a market order is to follow the fair price, per tick of its lead
_DIFF_NS: Final = 20_000_000  # depth messages leave once in this
_BASE_LATENCY_NS: Final = 2_000_000
_JITTER_NS: Final = 1_500_000.0  # mean of the exponential part of the feed's latency
_MS: Final = 1_000_000


class Turn(NamedTuple):
    """When the market changes for good, and into what."""

    after_s: float  # since its start
    buyers: float  # share of market orders that buy, where the fair price has no lead


class _Market:
    """The venue's book and the order flow that moves it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.fair = float(START_TICKS)
        self.bids = {START_TICKS - 1 - i: self.lots() for i in range(_LEVELS)}
        self.asks = {START_TICKS + i: self.lots() for i in range(_LEVELS)}
        self.changed: set[tuple[int, int]] = set()  # side and price since the last depth message
        self.update_id = FIRST_ID
        self.buyers = 0.5  # of market orders, where the fair price has no lead

    def lots(self) -> int:
        return 1 + int(self.rng.exponential(_MEAN_LOTS))

    def touch(self) -> tuple[int, int, int, int]:
        """Best bid, its lots, best ask, its lots."""
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]

    def drift(self, seconds: float) -> None:
        """Move the fair price on."""
        back = (START_TICKS - self.fair) * seconds / _REVERSION_S
        self.fair += back + _VOLATILITY * math.sqrt(seconds) * self.rng.standard_normal()

    def order(self) -> tuple[int, int, int] | None:
        """Let one order arrive; the trade that it made: aggressor, price in ticks, lots."""
        draw = self.rng.random()
        if draw < _LIMIT_SHARE:
            self._limit(BUY if self.rng.random() < 0.5 else SELL)
            return None
        if draw < _LIMIT_SHARE + _MARKET_SHARE:
            return self._market()
        self._cancel(BUY if self.rng.random() < 0.5 else SELL)
        return None

    def _limit(self, side: int) -> None:
        distance = int(self.rng.exponential(_MEAN_DISTANCE))
        if side == BUY:
            price = min(round(self.fair) - 1 - distance, min(self.asks) - 1)
            self._set(side, price, self.bids.get(price, 0) + self.lots())
        else:
            price = max(round(self.fair) + distance, max(self.bids) + 1)
            self._set(side, price, self.asks.get(price, 0) + self.lots())

    def _market(self) -> tuple[int, int, int]:
        bid, bid_lots, ask, ask_lots = self.touch()
        lead = self.fair - (bid + ask) / 2
        buys = self.rng.random() < min(max(self.buyers + _PULL * lead, 0.02), 0.98)
        side, price, displayed = (SELL, ask, ask_lots) if buys else (BUY, bid, bid_lots)
        lots = min(self.lots(), displayed)
        self._set(side, price, displayed - lots)
        return -side, price, lots

    def _cancel(self, side: int) -> None:
        """The touch is cancelled where the fair price has passed it, else any level."""
        levels = self.bids if side == BUY else self.asks
        best = max(levels) if side == BUY else min(levels)
        passed = best > self.fair if side == BUY else best < self.fair
        price = best if passed else list(levels)[int(self.rng.integers(len(levels)))]
        whole = passed or len(levels) > _LEVELS
        self._set(side, price, 0 if whole else levels[price] // 2)

    def _set(self, side: int, price: int, lots: int) -> None:
        levels = self.bids if side == BUY else self.asks
        if lots > 0:
            levels[price] = lots
        elif len(levels) > 1:
            levels.pop(price, None)
        else:
            return  # a side is never left empty
        self.changed.add((side, price))
        self.update_id += 1


def synthetic_capture(
    instrument: Instrument, seed: int, start_ts: int, seconds: float, turn: Turn | None = None
) -> Iterator[bytes]:
    """Lines of a capture, in the order of receipt, the snapshot first; a seed always gives the same bytes.

    start_ts : local receive time of the snapshot, ns UTC; the venue's clock is ahead of it by -OFFSET_NS
    turn : after which the market is another one; what comes before it is the same bytes
    """
    rng = np.random.default_rng(seed)
    received = 0
    for venue_ts, frame in _frames(instrument, rng, start_ts - OFFSET_NS - _BASE_LATENCY_NS, seconds, turn):
        latency = _BASE_LATENCY_NS + (int(rng.exponential(_JITTER_NS)) if received else 0)
        received = max(received + 1, venue_ts + OFFSET_NS + latency)
        yield capture_line(received, frame)


def _frames(
    instrument: Instrument, rng: np.random.Generator, start_ts: int, seconds: float, turn: Turn | None
) -> Iterator[tuple[int, bytes]]:
    """Venue time, ns, and frame of each message."""
    market, wire = _Market(rng), Wire(instrument)
    now, end, next_diff, trades = start_ts, start_ts + round(seconds * 1e9), start_ts + _DIFF_NS, 0
    yield now, _snapshot(wire, market, now // _MS)
    sent_id, shown = market.update_id, market.touch()
    while True:
        gap_s = rng.exponential(1 / ORDERS_PER_SECOND)
        now += round(gap_s * 1e9)
        while next_diff < min(now, end):
            if market.changed:
                yield next_diff, _depth(wire, market, next_diff // _MS, sent_id)
                sent_id = market.update_id
                market.changed.clear()
            next_diff += _DIFF_NS
        if now >= end:
            return
        market.drift(gap_s)
        if turn is not None and now >= start_ts + round(turn.after_s * 1e9):
            market.buyers = turn.buyers
        trade = market.order()
        if trade is not None:
            trades += 1
            yield now, wire.trade(trades, *trade, now // _MS)
        if market.touch() != shown:
            shown = market.touch()
            yield now, wire.book_ticker(market.update_id, *shown, now // _MS)


def _snapshot(wire: Wire, market: _Market, ms: int) -> bytes:
    bids, asks = sorted(market.bids.items(), reverse=True), sorted(market.asks.items())
    return wire.snapshot(market.update_id, bids, asks, ms)


def _depth(wire: Wire, market: _Market, ms: int, previous: int) -> bytes:
    bids = [(price, market.bids.get(price, 0)) for side, price in sorted(market.changed) if side == BUY]
    asks = [(price, market.asks.get(price, 0)) for side, price in sorted(market.changed) if side == SELL]
    return wire.depth((previous, previous + 1, market.update_id), bids, asks, ms)
