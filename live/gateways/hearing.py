"""Takes in what the account's stream says of orders: of ours each thing once; of others only that they are there."""

from live.gateways.client import on_grid
from live.gateways.life import OVER, OrderLife, Standing, Trade
from live.gateways.line import Line
from live.gateways.news import OrderNews
from live.gateways.orders import Orders
from live.gateways.settling import Settling
from market.errors import VenueError
from market.instrument import Instrument
from market.units import NS_PER_MS


class Hearing:
    """The ear of a gateway: what is said twice, late or out of order comes to the same reports."""

    def __init__(
        self, instrument: Instrument, line: Line, orders: Orders, settling: Settling, counts: dict[str, int]
    ) -> None:
        self._instrument = instrument
        self._line = line
        self._orders = orders
        self._settling = settling
        self._counts = counts

    def on_news(self, news: OrderNews) -> None:
        """Take one message in. Raises VenueError if it contradicts the journal."""
        number = self._line.number_of(news.c)
        if number in self._orders.tellings.given_up and (news.X not in OVER or float(news.z) > 0):
            raise VenueError(f"order {number} was given up as never arrived, and stands at the venue as {news.X}")
        if life := self._orders.life(number):
            self._on_own(life, news)
        elif self._line.is_ours(news.c):
            self._counts["duplicates"] += 1  # of an order long done
        elif news.s == self._instrument.venue_symbol.upper():
            self._counts["foreign"] += 1
            if news.x == "TRADE":
                raise VenueError(f"an order in {self._instrument.name} that is not ours was filled")

    def _on_own(self, life: OrderLife, news: OrderNews) -> None:
        tick, lot, venue_ts = self._instrument.tick_size, self._instrument.lot_size, news.T * NS_PER_MS
        before = self._orders.tellings.told
        if news.x == "TRADE":
            trade = Trade(news.t, on_grid(news.L, tick), on_grid(news.l, lot), news.m, venue_ts)
            self._settling.tell(life.on_trade(trade))
        self._settling.tell(life.on_standing(Standing(news.X, on_grid(news.z, lot), venue_ts, news.i)))
        if self._orders.tellings.told == before:
            self._counts["duplicates"] += 1
