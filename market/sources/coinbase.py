"""Coinbase Advanced Trade spot: the ``level2``, ``market_trades`` and ``heartbeats`` channels, which tell levels.

Every message of a connection, of any channel and product, is numbered one more than the last; heartbeats keep the
count going while a book is still. A number left out is a gap, and the book stays closed until the next snapshot. 0
begins a new connection. Feed the decoder all messages of one connection, those of other products as well.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, cast

from msgspec import Raw
from msgspec.json import Decoder as JsonDecoder

from market.errors import MalformedMessage
from market.events import BUY, LEVEL, NO_VENUE_TIME, SELL, SNAPSHOT, TRADE
from market.instrument import Instrument
from market.sources.coinbase_messages import BookEvent, Frame, Level, TradesEvent
from market.sources.decoder import DecoderState, Levels, Stamp, level_rows
from market.sources.venue import VenueDecoder, gap_row, message_of

_COUNTS: Final = (
    "snapshot",
    "depth",
    "trade",
    "heartbeat",
    "unknown",  # channels that no reader knows, and replies to requests
    "other",  # books of other products
    "gaps",  # numbers left out, and connections begun anew
    "superseded",  # messages that came before, repeated
    "unjoined",  # depth messages that came while there was no book
    "history",  # trades from before the subscription, left off the tape
)


class CoinbaseDecoder(VenueDecoder):
    """Decoder of one Coinbase product; see ``market.sources.decoder.Decoder``."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument, _COUNTS)
        self._newest: int | None = None  # sequence number of the connection; None: before its first message
        self._waiting = True
        self._read_frame = JsonDecoder(Frame)
        self._read_book = JsonDecoder(BookEvent)
        self._read_levels = JsonDecoder(list[Level], strict=False)
        self._read_trades = JsonDecoder(TradesEvent, strict=False)

    @property
    def waiting(self) -> bool:
        """Whether the book waits for a snapshot."""
        return self._waiting

    def state(self) -> DecoderState:
        """Place in the connection's sequence."""
        return {"newest": -1 if self._newest is None else self._newest, "waiting": int(self._waiting)}

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken."""
        newest = int(cast(int, state["newest"]))
        self._newest = None if newest < 0 else newest
        self._waiting = bool(state["waiting"])

    def _rows(self, frame: bytes, ingest_ts: int) -> bytes:
        message = self._read_frame.decode(frame)
        number = message.sequence_num
        if number is None:
            self.counts["unknown"] += 1
            return b""
        if self._newest is not None and 0 < number <= self._newest:
            self.counts["superseded"] += 1
            return b""
        broken = self._newest is not None and number != self._newest + 1
        waiting = self._waiting or broken
        rows, waits = self._message(message, number, waiting, ingest_ts)
        if broken and not self._waiting:
            self.counts["gaps"] += 1
            rows = gap_row(Stamp(0, ingest_ts, self._newest or 0, NO_VENUE_TIME)) + rows
        self._newest, self._waiting = number, waits
        return rows

    def _message(self, message: Frame, number: int, waiting: bool, ingest_ts: int) -> tuple[bytes, bool]:
        """Rows of a message in its place, and whether the book waits for a snapshot after it."""
        if message.channel == "market_trades":
            return self._trades(message.events, ingest_ts), waiting
        if message.channel == "l2_data":
            return self._books(message.events, number, waiting, ingest_ts)
        self.counts["heartbeat" if message.channel == "heartbeats" else "unknown"] += 1
        return b"", waiting

    def _books(self, events: list[Raw], number: int, waiting: bool, ingest_ts: int) -> tuple[bytes, bool]:
        books = [self._read_book.decode(event) for event in events]
        rows = b""
        for book in books:
            if not self._ours(book.product_id):
                self.counts["other"] += 1
                continue
            levels = self._read_levels.decode(book.updates)
            added = self._level_rows(SNAPSHOT if book.type == "snapshot" else LEVEL, levels, number, ingest_ts)
            self.counts["snapshot" if book.type == "snapshot" else "depth"] += 1
            if book.type == "snapshot" and added:
                waiting = False
            self.counts["unjoined"] += waiting
            rows += b"" if waiting else added
        return rows, waiting

    def _level_rows(self, kind: int, levels: list[Level], number: int, ingest_ts: int) -> bytes:
        if not levels:
            return b""
        bids: Levels = [(one.price_level, one.new_quantity) for one in levels if one.side == "bid"]
        asks: Levels = [(one.price_level, one.new_quantity) for one in levels if one.side == "offer"]
        stamp = Stamp(_nanoseconds(levels[-1].event_time), ingest_ts, number, 0)
        return level_rows(kind, bids, asks, stamp, self.instrument)

    def _trades(self, events: list[Raw], ingest_ts: int) -> bytes:
        """Trades oldest first; those of a snapshot were known to no one here when they were made."""
        rows = []
        for event in [self._read_trades.decode(event) for event in events]:
            ours = [trade for trade in reversed(event.trades) if self._ours(trade.product_id)]
            if event.type == "snapshot":
                self.counts["history"] += len(ours)
                continue
            for one in ours:
                stamp = Stamp(_nanoseconds(one.time), ingest_ts, one.trade_id, 0)
                rows.append(self._priced(TRADE, SELL if one.side == "BUY" else BUY, one.price, one.size, stamp))
        self.counts["trade"] += len(rows)
        return message_of(rows)


def _nanoseconds(text: str) -> int:
    """A stamp of RFC 3339 in UTC, to the last of its nine digits, ns UTC.

    >>> _nanoseconds("2026-08-09T21:05:48.17Z") - _nanoseconds("2026-08-09T21:05:48Z")
    170000000
    """
    whole, _, fraction = text.removesuffix("Z").partition(".")
    if not text.endswith("Z") or len(fraction) > 9 or not f"{fraction:0<9}".isdecimal():
        raise MalformedMessage(f"{text[:40]!r} is no stamp in UTC")
    return _second(whole) * 1_000_000_000 + int(f"{fraction:0<9}")


@lru_cache(maxsize=64)
def _second(text: str) -> int:
    try:
        second = int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise MalformedMessage(f"{text[:40]!r} is no stamp in UTC") from error
    if not 0 < second < 9_000_000_000:
        raise MalformedMessage(f"{text[:40]!r} is a time that int64 nanoseconds do not reach")
    return second
