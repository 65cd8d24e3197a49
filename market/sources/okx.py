"""OKX v5 swaps, futures and spot: public WebSocket channels.

The book: ``snapshot`` is the whole of it; each update's ``prevSeqId`` is the ``seqId`` of the one before (equal ids
say that nothing changed). Where a checksum is sent it must hold as well. Anything else is a gap, and the book stays
closed until the next snapshot. One that comes while a book is open follows a lost connection: a gap stands before it.
In maintenance the venue begins its ids anew with an update whose ``seqId`` is below its ``prevSeqId``: the chain goes
on, and the events' ids are moved up so that they never fall.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from msgspec.json import Decoder as JsonDecoder

from market.errors import MalformedMessage
from market.events import BBO, BUY, INDEX, LEVEL, LIQUIDATION, MARK, SELL, SNAPSHOT, TRADE
from market.instrument import Instrument
from market.sources.checksum import TextBook
from market.sources.decoder import DecoderState, Levels, Stamp, level_rows
from market.sources.okx_messages import (
    Frame,
    FundingRate,
    IndexTicker,
    Liquidations,
    MarkPrice,
    OrderBook,
    TextLevels,
    Trade,
)
from market.sources.venue import VenueDecoder, funding_row, gap_row, message_of, number_of, quote_row, stamp_of

_BOOKS: Final = frozenset({"books", "books-l2-tbt", "books50-l2-tbt"})
_SIDES: Final = {"buy": BUY, "sell": SELL}
_COUNTS: Final = (
    "snapshot",
    "depth",
    "bbo",
    "trade",
    "markPrice",
    "indexTicker",
    "fundingRate",
    "liquidation",
    "unknown",  # channels that no reader knows, and replies to requests
    "other",  # messages of other instruments
    "gaps",  # breaks of the sequence and checksums that do not hold
    "checksums",  # that did not hold
    "superseded",  # depth messages that the book already held
    "unjoined",  # depth messages that came while there was no book
    "resets",  # of the sequence, in maintenance
)


class OkxDecoder(VenueDecoder):
    """Decoder of one OKX instrument; see ``market.sources.decoder.Decoder``."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument, _COUNTS)
        self._index = "-".join(instrument.venue_symbol.split("-")[:2])
        self._waiting = True
        self._channel = ""  # of the book
        self._newest: int | None = None  # seqId of the newest depth message; None: none is sent
        self._lift = 0  # added to the venue's ids
        self._checked = False  # whether this book comes with checksums
        self._texts = TextBook()
        self._read_frame = JsonDecoder(Frame)
        self._read_books = JsonDecoder(list[OrderBook], strict=False)
        self._channels: dict[str, tuple[JsonDecoder[Any], Callable[[Any, int], bytes]]] = {
            "trades": (JsonDecoder(list[Trade], strict=False), self._trades),
            "mark-price": (JsonDecoder(list[MarkPrice], strict=False), self._mark_prices),
            "index-tickers": (JsonDecoder(list[IndexTicker], strict=False), self._index_tickers),
            "funding-rate": (JsonDecoder(list[FundingRate], strict=False), self._funding_rates),
            "liquidation-orders": (JsonDecoder(list[Liquidations], strict=False), self._liquidations),
            "bbo-tbt": (self._read_books, self._touches),
        }

    @property
    def waiting(self) -> bool:
        """Whether the book waits for a snapshot."""
        return self._waiting

    def state(self) -> DecoderState:
        """Place in the sequence, and the texts that checksums are made of."""
        return {
            "waiting": int(self._waiting),
            "channel": self._channel,
            "newest": -1 if self._newest is None else self._newest,
            "lift": self._lift,
            "checked": int(self._checked),
            **self._texts.state(),
        }

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken."""
        newest = int(cast(int, state["newest"]))
        self._waiting = bool(state["waiting"])
        self._channel = str(state["channel"])
        self._newest = None if newest < 0 else newest
        self._lift = int(cast(int, state["lift"]))
        self._checked = bool(state["checked"])
        self._texts.restore(cast(list[str], state["bids"]), cast(list[str], state["asks"]))

    def _rows(self, frame: bytes, ingest_ts: int) -> bytes:
        message = self._read_frame.decode(frame)
        channel, name = message.arg.channel, message.arg.instId
        if message.event or (channel not in _BOOKS and channel not in self._channels):
            self.counts["unknown"] += 1
            return b""
        wanted = self._index if channel == "index-tickers" else self.instrument.venue_symbol
        if name and name.lower() != wanted:
            self.counts["other"] += 1
            return b""
        if channel in _BOOKS:
            return self._order_book(message, self._read_books.decode(message.data), ingest_ts)
        json, rows_of = self._channels[channel]
        return rows_of(json.decode(message.data), ingest_ts)

    def _order_book(self, message: Frame, books: list[OrderBook], ingest_ts: int) -> bytes:
        if self._channel and message.arg.channel != self._channel:
            self.counts["unknown"] += 1
            return b""
        if len(books) != 1:
            raise MalformedMessage(f"{len(books)} books in one message of {message.arg.channel}")
        if message.action == "snapshot":
            return self._snapshot(message.arg.channel, books[0], ingest_ts)
        if message.action != "update":
            raise MalformedMessage(f"action={message.action!r} is neither snapshot nor update")
        return self._update(books[0], ingest_ts)

    def _snapshot(self, channel: str, book: OrderBook, ingest_ts: int) -> bytes:
        """The whole book, behind a gap where one was open; of nothing, a gap."""
        stamp = self._stamp(book, ingest_ts, self._lift)
        rows = level_rows(SNAPSHOT, _levels(book.bids), _levels(book.asks), stamp, self.instrument)
        gap = b"" if rows and self._waiting else self._broken(stamp)
        self.counts["snapshot"] += 1
        self._channel, self._newest = channel, book.seqId
        self._checked = book.checksum != 0
        self._texts.clear()
        return gap + self._checked_rows(book, rows, stamp) if rows else gap

    def _update(self, book: OrderBook, ingest_ts: int) -> bytes:
        continues = book.prevSeqId == self._newest
        lift = self._lift + book.restart if continues else self._lift
        stamp = self._stamp(book, ingest_ts, lift)
        rows = level_rows(LEVEL, _levels(book.bids), _levels(book.asks), stamp, self.instrument)
        self.counts["depth"] += 1
        if self._waiting:
            self.counts["unjoined"] += 1
            return b""
        if not continues:
            return self._out_of_order(book, stamp)
        self.counts["resets"] += lift != self._lift
        self._newest, self._lift = book.seqId, lift
        return self._checked_rows(book, rows, stamp)

    def _out_of_order(self, book: OrderBook, stamp: Stamp) -> bytes:
        """Nothing where the book already holds the message, else a gap."""
        if book.seqId is not None and self._newest is not None and book.seqId <= self._newest and not book.restart:
            self.counts["superseded"] += 1
            return b""
        return self._broken(stamp)

    def _checked_rows(self, book: OrderBook, rows: bytes, stamp: Stamp) -> bytes:
        """``rows`` where the checksum holds, or there is none."""
        if self._checked:
            self._texts.update(_texts(book.bids), _texts(book.asks))
            if book.checksum not in (0, self._texts.checksum()):
                self.counts["checksums"] += 1
                return self._broken(stamp)
        self._waiting = False
        return rows

    def _broken(self, stamp: Stamp) -> bytes:
        """A gap, which bears the newest id of the book that it closes."""
        self._waiting = True
        self.counts["gaps"] += 1
        return gap_row(stamp._replace(update_id=_lifted(self._newest, self._lift)))

    def _stamp(self, book: OrderBook, ingest_ts: int, lift: int) -> Stamp:
        return stamp_of(book.ts, ingest_ts, _lifted(book.seqId, lift))

    def _touches(self, books: list[OrderBook], ingest_ts: int) -> bytes:
        rows = [
            self._priced(BBO, side, price, qty, self._stamp(book, ingest_ts, self._lift))
            for book in books
            for side, levels in ((BUY, book.bids), (SELL, book.asks))
            for price, qty in _levels(levels)
        ]
        self.counts["bbo"] += len(books)
        return message_of(rows)

    def _trades(self, trades: list[Trade], ingest_ts: int) -> bytes:
        rows = [
            self._priced(TRADE, _SIDES[one.side], one.px, one.sz, stamp_of(one.ts, ingest_ts, one.tradeId))
            for one in trades
        ]
        self.counts["trade"] += len(rows)
        return message_of(rows)

    def _mark_prices(self, marks: list[MarkPrice], ingest_ts: int) -> bytes:
        rows = [quote_row(MARK, one.markPx, stamp_of(one.ts, ingest_ts)) for one in marks]
        self.counts["markPrice"] += len(rows)
        return message_of(rows)

    def _index_tickers(self, tickers: list[IndexTicker], ingest_ts: int) -> bytes:
        rows = [quote_row(INDEX, one.idxPx, stamp_of(one.ts, ingest_ts)) for one in tickers]
        self.counts["indexTicker"] += len(rows)
        return message_of(rows)

    def _funding_rates(self, rates: list[FundingRate], ingest_ts: int) -> bytes:
        rows = [funding_row(one.fundingRate, one.fundingTime, stamp_of(one.ts, ingest_ts)) for one in rates]
        self.counts["fundingRate"] += len(rows)
        return message_of(rows)

    def _liquidations(self, each: list[Liquidations], ingest_ts: int) -> bytes:
        rows = [
            self._priced(LIQUIDATION, _SIDES[one.side], one.bkPx, one.sz, stamp_of(one.ts, ingest_ts))
            for several in each
            if self._ours(several.instId)
            for one in several.details
        ]
        self.counts["liquidation" if rows else "other"] += len(rows) or 1
        return message_of(rows)


def _lifted(seq_id: int | None, lift: int) -> int:
    return 0 if seq_id is None else seq_id + lift


def _levels(texts: TextLevels) -> Levels:
    return [(number_of(price), number_of(qty)) for price, qty, _, _ in texts]


def _texts(levels: TextLevels) -> list[tuple[str, str]]:
    return [(price, qty) for price, qty, _, _ in levels]
