"""Opens the order side of a replay venue beside its feed: the kernel follows the tape's frames as they leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from backtest.parameters import VenueParameters
from config.settings import Settings
from live.exchange import Exchange
from live.exchange_account import Account
from live.exchange_bybit_orders import BybitOrderVenue
from live.exchange_order_doors import AccountStreams, OrderDoors
from live.exchange_orders import OrderVenue
from live.exchange_spot_orders import SpotOrderVenue
from live.exchange_tape import TapeFrame
from live.gateways.permission import KEY, LOOPBACK, SECRET
from market.instrument import Instrument
from market.parameters import ClockParameters
from market.reader import FrameReader

LISTENS: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Offer:
    """Whose orders a venue takes, how it fills them, and where it listens for them."""

    account: Account
    parameters: VenueParameters
    clock: ClockParameters
    ports: tuple[int, int]  # WebSocket and REST, 0 for a free one


def offer_of(settings: Settings, environment: Mapping[str, str]) -> Offer | None:
    """The account of the environment's keys, at the ports of ``live.orders`` where they are of this machine.

    None without keys: the venue then takes no orders.
    """
    key, secret = environment.get(KEY, ""), environment.get(SECRET, "")
    if not key or not secret:
        return None
    urls = [urlsplit(url) for url in (settings.live.orders.ws_url, settings.live.orders.rest_url)]
    ws, rest = (url.port or 0 if url.hostname in LOOPBACK else 0 for url in urls)
    return Offer(Account(key, secret), settings.venue, settings.clock, (ws, rest))


def order_venue(instrument: Instrument) -> type[OrderVenue]:
    """The order side of the instrument's venue."""
    if instrument.venue.startswith("bybit"):
        return BybitOrderVenue
    return SpotOrderVenue if instrument.contract == "spot" else OrderVenue


class OrderSide:
    """One account at one venue."""

    def __init__(self, exchange: Exchange, instrument: Instrument, offer: Offer) -> None:
        self.streams = AccountStreams()
        self.venue = order_venue(instrument)(
            instrument, offer.parameters, offer.account, exchange.now, self.streams.send
        )
        self.doors = OrderDoors(self.venue, self.streams)
        self._reader = FrameReader(exchange.tape, offer.clock)
        self._ports = offer.ports
        exchange.onlookers.append(self._follow)

    async def open(self) -> None:
        """Listen. Raises VenueError if a port is taken."""
        await self.doors.open(LISTENS, *self._ports)

    def close(self) -> None:
        """Let go of ports and listeners."""
        self.doors.close()

    def _follow(self, frame: TapeFrame) -> None:
        if frame.reel == 0:
            self.venue.on_events(self._reader.read(frame.data, frame.ts))
