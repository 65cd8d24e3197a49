"""Binance USD-M, COIN-M and spot: combined-stream frames and raw REST depth snapshots."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
import numpy as np
from msgspec.json import Decoder as JsonDecoder

from market.errors import MalformedMessage, OffGrid
from market.events import (
    BBO,
    BUY,
    EVENT,
    FIRST,
    FUNDING,
    GAP,
    INDEX,
    LAST,
    LEVEL,
    LIQUIDATION,
    MARK,
    NO_SIDE,
    NO_VENUE_TIME,
    PRICE_UNIT,
    RATE_UNIT,
    REPLAYED,
    SELL,
    SNAPSHOT,
    TRADE,
    Events,
)
from market.instrument import Instrument
from market.sources import binance_scan as scanning
from market.sources.binance_messages import (
    AggTrade,
    BookTicker,
    Depth,
    ForceOrder,
    Frame,
    IndexPrice,
    MarkPrice,
    Snapshot,
    Trade,
    venue_ns,
)
from market.sources.decoder import (
    DecoderState,
    Scanned,
    Span,
    Stamp,
    best_rows,
    event_row,
    level_rows,
    tape_events,
)
from market.sources.json_kernels import NEWLINE, PADDING
from market.sources.sequence import DepthSequence, Verdict
from market.sources.venue import VenueDecoder, message_of, nearest

BUFFERED: Final = 4_096  # depth messages held back at most while a snapshot is awaited
MOST_BYTES: Final = 65_536  # of a frame that is read by the compiled reader, its newline included
MOST_ROWS: Final = 32_768  # of one scan; no message of Binance's has as many levels
_COUNTS: Final = (
    "snapshot",
    "depth",
    "bookTicker",
    "trade",
    "aggTrade",
    "markPrice",
    "indexPrice",
    "forceOrder",
    "unknown",  # streams that no reader knows, and replies to requests
    "gaps",  # breaks of the depth sequence
    "superseded",  # depth messages and snapshots that held nothing newer than the book
    "too_old",  # snapshots that the buffered depth does not reach back to
    "stale",  # best bids and offers older than the newest depth; on the tape, passed over by the book
    "off_book",  # trades of the insurance fund and the like, left off the tape
    "doubled",  # trades and aggregates of trades that had been told already, by their own stream or the other
    "other_symbol",  # forced orders of other symbols
)
MOST_STREAMS: Final = 64  # whose names are remembered
_WHOLE: Final = FIRST | LAST  # a message of one event
_KEPT: Final = {  # of the compiled reader's state
    "depth_ts": scanning.DEPTH_TS,
    "traded": scanning.TRADED,
    "aggregated": scanning.AGGREGATED,
}
_TOLD: Final = {"told": scanning.TOLD, "told_aggregates": scanning.TOLD_AGGREGATES}
_SCANNED: Final = ("depth", "bookTicker", "trade", "stale")  # counts in the order of the scan's


class BinanceDecoder(VenueDecoder):
    """Decoder of one Binance symbol; see ``market.sources.decoder.Decoder``."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument, _COUNTS)
        self._state = np.zeros(scanning.PLACES, np.int64)  # what the compiled reader knows, and we with it
        self._state[[scanning.AGGREGATED, scanning.TRADED]] = -1
        self._sequence = DepthSequence(self._state[scanning.SEQUENCE])
        self._buffer: deque[bytes] = deque(maxlen=BUFFERED)
        self._pair = instrument.venue_symbol.partition("_")[0]  # what COIN-M calls the index by
        self._head = np.frombuffer(bytearray(b'{"stream":"%s@' % instrument.venue_symbol.encode()), np.uint8)
        self._grid = np.array([instrument.tick_size, instrument.lot_size])
        self._scanned = np.empty((MOST_ROWS, 8), dtype=np.int64)
        self._scratch = self._scanned, np.zeros(7, np.int64), np.zeros(6, np.float64)
        self._block = np.zeros(MOST_BYTES + PADDING, np.uint8)
        self._block_bytes, self._scanned_bytes = memoryview(self._block.data), memoryview(self._scanned.data).cast("B")
        self._best = np.empty((2, 8), dtype=np.int64)
        self._read_frame = JsonDecoder(Frame)
        self._read_snapshot = JsonDecoder(Snapshot, strict=False)
        self._read_depth = JsonDecoder(Depth, strict=False)
        self._topics: dict[str, str] = {}  # of streams that have been seen
        self._streams: dict[str, tuple[JsonDecoder[Any], Callable[[Any, int], bytes]]] = {
            "bookTicker": (JsonDecoder(BookTicker, strict=False), self._book_ticker),
            "trade": (JsonDecoder(Trade, strict=False), self._trade),
            "aggTrade": (JsonDecoder(AggTrade, strict=False), self._agg_trade),
            "indexPrice": (JsonDecoder(IndexPrice, strict=False), self._index_price),
            "markPrice": (JsonDecoder(MarkPrice, strict=False), self._mark_price),
            "forceOrder": (JsonDecoder(ForceOrder, strict=False), self._force_order),
        }

    @property
    def waiting(self) -> bool:
        """Whether depth is being held back until a snapshot comes."""
        return self._sequence.waiting

    def scan(self, block: bytearray, start: int, span: Span, tape: bytearray) -> Scanned:
        """Append the events of the ordinary lines from ``start`` on; see ScansLines."""
        state = self._state
        state[: scanning.UNTIL + 1] = (start, 0, 0, *span)
        state[scanning.DEPTHS :] = 0
        scanning.scan(
            np.frombuffer(block, np.uint8), len(block) - PADDING, self._head, self._grid, state, self._scanned
        )
        tape += self._scanned[: state[scanning.ROWS]].tobytes()
        for name, count in zip(_SCANNED, state[scanning.DEPTHS :].tolist(), strict=True):
            self.counts[name] += count
        lines = int(state[scanning.LINES])
        self.counts["messages"] += lines
        return Scanned(int(state[scanning.AT]), lines, int(state[scanning.NEWEST_TS]))

    def decode(self, frame: bytes, ingest_ts: int) -> Events:
        """The events of one frame, maybe none: an ordinary one's by the compiled reader, else as ``append``."""
        size = len(frame)
        if size >= MOST_BYTES or b"\n" in frame:
            return super().decode(frame, ingest_ts)
        self._block_bytes[:size] = frame
        self._block_bytes[size] = NEWLINE
        rows, topic, stale = scanning.frame(self._block, ingest_ts, self._head, self._grid, self._state, self._scratch)
        if rows < 0:
            return super().decode(frame, ingest_ts)
        counts = self.counts
        counts["messages"] += 1
        counts[_SCANNED[topic]] += 1
        if stale:
            counts["stale"] += 1
        return tape_events(bytearray(self._scanned_bytes[: rows * EVENT.itemsize]))

    @property
    def _depth_ts(self) -> int:
        """Venue time of the newest depth message seen, ns."""
        return int(self._state[scanning.DEPTH_TS])

    @property
    def _traded(self) -> int:
        """Newest trade id on the tape that a trade has told."""
        return int(self._state[scanning.TRADED])

    @property
    def _aggregated(self) -> int:
        """Newest trade id on the tape that an aggregate of trades has told."""
        return int(self._state[scanning.AGGREGATED])

    def state(self) -> DecoderState:
        """Place in the depth sequence and the messages held back."""
        return {
            "newest": self._sequence.newest,
            "waiting": int(self._sequence.waiting),
            "joined": int(self._sequence.joined),
            **{name: int(self._state[place]) for name, place in (_KEPT | _TOLD).items()},
            "buffer": [frame.decode(errors="replace") for frame in self._buffer],  # what is read of them is UTF-8
        }

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken."""
        self._sequence.newest = int(cast(int, state["newest"]))
        self._sequence.waiting = bool(state["waiting"])
        self._sequence.joined = bool(state["joined"])
        for name, place in _KEPT.items():
            self._state[place] = int(cast(int, state[name]))
        for name, place in _TOLD.items():
            self._state[place] = int(cast(int, state.get(name, 1)))  # an older state knows of the newest alone
        self._buffer = deque((text.encode() for text in cast(list[str], state["buffer"])), maxlen=BUFFERED)

    def _rows(self, frame: bytes, ingest_ts: int) -> bytes:
        envelope = self._read_frame.decode(frame)
        if not envelope.stream:
            return self._without_stream(envelope, frame, ingest_ts)
        topic = self._topics.get(envelope.stream) or self._topic(envelope.stream)
        if topic == "depth":
            return self._depth(envelope.data, ingest_ts)
        if topic not in self._streams:
            self.counts["unknown"] += 1
            return b""
        json, rows_of = self._streams[topic]
        rows = rows_of(json.decode(envelope.data), ingest_ts)
        self.counts[topic] += 1
        return rows

    def _topic(self, stream: str) -> str:
        """What a stream tells of our symbol. Raises MalformedMessage if it is another symbol's."""
        symbol, _, rest = stream.partition("@")
        topic = rest.partition("@")[0]
        if symbol == self.instrument.venue_symbol or (topic == "indexPrice" and symbol == self._pair):
            if len(self._topics) < MOST_STREAMS and (topic == "depth" or topic in self._streams):
                self._topics[stream] = topic
            return topic
        if symbol.startswith("!"):  # a stream of all symbols
            return "forceOrder" if symbol == "!forceOrder" else symbol
        raise MalformedMessage(f"stream {stream!r} is not one of {self.instrument.venue_symbol!r}")

    def _without_stream(self, envelope: Frame, frame: bytes, ingest_ts: int) -> bytes:
        if not envelope.lastUpdateId:
            self.counts["unknown"] += 1
            return b""
        rows = self._snapshot(self._read_snapshot.decode(frame), ingest_ts)
        self.counts["snapshot"] += 1
        return rows

    def _depth(self, data: msgspec.Raw, ingest_ts: int) -> bytes:
        message = self._read_depth.decode(data)
        rows = self._level_rows(message, ingest_ts, flags=0)
        self.counts["depth"] += 1
        self._state[scanning.DEPTH_TS] = max(self._depth_ts, _depth_stamp(message))
        return self._admitted(message, data, rows, ingest_ts)

    def _admitted(self, message: Depth, data: msgspec.Raw | bytes, rows: bytes, ingest_ts: int) -> bytes:
        """``rows`` where the message continues the book, a GAP where it breaks it."""
        expected = self._sequence.newest
        verdict = self._sequence.admit(message.previous, message.u)
        if verdict is Verdict.APPLY:
            return rows
        if verdict is Verdict.OLD:
            self.counts["superseded"] += 1
            return b""
        self._buffer.append(bytes(data))
        if verdict is Verdict.WAIT:
            return b""
        self.counts["gaps"] += 1
        return event_row(GAP, NO_SIDE, 0, 0, Stamp(_depth_stamp(message), ingest_ts, expected, 0))

    def _snapshot(self, snapshot: Snapshot, ingest_ts: int) -> bytes:
        """The snapshot's levels, then the depth messages held back that are newer."""
        if not self.waiting and snapshot.lastUpdateId < self._sequence.newest:
            self.counts["superseded"] += 1
            return b""
        held = [(self._read_depth.decode(data), data) for data in self._buffer]
        newer = [(message, data) for message, data in held if message.u > snapshot.lastUpdateId]
        if newer and newer[0][0].previous > snapshot.lastUpdateId:
            self.counts["too_old"] += 1
            return b""
        rows = level_rows(
            SNAPSHOT, snapshot.bids, snapshot.asks, self._snapshot_stamp(snapshot, held, ingest_ts), self.instrument
        )
        self.counts["superseded"] += len(held) - len(newer)
        self._buffer.clear()
        self._sequence.accept_snapshot(snapshot.lastUpdateId)
        replayed = (
            self._admitted(message, data, self._level_rows(message, ingest_ts, REPLAYED), ingest_ts)
            for message, data in newer
        )
        return b"".join([rows, *replayed])

    def _snapshot_stamp(self, snapshot: Snapshot, held: list[tuple[Depth, bytes]], ingest_ts: int) -> Stamp:
        """Spot's snapshots bear no time: they take that of the newest depth message that they hold.

        So the snapshot comes before the depth that builds on it in the venue's time as well.
        """
        if snapshot.T:
            return Stamp(venue_ns(snapshot.T), ingest_ts, snapshot.lastUpdateId, 0)
        inside = [_depth_stamp(message) for message, _ in held if message.u <= snapshot.lastUpdateId]
        beyond = [_depth_stamp(message) for message, _ in held if message.u > snapshot.lastUpdateId]
        exchange_ts = inside[-1] if inside else beyond[0] if beyond else self._depth_ts
        return Stamp(exchange_ts, ingest_ts, snapshot.lastUpdateId, 0 if exchange_ts else NO_VENUE_TIME)

    def _level_rows(self, message: Depth, ingest_ts: int, flags: int) -> bytes:
        stamp = Stamp(_depth_stamp(message), ingest_ts, message.u, flags)
        return level_rows(LEVEL, message.b, message.a, stamp, self.instrument)

    def _book_ticker(self, ticker: BookTicker, ingest_ts: int) -> bytes:
        word, at = BBO | (0 if ticker.T else NO_VENUE_TIME) << 16, venue_ns(ticker.T)
        quotes = (ticker.b, ticker.B, ticker.a, ticker.A)
        if not best_rows(self._best, self._grid, *quotes, word, at, ingest_ts, ticker.u):
            self._refuse_quotes(*quotes)
        self.counts["stale"] += ticker.u <= self._sequence.newest
        return self._best.tobytes()

    def _refuse_quotes(self, bid: float, bid_qty: float, ask: float, ask_qty: float) -> None:
        """Raise OffGrid for the price or quantity that is off the grid."""
        nowhere = Stamp(0, 0, 0, 0)
        self._priced(BBO, BUY, bid, bid_qty, nowhere)
        self._priced(BBO, SELL, ask, ask_qty, nowhere)
        raise OffGrid(f"best bid {bid} x {bid_qty}, ask {ask} x {ask_qty}: one is off the grid")

    def _trade(self, trade: Trade, ingest_ts: int) -> bytes:
        if trade.X != "MARKET":
            self.counts["off_book"] += 1
            return b""
        rows = self._taken(trade, trade.t, ingest_ts)
        if trade.t <= self._aggregated or not scanning.tell(self._state, trade.t, scanning.TRADED, scanning.TOLD):
            self.counts["doubled"] += 1
            return b""
        return rows

    def _agg_trade(self, trade: AggTrade, ingest_ts: int) -> bytes:
        """One trade of the whole aggregate, unless the trade stream is in use and has told it, or its beginning."""
        rows = self._taken(trade, trade.l, ingest_ts)
        places = scanning.AGGREGATED, scanning.TOLD_AGGREGATES
        if trade.f <= self._traded or not scanning.tell(self._state, trade.l, *places):
            self.counts["doubled"] += 1
            return b""
        return rows

    def _taken(self, trade: Trade | AggTrade, number: int, ingest_ts: int) -> bytes:
        side = SELL if trade.m else BUY
        return self._priced(TRADE, side, trade.p, trade.q, Stamp(venue_ns(trade.T), ingest_ts, number, 0), _WHOLE)

    def _force_order(self, message: ForceOrder, ingest_ts: int) -> bytes:
        order = message.o
        if order.S not in ("BUY", "SELL"):
            raise MalformedMessage(f"side={order.S!r} of a forced order is not BUY or SELL")
        if order.s and order.s.lower() != self.instrument.venue_symbol:
            self.counts["other_symbol"] += 1
            return b""
        side = BUY if order.S == "BUY" else SELL
        return self._priced(LIQUIDATION, side, order.p, order.q, Stamp(venue_ns(order.T), ingest_ts, 0, 0), _WHOLE)

    def _mark_price(self, mark: MarkPrice, ingest_ts: int) -> bytes:
        numbers = [(MARK, nearest(mark.p, PRICE_UNIT), 0)]
        if mark.i is not None:
            numbers.append((INDEX, nearest(mark.i, PRICE_UNIT), 0))
        if mark.r != "":
            numbers.append((FUNDING, nearest(mark.r, RATE_UNIT), venue_ns(mark.T)))
        stamp = Stamp(venue_ns(mark.E), ingest_ts, 0, 0)
        return message_of([event_row(kind, NO_SIDE, price, qty, stamp, 0) for kind, price, qty in numbers])

    def _index_price(self, index: IndexPrice, ingest_ts: int) -> bytes:
        stamp = Stamp(venue_ns(index.E), ingest_ts, 0, 0)
        return event_row(INDEX, NO_SIDE, nearest(index.p, PRICE_UNIT), 0, stamp)


def _depth_stamp(message: Depth) -> int:
    return venue_ns(message.T or message.E)
