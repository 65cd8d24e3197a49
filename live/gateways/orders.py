"""The orders of one desk at an exchange, from their sending to their end, and all that is told of them."""

import asyncio
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from live.gateways.life import OrderLife
from live.gateways.tellings import Tellings
from market.orders import Reports

REMEMBERED: Final = 4_096  # orders


class Orders:
    """What was sent, what the venue has answered, and what nobody knows yet."""

    def __init__(self) -> None:
        self.tellings = Tellings()
        self._lives: dict[int, OrderLife] = {}
        self._deadlines: dict[int, float] = {}  # monotonic s, when an order that is unknown can no longer arrive
        self._answered: dict[int, asyncio.Event] = {}  # the venue, or our asking, has settled its placement

    @property
    def alive(self) -> list[OrderLife]:
        """Orders whose end has not been told."""
        return [life for life in self._lives.values() if not life.ended]

    @property
    def unsettled(self) -> int:
        """Orders of which we do not know what the venue made of them: unanswered, or with fills still missing."""
        return sum(life.missing or not self._answered[life.order_id].is_set() for life in self.alive)

    def life(self, order_id: int) -> OrderLife | None:
        """An order, None where it never came here, or is long done."""
        return self._lives.get(order_id)

    def add(self, order_id: int, side: int, price: int, qty: int, tif: int) -> OrderLife:
        """A new order, whose placement nobody has answered."""
        self._forget()
        life = self._lives[order_id] = OrderLife(order_id, side, price, qty, tif)
        self.tellings.follow(OrderLife(order_id, side, price, qty, tif))
        self._answered[order_id] = asyncio.Event()
        return life

    def expect(self, life: OrderLife, seconds: float) -> None:
        """An order may still arrive at the venue for so long."""
        self._deadlines[life.order_id] = time.monotonic() + seconds

    def expected(self, life: OrderLife, asked_s: float) -> bool:
        """Whether an order could still arrive when the venue was asked, monotonic s."""
        return asked_s <= self._deadlines[life.order_id]

    def settle(self, life: OrderLife) -> None:
        """It is known what the venue made of an order's placement."""
        self._answered[life.order_id].set()

    async def settled(self, life: OrderLife) -> None:
        """Return once that is known."""
        await self._answered[life.order_id].wait()

    def hear(self, reports: Reports) -> None:
        """Take reports out of the journal: they are handed out next, as they were then."""
        for report in reports:
            life = self._lives.get(int(report["order_id"]))
            if life is not None:  # None: its end was handed out before the snapshot that we go on from
                life.remember(report)
        self.tellings.hear(reports)

    def dump(self) -> dict[str, NDArray[np.int64]]:
        """What a snapshot beside the journal has to keep."""
        return self.tellings.dump()

    def load(self, arrays: dict[str, NDArray[np.int64]]) -> None:
        """Go on from a ``dump``, as if the journal up to there had been heard."""
        self.tellings.load(arrays["totals"])
        for order_id, side, price, qty, tif, acked, filled in arrays["orders"].tolist():
            self.add(order_id, side, price, qty, tif)
            for life in self._both(order_id):
                life.acked, life.filled = bool(acked), filled
        for order_id, price, qty in arrays["fills"].tolist():
            for life in self._both(order_id):
                life.journalled.append((price, qty))
                life.fills.append((price, qty))

    def _both(self, order_id: int) -> tuple[OrderLife, OrderLife]:
        """An order as it is, and as far as its reports were handed out."""
        return self._lives[order_id], self.tellings.seen(order_id)

    def _forget(self) -> None:
        """Let go of orders long done."""
        if len(self._lives) < REMEMBERED:
            return
        done = [order_id for order_id, life in self._lives.items() if life.ended][: REMEMBERED // 2]
        for order_id in done:
            for table in (self._lives, self._answered, self._deadlines):
                table.pop(order_id, None)
