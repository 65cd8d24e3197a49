"""Bybit v5 linear, inverse and spot: public WebSocket topics.

The book: a message of type ``snapshot``, or one with ``u`` = 1, is the whole book; each delta's ``u`` is one more
than the last. Anything else is a gap, and the book stays closed until the next snapshot. A whole book that neither
repeats the ``u`` of an open one nor comes next follows a lost connection or a restart: a gap stands before it. Events
bear ``seq``, which orders books of different depths, so that ``orderbook.1`` moves the touch of a deeper one.
"""

from collections.abc import Callable
from typing import Any, Final, cast
from uuid import UUID

from msgspec.json import Decoder as JsonDecoder

from market.errors import MalformedMessage
from market.events import BBO, BUY, INDEX, LEVEL, LIQUIDATION, MARK, SELL, SNAPSHOT, TRADE
from market.instrument import Instrument
from market.sources.bybit_messages import Frame, Liquidation, OldLiquidation, OrderBook, Ticker, Trade
from market.sources.decoder import DecoderState, Stamp, level_rows
from market.sources.sequence import DepthSequence, Verdict
from market.sources.venue import (
    VenueDecoder,
    funding_row,
    gap_row,
    message_of,
    millis_of,
    number_of,
    quote_row,
    stamp_of,
)

_COUNTS: Final = (
    "snapshot",
    "depth",
    "bbo",
    "trade",
    "ticker",
    "liquidation",
    "unknown",  # topics that no reader knows, and replies to requests
    "other",  # messages of other symbols
    "gaps",  # breaks of the depth sequence
    "superseded",  # depth messages that the book already held
    "unjoined",  # depth messages that came while there was no book
    "off_book",  # block trades, left off the tape
    "doubled",  # trades that had been told already
)
REMEMBERED: Final = 256  # trade ids


class BybitDecoder(VenueDecoder):
    """Decoder of one Bybit symbol; see ``market.sources.decoder.Decoder``."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument, _COUNTS)
        self._sequence = DepthSequence()
        self._topic = ""  # of the book: the first deeper than the touch
        self._seq = 0  # of the newest book
        self._rate, self._next_ms = "", ""  # funding, as last told
        self._told: dict[str, None] = {}  # ids of the newest trades, oldest first
        self._read_frame = JsonDecoder(Frame)
        self._read_book = JsonDecoder(OrderBook, strict=False)
        self._topics: dict[str, tuple[JsonDecoder[Any], Callable[[Any, Frame, int], bytes]]] = {
            "publicTrade": (JsonDecoder(list[Trade], strict=False), self._trades),
            "tickers": (JsonDecoder(Ticker), self._ticker),
            "allLiquidation": (JsonDecoder(list[Liquidation], strict=False), self._liquidations),
            "liquidation": (JsonDecoder(OldLiquidation, strict=False), self._old_liquidation),
        }

    @property
    def waiting(self) -> bool:
        """Whether the book waits for a snapshot."""
        return self._sequence.waiting

    def state(self) -> DecoderState:
        """Place in the depth sequence, and the funding last told."""
        return {
            "newest": self._sequence.newest,
            "waiting": int(self._sequence.waiting),
            "topic": self._topic,
            "seq": self._seq,
            "rate": self._rate,
            "next_ms": self._next_ms,
            "told": list(self._told),
        }

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken."""
        self._sequence.newest = int(cast(int, state["newest"]))
        self._sequence.waiting = bool(state["waiting"])
        self._topic = str(state["topic"])
        self._seq = int(cast(int, state["seq"]))
        self._rate, self._next_ms = str(state["rate"]), str(state["next_ms"])
        self._told = dict.fromkeys(cast(list[str], state.get("told", [])))

    def _rows(self, frame: bytes, ingest_ts: int) -> bytes:
        message = self._read_frame.decode(frame)
        name, _, rest = message.topic.partition(".")
        if name != "orderbook" and name not in self._topics:
            self.counts["unknown"] += 1
            return b""
        if not self._ours(rest.rpartition(".")[2]):
            self.counts["other"] += 1
            return b""
        if name == "orderbook":
            return self._order_book(message, rest.partition(".")[0], ingest_ts)
        json, rows_of = self._topics[name]
        return rows_of(json.decode(message.data), message, ingest_ts)

    def _order_book(self, message: Frame, depth: str, ingest_ts: int) -> bytes:
        book = self._read_book.decode(message.data)
        stamp = stamp_of(message.cts or message.ts, ingest_ts, book.seq)
        if depth == "1":
            return self._touch(book, stamp)
        if self._topic and message.topic != self._topic:
            self.counts["unknown"] += 1
            return b""
        if message.type == "snapshot" or book.u == 1:
            return self._snapshot(message.topic, book, stamp)
        rows = level_rows(LEVEL, book.b, book.a, stamp, self.instrument)
        self.counts["depth"] += 1
        return self._admitted(book, rows, stamp)

    def _admitted(self, book: OrderBook, rows: bytes, stamp: Stamp) -> bytes:
        verdict = self._sequence.admit(book.u - 1, book.u)
        if verdict is Verdict.APPLY:
            self._seq = book.seq
            return rows
        if verdict is Verdict.BREAK:
            return self._gap(stamp)
        self.counts["superseded" if verdict is Verdict.OLD else "unjoined"] += 1
        return b""

    def _snapshot(self, topic: str, book: OrderBook, stamp: Stamp) -> bytes:
        """The whole book, behind a gap where it does not continue an open one; of nothing, as when delisted, a gap."""
        rows = level_rows(SNAPSHOT, book.b, book.a, stamp, self.instrument)
        continues = self._sequence.waiting or book.u - self._sequence.newest in (0, 1)
        gap = b"" if rows and continues else self._gap(stamp)
        self.counts["snapshot"] += 1
        self._topic, self._seq = topic, book.seq
        self._sequence.accept_snapshot(book.u)
        self._sequence.waiting = not rows
        return gap + rows

    def _gap(self, stamp: Stamp) -> bytes:
        """A gap, which bears the newest ``seq`` of the book that it closes."""
        self.counts["gaps"] += 1
        return gap_row(stamp._replace(update_id=self._seq))

    def _touch(self, book: OrderBook, stamp: Stamp) -> bytes:
        rows = [
            self._priced(BBO, side, price, qty, stamp)
            for side, levels in ((BUY, book.b), (SELL, book.a))
            for price, qty in levels
            if qty != 0
        ]
        self.counts["bbo"] += 1
        return message_of(rows)

    def _trades(self, trades: list[Trade], message: Frame, ingest_ts: int) -> bytes:
        met = [trade for trade in trades if not trade.BT]
        read = [(trade.i, self._trade(trade, ingest_ts)) for trade in met]  # all are sound before one counts as told
        rows = [row for trade_id, row in read if self._is_new(trade_id)]
        self.counts["trade"] += len(rows)
        self.counts["off_book"] += len(trades) - len(met)
        self.counts["doubled"] += len(met) - len(rows)
        return message_of(rows)

    def _is_new(self, trade_id: str) -> bool:
        """Whether a trade has not been told yet; it has from now on."""
        if trade_id in self._told:
            return False
        self._told[trade_id] = None
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        return True

    def _trade(self, trade: Trade, ingest_ts: int) -> bytes:
        side = BUY if trade.S == "Buy" else SELL
        return self._priced(TRADE, side, trade.p, trade.v, stamp_of(trade.T, ingest_ts, _trade_id(trade.i)))

    def _ticker(self, ticker: Ticker, message: Frame, ingest_ts: int) -> bytes:
        stamp = stamp_of(message.ts, ingest_ts)
        prices = ((MARK, ticker.markPrice), (INDEX, ticker.indexPrice))
        rows = [quote_row(kind, number_of(text), stamp) for kind, text in prices if text]
        rate, next_ms = ticker.fundingRate or self._rate, ticker.nextFundingTime or self._next_ms
        if (rate, next_ms) != (self._rate, self._next_ms) and rate and next_ms:
            rows.append(funding_row(number_of(rate), millis_of(next_ms), stamp))
        self._rate, self._next_ms = rate, next_ms
        self.counts["ticker"] += 1
        return message_of(rows)

    def _liquidations(self, liquidations: list[Liquidation], message: Frame, ingest_ts: int) -> bytes:
        rows = [self._forced(one.S, one.p, one.v, stamp_of(one.T, ingest_ts)) for one in liquidations]
        self.counts["liquidation"] += len(rows)
        return message_of(rows)

    def _old_liquidation(self, one: OldLiquidation, message: Frame, ingest_ts: int) -> bytes:
        row = self._forced(one.side, one.price, one.size, stamp_of(one.updatedTime, ingest_ts))
        self.counts["liquidation"] += 1
        return message_of([row])

    def _forced(self, position: str, price: float, qty: float, stamp: Stamp) -> bytes:
        return self._priced(LIQUIDATION, SELL if position == "Buy" else BUY, price, qty, stamp)


def _trade_id(text: str) -> int:
    """A number that only this trade has: spot's own, or the first 63 bits of a contract's UUID."""
    try:
        own = int(text) if text.isdecimal() else UUID(text).int >> 65
    except ValueError as error:
        raise MalformedMessage(f"trade id {text[:40]!r} is neither a number nor a UUID") from error
    if own >= 2**63:
        raise MalformedMessage(f"trade id {text[:40]!r} lies beyond int64")
    return own
