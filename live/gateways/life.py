"""The life of one order as an exchange tells it: late, twice, out of order; and the reports that follow, once each."""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from market.errors import VenueError
from market.orders import (
    ACKED,
    CANCEL_REJECTED,
    ENDED,
    FILL,
    FOK,
    FOK_SHORT,
    IOC,
    NEVER_ARRIVED,
    NO_REASON,
    NOT_FILLED,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    POST_ONLY,
    VENUE_REFUSED,
    WOULD_CROSS,
)

OVER: Final = ("FILLED", "CANCELED", "EXPIRED", "REJECTED", "EXPIRED_IN_MATCH")


class Standing(NamedTuple):
    """What a venue says about an order at some moment."""

    status: str  # in the venue's words
    filled: int  # lots, of all its fills together
    venue_ts: int  # ns UTC, the venue's clock
    venue_id: int = 0  # the venue's own number of the order


class Trade(NamedTuple):
    """One fill, by the venue's number."""

    trade_id: int
    price: int  # ticks
    qty: int  # lots
    maker: bool
    venue_ts: int


class Told(NamedTuple):
    """A report without the stamps of its receiver."""

    order_id: int
    price: int
    qty: int
    leaves: int
    venue_ts: int
    kind: int
    reason: int
    side: int
    maker: int


@dataclass
class OrderLife:
    """One order. Whatever is heard goes in; what is new of it comes out, in the order that a desk can follow."""

    order_id: int
    side: int
    price: int
    qty: int
    tif: int
    acked: bool = False
    ended: bool = False
    filled: int = 0
    venue_id: int = 0
    trades: set[int] = field(default_factory=set)  # ids of those that were reported
    journalled: list[tuple[int, int]] = field(default_factory=list)  # price and lots of fills whose ids are unknown
    fills: list[tuple[int, int]] = field(default_factory=list)  # price and lots of all that were told
    _over: Standing | None = None  # heard of before the last of its fills

    @property
    def missing(self) -> bool:
        """Whether the venue has spoken of fills that have not been told."""
        return self._over is not None and not self.ended

    def remember(self, report: Any) -> None:
        """Take up a report of the journal, which was told before."""
        kind = int(report["kind"])
        self.acked = self.acked or kind in (ACKED, FILL)
        self.ended = self.ended or kind in ENDED
        if kind == FILL:
            self.filled += int(report["qty"])
            self.journalled.append((int(report["price"]), int(report["qty"])))
            self.fills.append(self.journalled[-1])
            self.ended = self.ended or self.filled == self.qty

    def on_trade(self, trade: Trade) -> list[Told]:
        """A fill; nothing if it has been told.

        Raises VenueError if more is filled than was asked for: nobody knows what we hold then.
        """
        if trade.trade_id in self.trades:
            return []
        self.trades.add(trade.trade_id)
        if (trade.price, trade.qty) in self.journalled:
            self.journalled.remove((trade.price, trade.qty))
            return []
        told = self._accept(trade.venue_ts)
        self.filled += trade.qty
        self.fills.append((trade.price, trade.qty))
        leaves = self.qty - self.filled
        if leaves < 0:
            raise VenueError(f"order {self.order_id} of {self.qty} lots is filled with {self.filled}")
        told.append(self._told(FILL, trade.venue_ts, trade.qty, NO_REASON, trade.price, int(trade.maker)))
        self.ended = self.ended or leaves == 0
        return told + (self.on_standing(self._over) if self._over and not self.ended else [])

    def on_standing(self, standing: Standing) -> list[Told]:
        """News of its state. An end that counts fills not yet told waits for them."""
        self.venue_id = standing.venue_id or self.venue_id
        if self.ended:
            return []
        told = [] if standing.status == "REJECTED" else self._accept(standing.venue_ts)
        if standing.filled > self.filled:
            if self._over is None or standing.status in OVER:
                self._over = standing
            return told
        if self._over is not None and self._over.filled <= self.filled:
            standing, self._over = self._over, None
        if standing.status not in OVER or (standing.status == "FILLED" and self.filled < self.qty):
            return told
        kind, reason = _end_of(standing.status, self.tif)
        return [*told, *self._end(kind, reason, standing.venue_ts)]

    def refused(self, reason: int, ts: int) -> list[Told]:
        """It is not at the venue, and never was."""
        return [] if self.ended else self._end(ORDER_REJECTED, reason, ts)

    def never(self, ts: int) -> list[Told]:
        """Nobody answered, and the venue does not know it."""
        return self.refused(NEVER_ARRIVED, ts)

    def stands(self, reason: int, ts: int) -> list[Told]:
        """A cancel came to nothing."""
        return [self._told(CANCEL_REJECTED, ts, 0, reason, self.price, 0)]

    def _accept(self, ts: int) -> list[Told]:
        if self.acked:
            return []
        self.acked = True
        return [self._told(ACKED, ts, self.qty, NO_REASON, self.price, 0)]

    def _end(self, kind: int, reason: int, ts: int) -> list[Told]:
        self.ended = True
        end = self._told(kind, ts, self.qty - self.filled, reason, self.price, 0)
        return [end._replace(leaves=0)]

    def _told(self, kind: int, ts: int, qty: int, reason: int, price: int, maker: int) -> Told:
        return Told(self.order_id, price, qty, self.qty - self.filled, ts, kind, reason, self.side, maker)


def _end_of(status: str, tif: int) -> tuple[int, int]:
    """Kind and reason of a report, from the venue's word for an end.

    >>> _end_of("EXPIRED", POST_ONLY) == (ORDER_REJECTED, WOULD_CROSS)
    True
    """
    if status == "CANCELED":
        return ORDER_CANCELLED, NO_REASON
    if status == "REJECTED":
        return ORDER_REJECTED, VENUE_REFUSED
    if tif == POST_ONLY:
        return ORDER_REJECTED, WOULD_CROSS
    return ORDER_EXPIRED, {IOC: NOT_FILLED, FOK: FOK_SHORT}.get(tif, VENUE_REFUSED)
