"""Brings journal and venue together whenever the account's stream comes up: orders, then what is held."""

import asyncio

from live.gateways.client import Holding
from live.gateways.life import Told
from live.gateways.line import Line
from live.gateways.orders import Orders
from live.gateways.settling import Settling
from market.errors import NoAnswer, RefusedForNow, VenueError
from market.events import BUY, SELL
from market.instrument import Instrument
from market.orders import NO_REASON, OPENING


class Reconciling:
    """Settles with the venue whatever the journal leaves open."""

    def __init__(self, instrument: Instrument, line: Line, orders: Orders, settling: Settling) -> None:
        self._instrument = instrument
        self._line = line
        self._orders = orders
        self._settling = settling

    async def patiently(self) -> None:
        """Reconcile; where the venue does not answer, from the beginning again.

        Raises VenueError if venue and journal contradict each other.
        """
        while True:
            try:
                return await self._once()
            except (NoAnswer, RefusedForNow) as silence:
                await asyncio.sleep(self._settling.on_silence(silence))

    async def _once(self) -> None:
        """Settle every order whose end is open; then orders and position must be those that we know of."""
        for life in self._orders.alive:
            await self._settling.resolve(life)
            self._orders.settle(life)
        await self._require_known_orders()
        holding, before = await self._line.client.holding(), self._orders.tellings.position
        if self._line.adopts and self._orders.tellings.told == 0 and holding.lots:
            self._adopt(holding)
        for life in self._orders.alive:
            await self._settling.settle(life)
        if holding.lots not in (before, position := self._orders.tellings.position):
            raise VenueError(
                f"the venue holds {holding.lots} lots of {self._instrument.name}, the journal {position}; "
                "a new journal takes a position over with --adopt-position"
            )

    async def _require_known_orders(self) -> None:
        """One whose end was told must not work at the venue. Raises VenueError if it does, or a stranger's."""
        known = {self._line.client_id(life.order_id) for life in self._orders.alive}
        foreign = [order for order in await self._line.client.open_orders() if order.client_id not in known]
        if foreign:
            raise VenueError(f"{len(foreign)} orders work in {self._instrument.name} that the journal does not know")

    def _adopt(self, holding: Holding) -> None:
        """Tell of the position as it was found; the journal's first report, so that a replay begins with it."""
        side, lots = (BUY, holding.lots) if holding.lots > 0 else (SELL, -holding.lots)
        now = self._line.calls.now()
        self._settling.tell([Told(0, holding.entry_price, lots, 0, now, OPENING, NO_REASON, side, 0)])
