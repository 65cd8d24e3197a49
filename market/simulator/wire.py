"""Binance's words for what happened on a simulated market: frames that its decoder reads back. Stamps are ms UTC."""

import math
from collections.abc import Sequence

import msgspec

from market.events import BUY, SELL
from market.instrument import Instrument

Levels = Sequence[tuple[int, int]]  # price in ticks, lots


class Wire:
    """Frames of one instrument."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.symbol = instrument.venue_symbol.upper()
        self._price_digits = max(0, math.ceil(-math.log10(instrument.tick_size)))
        self._lot_digits = max(0, math.ceil(-math.log10(instrument.lot_size)))

    def snapshot(self, update_id: int, bids: Levels, asks: Levels, ms: int) -> bytes:
        """Answer of the REST endpoint: the whole book, best levels first."""
        body = {"lastUpdateId": update_id, "E": ms, "T": ms, "symbol": self.symbol}
        return msgspec.json.encode(body | {"bids": self._levels(bids), "asks": self._levels(asks)})

    def depth(self, ids: tuple[int, int, int], bids: Levels, asks: Levels, ms: int) -> bytes:
        """Changed levels; ``ids``: last update id of the message before, first and last of this one."""
        previous, first, last = ids
        data = {"e": "depthUpdate", "E": ms, "T": ms, "s": self.symbol, "U": first, "u": last}
        return self._frame("depth@0ms", data | {"pu": previous, "b": self._levels(bids), "a": self._levels(asks)})

    def book_ticker(self, update_id: int, bid: int, bid_lots: int, ask: int, ask_lots: int, ms: int) -> bytes:
        """Best bid and offer."""
        best = {"b": self._price(bid), "B": self._qty(bid_lots), "a": self._price(ask), "A": self._qty(ask_lots)}
        return self._frame("bookTicker", {"u": update_id, "e": "bookTicker", "s": self.symbol, "T": ms, "E": ms} | best)

    def trade(self, number: int, side: int, price: int, lots: int, ms: int) -> bytes:
        """One trade; ``side`` is the aggressor's."""
        data = {"e": "trade", "E": ms, "T": ms, "s": self.symbol, "t": number, "X": "MARKET", "m": side == SELL}
        return self._frame("trade", data | {"p": self._price(price), "q": self._qty(lots)})

    def mark_price(self, mark: int, index: int, rate: int, next_funding_ms: int, ms: int) -> bytes:
        """Mark and index in 1e-8 of quote currency, funding rate in 1e-12."""
        data = {"e": "markPriceUpdate", "E": ms, "s": self.symbol, "p": _eight_digits(mark), "i": _eight_digits(index)}
        return self._frame("markPrice@1s", data | {"r": _eight_digits(rate // 10_000), "T": next_funding_ms})

    def force_order(self, side: int, price: int, lots: int, ms: int) -> bytes:
        """A liquidation."""
        order = {"s": self.symbol, "S": "BUY" if side == BUY else "SELL", "q": self._qty(lots), "p": self._price(price)}
        return self._frame("forceOrder", {"e": "forceOrder", "E": ms, "o": order | {"T": ms}})

    def _price(self, ticks: int) -> str:
        return f"{ticks * self.instrument.tick_size:.{self._price_digits}f}"

    def _qty(self, lots: int) -> str:
        return f"{lots * self.instrument.lot_size:.{self._lot_digits}f}"

    def _levels(self, levels: Levels) -> list[tuple[str, str]]:
        return [(self._price(ticks), self._qty(lots)) for ticks, lots in levels]

    def _frame(self, topic: str, data: dict[str, object]) -> bytes:
        return msgspec.json.encode({"stream": f"{self.instrument.venue_symbol}@{topic}", "data": data})


def _eight_digits(units: int) -> str:
    """Text of a number of 1e-8.

    >>> _eight_digits(-5), _eight_digits(6_177_360_000_001)
    ('-0.00000005', '61773.60000001')
    """
    sign = "-" if units < 0 else ""
    return f"{sign}{abs(units) // 10**8}.{abs(units) % 10**8:08d}"
