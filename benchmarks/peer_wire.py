"""What a careful client of websockets and orjson does to learn as much of Binance's streams as our decoder does.

The same rows of eight int64 words come out, bit for bit, by plain Python over what ``orjson.loads`` gives.
"""

from array import array
from collections.abc import Callable
from typing import Any

from market.events import BBO, BUY, FIRST, LAST, LEVEL, REPLAYED, SELL, SNAPSHOT, TRADE
from market.instrument import GRID_TOLERANCE, Instrument

Message = dict[str, Any]
_MS = 1_000_000  # ns
_SELL_BITS = (SELL & 0xFF) << 8
_BUY_BITS = BUY << 8


class PeerDecoder:
    """Depth in sequence, best bids and offers, and trades of one USD-M symbol."""

    def __init__(self, instrument: Instrument, loads: Callable[[bytes], Any]) -> None:
        self.words = array("q")
        self.gaps = 0
        self._loads = loads
        self._tick, self._lot = instrument.tick_size, instrument.lot_size
        self._symbol = instrument.venue_symbol
        self._newest, self._waiting, self._joined = 0, True, False
        self._held: list[Message] = []

    def take(self, frame: bytes, ingest_ts: int) -> None:
        """Read one frame."""
        message = self._loads(frame)
        if "stream" not in message:
            self._snapshot(message, ingest_ts)
            return
        symbol, _, topic = message["stream"].partition("@")
        if symbol != self._symbol:
            raise ValueError(f"stream of {symbol}")
        data = message["data"]
        if topic == "bookTicker":
            self._best(data, ingest_ts)
        elif topic == "trade":
            self._trade(data, ingest_ts)
        elif topic.startswith("depth"):
            self._depth(data, ingest_ts)

    def _best(self, data: Message, ingest_ts: int) -> None:
        at, number = data["T"] * _MS, data["u"]
        bid, ask = (BBO | _BUY_BITS | FIRST << 16), (BBO | _SELL_BITS | LAST << 16)
        self.words.extend((bid, at, ingest_ts, 0, 0, self._ticks(data["b"]), self._lots(data["B"]), number))
        self.words.extend((ask, at, ingest_ts, 0, 0, self._ticks(data["a"]), self._lots(data["A"]), number))

    def _trade(self, data: Message, ingest_ts: int) -> None:
        if data.get("X", "MARKET") != "MARKET":
            return
        word = TRADE | (_SELL_BITS if data["m"] else _BUY_BITS) | (FIRST | LAST) << 16
        ticks, lots = self._ticks(data["p"]), self._lots(data["q"])
        self.words.extend((word, data["T"] * _MS, ingest_ts, 0, 0, ticks, lots, data["t"]))

    def _depth(self, data: Message, ingest_ts: int) -> None:
        if self._waiting:
            self._held.append(data)
        elif data["u"] > self._newest:
            self._apply(data, ingest_ts)

    def _apply(self, data: Message, ingest_ts: int, flags: int = 0) -> None:
        previous = data["pu"]
        if previous != self._newest if self._joined else previous > self._newest:
            self.gaps += 1
            self._waiting = True
            self._held = [data]
            return
        self._newest, self._joined = data["u"], True
        self._levels(LEVEL | flags << 16, data["b"], data["a"], data["T"] * _MS, ingest_ts, data["u"])

    def _snapshot(self, data: Message, ingest_ts: int) -> None:
        self._newest, self._waiting, self._joined = data["lastUpdateId"], False, False
        self._levels(SNAPSHOT, data["bids"], data["asks"], data["T"] * _MS, ingest_ts, self._newest)
        held, self._held = self._held, []
        for message in held:
            if message["u"] > self._newest:
                self._apply(message, ingest_ts, REPLAYED)

    def _levels(self, kind: int, bids: list[Any], asks: list[Any], at: int, ingest_ts: int, number: int) -> None:
        if not bids and not asks:
            return
        first = len(self.words)
        extend, ticks_of, lots_of = self.words.extend, self._ticks, self._lots
        for word, side in ((kind | _BUY_BITS, bids), (kind | _SELL_BITS, asks)):
            for price, qty in side:
                extend((word, at, ingest_ts, 0, 0, ticks_of(price), lots_of(qty), number))
        self.words[first] |= FIRST << 16
        self.words[-8] |= LAST << 16

    def _ticks(self, price: str) -> int:
        return _whole(float(price) / self._tick)

    def _lots(self, qty: str) -> int:
        return _whole(float(qty) / self._lot)


def _whole(steps: float) -> int:
    whole = round(steps)
    if not -GRID_TOLERANCE < steps - whole < GRID_TOLERANCE:
        raise ValueError(f"{steps} steps")
    return whole
