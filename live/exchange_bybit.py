"""A tape in Bybit's words: order books from the rebuilt one, trades and tickers from the events of the frames."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np

from live.connectors.binance_api import decimals, is_depth
from live.connectors.bybit_dialect import CATEGORIES
from live.exchange_book import VenueBook
from live.exchange_tape import TapeFrame
from market.book import ASK, BID
from market.errors import MalformedMessage, OffGrid
from market.events import BUY, FUNDING, INDEX, LIQUIDATION, MARK, PRICE_UNIT, RATE_UNIT, TRADE, Events
from market.instrument import Instrument
from market.sources import decoder_for

DEPTHS: Final = (50, 200)  # levels a side that one may subscribe to
_MS: Final = 1_000_000  # ns
_FIRST: Final = 2  # update id of a fresh ladder; 1 would say that the service began anew

Side = dict[int, int]  # ticks -> lots


class Ladder:
    """The best levels of a book as last told, and the number of that message."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.update_id = _FIRST
        self.told: tuple[Side, Side] = ({}, {})

    def changes(self, book: VenueBook) -> tuple[Side, Side] | None:
        """What has changed since it was last told, 0 lots for levels that are gone; None where nothing has."""
        before, self.told = self.told, (book.levels(BID, self.depth), book.levels(ASK, self.depth))
        bids, asks = (_difference(old, new) for old, new in zip(before, self.told, strict=True))
        if not bids and not asks:
            return None
        self.update_id += 1
        return bids, asks


class BybitVoice:
    """See ``live.exchange_voice.Voice``."""

    def __init__(self, instrument: Instrument, tape: Instrument, book: VenueBook) -> None:
        self.instrument = instrument
        self.category = CATEGORIES[instrument.venue]
        self.symbol = instrument.venue_symbol.upper()
        self.ladders = {self.stream(f"orderbook.{depth}"): Ladder(depth) for depth in DEPTHS}
        self.topic_names = [*(f"orderbook.{depth}" for depth in DEPTHS), "publicTrade", "tickers", "allLiquidation"]
        self._book = book
        self._decoder = decoder_for(tape)
        self._price_digits, self._qty_digits = decimals(instrument.tick_size), decimals(instrument.lot_size)
        self._ticker: dict[str, str] = {}

    def stream(self, topic: str) -> str:
        """The key of a topic of this symbol among all streams of the venue."""
        return f"{self.category}:{topic}.{self.symbol}"

    def sayings(self, frame: TapeFrame, wanted: Callable[[str], bool]) -> list[tuple[str, bytes, bool]]:
        """The messages that a frame leads to."""
        if not frame.stream:
            return []
        if is_depth(frame.stream):
            told = [(stream, self._delta(stream, ladder)) for stream, ladder in self.ladders.items() if wanted(stream)]
            return [(stream, data, True) for stream, data in told if data]
        try:
            events = self._decoder.decode(frame.data, frame.ts)
        except (MalformedMessage, OffGrid):
            return []  # the book's own decoder counts what cannot be read
        return [saying for saying in (self._trades(events), self._tickers(events), self._forced(events)) if saying]

    def first_words(self, stream: str, wanted: Callable[[str], bool], now_ms: int) -> list[bytes]:
        """What a new subscriber of a stream hears first: the whole book, or all that is known of the ticker.

        ``wanted``: by others, who have heard all changes so far.
        """
        if stream in self.ladders and self._book.whole:
            ladder = self.ladders[stream]
            if not wanted(stream):
                ladder.changes(self._book)
            return [self._order_book(stream, "snapshot", ladder.told)]
        if stream == self.stream("tickers") and self._ticker:
            return [self._ticker_message("snapshot", self._ticker, now_ms)]
        return []

    def _delta(self, stream: str, ladder: Ladder) -> bytes | None:
        """What has changed; a book that could not be told before, whole."""
        if not self._book.whole:
            return None
        type = "delta" if any(ladder.told) else "snapshot"
        changes = ladder.changes(self._book)
        return self._order_book(stream, type, changes) if changes else None

    def _order_book(self, stream: str, type: str, sides: tuple[Side, Side]) -> bytes:
        bids, asks = (self._texts(side) for side in sides)
        book = {"s": self.symbol, "b": bids[::-1], "a": asks}
        data = {**book, "u": self.ladders[stream].update_id, "seq": self._book.newest_id}
        sent_ms, matched_ms = self._book.stamps_ms()
        topic = stream.partition(":")[2]
        return msgspec.json.encode({"topic": topic, "type": type, "ts": sent_ms, "data": data, "cts": matched_ms})

    def _trades(self, events: Events) -> tuple[str, bytes, bool] | None:
        trades = [self._trade(event) for event in events[events["kind"] == TRADE]]
        if not trades:
            return None
        body = {"topic": f"publicTrade.{self.symbol}", "type": "snapshot", "ts": trades[-1]["T"], "data": trades}
        return self.stream("publicTrade"), msgspec.json.encode(body), False

    def _trade(self, event: np.void) -> dict[str, Any]:
        number = int(event["update_id"])
        return {
            "T": int(event["exchange_ts"]) // _MS,
            "s": self.symbol,
            "S": "Buy" if event["side"] == BUY else "Sell",
            "v": self._qty(int(event["qty"])),
            "p": self._price(int(event["price"])),
            "L": "ZeroPlusTick",
            "i": str(number) if self.category == "spot" else str(UUID(int=number << 65)),
            "BT": False,
            "RPI": False,
            "seq": self._book.newest_id,
        }

    def _tickers(self, events: Events) -> tuple[str, bytes, bool] | None:
        told: dict[str, str] = {}
        for event in events:
            if event["kind"] in (MARK, INDEX):
                name = "markPrice" if event["kind"] == MARK else "indexPrice"
                told[name] = f"{event['price'] * PRICE_UNIT:.8f}"
            elif event["kind"] == FUNDING:
                told["fundingRate"] = f"{event['price'] * RATE_UNIT:.12f}"
                told["nextFundingTime"] = str(int(event["qty"]) // _MS)
        if not told or self.category == "spot":
            return None
        type = "delta" if self._ticker else "snapshot"
        self._ticker |= told
        return self.stream("tickers"), self._ticker_message(type, told, int(events["exchange_ts"][-1]) // _MS), False

    def _ticker_message(self, type: str, told: dict[str, str], ts_ms: int) -> bytes:
        data = {"symbol": self.symbol, **told}
        body = {"topic": f"tickers.{self.symbol}", "type": type, "data": data, "cs": self._book.newest_id, "ts": ts_ms}
        return msgspec.json.encode(body)

    def _forced(self, events: Events) -> tuple[str, bytes, bool] | None:
        forced = [
            {
                "T": int(event["exchange_ts"]) // _MS,
                "s": self.symbol,
                "S": "Sell" if event["side"] == BUY else "Buy",  # the position's side
                "v": self._qty(int(event["qty"])),
                "p": self._price(int(event["price"])),
            }
            for event in events[events["kind"] == LIQUIDATION]
        ]
        if not forced:
            return None
        body = {"topic": f"allLiquidation.{self.symbol}", "type": "snapshot", "ts": forced[-1]["T"], "data": forced}
        return self.stream("allLiquidation"), msgspec.json.encode(body), False

    def _texts(self, side: Side) -> list[tuple[str, str]]:
        return [(self._price(ticks), self._qty(lots)) for ticks, lots in sorted(side.items())]

    def _price(self, ticks: int) -> str:
        return f"{ticks * self.instrument.tick_size:.{self._price_digits}f}"

    def _qty(self, lots: int) -> str:
        return f"{lots * self.instrument.lot_size:.{self._qty_digits}f}" if lots else "0"


def _difference(old: Side, new: Side) -> Side:
    gone = dict.fromkeys((ticks for ticks in old if ticks not in new), 0)
    return gone | {ticks: lots for ticks, lots in new.items() if old.get(ticks) != lots}
