"""A book of the venue's own texts, kept where a venue sends a checksum of its best levels."""

import bisect
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from market.sources.venue import number_of

LEVELS: Final = 25  # a side that the checksum covers

Texts = Iterable[tuple[str, str]]  # price, quantity; "0" removes the level


class TextBook:
    """Two sides of price and quantity as they were sent, best first."""

    def __init__(self) -> None:
        self._bids, self._asks = _Side(-1), _Side(1)

    def clear(self) -> None:
        """Forget every level."""
        self._bids, self._asks = _Side(-1), _Side(1)

    def update(self, bids: Texts, asks: Texts) -> None:
        """Set levels, or remove them."""
        self._bids.update(bids)
        self._asks.update(asks)

    def checksum(self) -> int:
        """Signed CRC32 of ``bid:qty:ask:qty:...`` over the best LEVELS of both sides in turn.

        >>> book = TextBook()
        >>> book.update([("3366.1", "7"), ("3366", "6")], [("3366.8", "9")])
        >>> book.checksum() == zlib.crc32(b"3366.1:7:3366.8:9:3366:6") - 2**32
        True
        """
        bids, asks = list(self._bids.best(LEVELS)), list(self._asks.best(LEVELS))
        parts = []
        for place in range(max(len(bids), len(asks))):
            parts += bids[place : place + 1] + asks[place : place + 1]
        unsigned = zlib.crc32(":".join(parts).encode())
        return unsigned - 2**32 if unsigned >= 2**31 else unsigned

    def state(self) -> dict[str, list[str]]:
        """Every level as ``price:quantity``."""
        return {"bids": list(self._bids.best(None)), "asks": list(self._asks.best(None))}

    def restore(self, bids: Iterable[str], asks: Iterable[str]) -> None:
        """Continue where ``state`` was taken."""
        self.clear()
        self.update(*([(text.partition(":")[0], text.partition(":")[2]) for text in side] for side in (bids, asks)))


class _Side:
    """Levels in the order of ``sign`` x price."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[float] = []
        self._texts: dict[float, str] = {}

    def update(self, levels: Texts) -> None:
        for price, qty in levels:
            key = self._sign * number_of(price)
            known = key in self._texts
            if number_of(qty) != 0:
                if not known:
                    bisect.insort(self._keys, key)
                self._texts[key] = f"{price}:{qty}"
            elif known:
                del self._texts[key]
                del self._keys[bisect.bisect_left(self._keys, key)]

    def best(self, count: int | None) -> Iterator[str]:
        return (self._texts[key] for key in self._keys[:count])
