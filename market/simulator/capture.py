"""A simulated tape as a capture in Binance's futures format, for decoder, clock and the replay venue."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from market.events import BBO, BUY, GAP, LAST, LEVEL, LIQUIDATION, MARK, SNAPSHOT, TRADE, Events
from market.instrument import Instrument
from market.simulator.parameters import SimulationParameters
from market.simulator.tape import SimulatedTape
from market.simulator.wire import Levels, Wire
from market.sources.capture import capture_line

_MS: Final = 1_000_000


def simulated_capture(
    parameters: SimulationParameters, instrument: Instrument, start_ts: int, seconds: float
) -> Iterator[bytes]:
    """Lines in the order of receipt, the snapshot first; decoded, they are the events of SimulatedTape.

    Gaps are lost lines: the next depth message does not follow the one before, and a snapshot comes later.
    start_ts : ns UTC on our clock
    """
    writer = _Writer(instrument)
    for events in SimulatedTape(parameters, instrument, start_ts).batches(start_ts + round(seconds * 1e9)):
        ends = np.flatnonzero(events["flags"] & LAST) + 1
        for first, end in zip([0, *ends[:-1]], ends, strict=True):
            yield capture_line(int(events["ingest_ts"][first]), writer.frame(events[first:end]))


class _Writer:
    """Frames of messages; remembers the depth message before."""

    def __init__(self, instrument: Instrument) -> None:
        self._wire = Wire(instrument)
        self._sent_id = 0
        self._frames: dict[int, Callable[[Events, int], bytes]] = {
            SNAPSHOT: self._snapshot,
            LEVEL: self._depth,
            GAP: self._break,
            BBO: self._book_ticker,
            TRADE: self._trade,
            MARK: self._mark_price,
            LIQUIDATION: self._force_order,
        }

    def frame(self, message: Events) -> bytes:
        return self._frames[int(message["kind"][0])](message, int(message["exchange_ts"][0]) // _MS)

    def _snapshot(self, message: Events, ms: int) -> bytes:
        self._sent_id = int(message["update_id"][0])
        return self._wire.snapshot(self._sent_id, *_sides(message), ms)

    def _depth(self, message: Events, ms: int) -> bytes:
        previous, self._sent_id = self._sent_id, int(message["update_id"][0])
        return self._wire.depth((previous, previous + 1, self._sent_id), *_sides(message), ms)

    def _break(self, message: Events, ms: int) -> bytes:
        """A depth message that does not follow the newest one; the snapshot to come holds what it says."""
        newest = int(message["update_id"][0])
        return self._wire.depth((newest + 1, newest + 2, newest + 2), [], [], ms)

    def _book_ticker(self, message: Events, ms: int) -> bytes:
        (bid, bid_lots), (ask, ask_lots) = _levels(message)
        return self._wire.book_ticker(int(message["update_id"][0]), bid, bid_lots, ask, ask_lots, ms)

    def _trade(self, message: Events, ms: int) -> bytes:
        [(price, lots)] = _levels(message)
        return self._wire.trade(int(message["update_id"][0]), int(message["side"][0]), price, lots, ms)

    def _mark_price(self, message: Events, ms: int) -> bytes:
        (mark, _), (index, _), (rate, next_funding_ns) = _levels(message)
        return self._wire.mark_price(mark, index, rate, next_funding_ns // _MS, ms)

    def _force_order(self, message: Events, ms: int) -> bytes:
        [(price, lots)] = _levels(message)
        return self._wire.force_order(int(message["side"][0]), price, lots, ms)


def _levels(message: Events) -> Levels:
    return list(zip(message["price"].tolist(), message["qty"].tolist(), strict=True))


def _sides(message: Events) -> tuple[Levels, Levels]:
    bids = message["side"] == BUY
    return _levels(message[bids]), _levels(message[~bids])
