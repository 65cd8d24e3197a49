"""The replay venue's own book, rebuilt from the depth of the capture, and its answers about it."""

from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np

from live.connectors.binance_api import decimals, is_depth
from live.exchange_tape import TapeFrame
from market.book import ASK, BID, DEPTH_ID, apply_events, new_book, top_levels
from market.errors import MalformedMessage, OffGrid
from market.instrument import Instrument
from market.sources import decoder_for

_SPOT_LOT: Final = 1e-8  # old orders rest on spot with quantities finer than today's lots
_MS: Final = 1_000_000  # ns


class _Stamps(msgspec.Struct):
    E: int = 0  # sent by the venue, ms UTC
    T: int = 0  # matched, ms UTC; spot has none


class _Depth(msgspec.Struct):
    data: _Stamps


class VenueBook:
    """Depth and snapshots of the tape up to now; best bids and offers are ahead of the ids and stay out."""

    def __init__(self, instrument: Instrument) -> None:
        wire = replace(instrument, lot_size=_SPOT_LOT) if instrument.contract == "spot" else instrument
        self.instrument = wire
        self._lot_size = instrument.lot_size
        self.unreadable = 0  # frames that the decoder refused
        self._decoder = decoder_for(wire)
        self._book = new_book()
        self._newest: TapeFrame | None = None  # depth message

    @property
    def whole(self) -> bool:
        """Whether there has been a snapshot, and no break since."""
        return not self._decoder.waiting

    def apply(self, frame: TapeFrame) -> None:
        """Take in one frame of the tape; what says nothing of depth is passed over."""
        if frame.stream and not is_depth(frame.stream):
            return
        try:
            events = self._decoder.decode(frame.data, frame.ts)
        except (MalformedMessage, OffGrid):
            self.unreadable += 1
            return
        apply_events(self._book, events)
        if frame.stream:
            self._newest = frame

    def lead_ms(self) -> int:
        """How far the venue's clock is ahead of the recorder's, ms, by the newest depth message; 0 before one."""
        return self._stamps().E - self._newest.ts // _MS if self._newest else 0

    @property
    def newest_id(self) -> int:
        """Id of the newest depth in the book."""
        return int(self._book[2][DEPTH_ID])

    def stamps_ms(self) -> tuple[int, int]:
        """When the venue sent the newest depth, and when it matched what it tells, ms UTC."""
        stamps = self._stamps()
        return stamps.E, stamps.T or stamps.E

    def levels(self, row: int, limit: int) -> dict[int, int]:
        """Lots by ticks of the best ``limit`` levels of a side, BID or ASK; lots of the instrument as it is traded."""
        prices, lots = self._top(row, limit)
        return dict(zip(prices, (self._in_lots(count) for count in lots), strict=True))

    def snapshot(self, limit: int, symbol: str) -> dict[str, Any]:
        """Binance's REST answer: the best ``limit`` levels a side and the id of the newest depth in them."""
        answer: dict[str, Any] = {"lastUpdateId": int(self._book[2][DEPTH_ID])}
        if self.instrument.contract != "spot":
            stamps = self._stamps()
            answer |= {"E": stamps.E, "T": stamps.T}
        if self.instrument.inverse:
            answer |= {"symbol": symbol.upper(), "pair": symbol.upper().partition("_")[0]}
        return answer | {"bids": self._side(BID, limit), "asks": self._side(ASK, limit)}

    def _stamps(self) -> _Stamps:
        return msgspec.json.decode(self._newest.data, type=_Depth).data if self._newest else _Stamps()

    def _side(self, row: int, limit: int) -> list[tuple[str, str]]:
        prices, lots = self._top(row, limit)
        tick, lot = self.instrument.tick_size, self.instrument.lot_size
        price_digits, qty_digits = decimals(tick), decimals(lot)
        return [
            (f"{price * tick:.{price_digits}f}", f"{qty * lot:.{qty_digits}f}")
            for price, qty in zip(prices, lots, strict=True)
        ]

    def _top(self, row: int, limit: int) -> tuple[list[int], list[int]]:
        prices, lots = np.zeros(limit, np.int64), np.zeros(limit, np.int64)
        count = top_levels(self._book, row, prices, lots)
        return prices[:count].tolist(), lots[:count].tolist()

    def _in_lots(self, count: int) -> int:
        return round(count * self.instrument.lot_size / self._lot_size)
