"""Opens the exchange gateway of a desk for as long as a runner runs, once all that may refuse it has been asked."""

import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from config.orders import GatewayKind, OrderSettings
from config.settings import Settings
from live.connectors.pace import Hosts
from live.desk import Desk
from live.gateways.bybit import BybitClient
from live.gateways.client import Addresses, VenueClient, require_countdown, require_orders
from live.gateways.exchange import ExchangeGateway
from live.gateways.line import Calls, Line, Patience
from live.gateways.permission import Keys, gateway_of, keys_from, require_test_venue
from live.gateways.spot import SpotClient
from market.errors import ConfigError, VenueError
from market.instrument import Instrument
from storage.files import replace_file

_SESSION: Final = "session"
_STREAMS: Final = {
    ("binance-usdm", False): "wss://fstream.binance.com",
    ("binance-usdm", True): "wss://fstream.binancefuture.com",
    ("bybit-linear", False): "wss://stream.bybit.com",
    ("bybit-linear", True): "wss://stream-demo.bybit.com",
    ("bybit-inverse", False): "wss://stream.bybit.com",
    ("bybit-inverse", True): "wss://stream-demo.bybit.com",
    ("binance-spot", False): "wss://ws-api.binance.com",
    ("binance-spot", True): "wss://demo-ws-api.binance.com",
    ("binance-coinm", False): "wss://dstream.binance.com",
    ("binance-coinm", True): "wss://dstream.binancefuture.com",
}


class Permit(NamedTuple):
    """What an exchange gateway needs and may have."""

    instrument: Instrument
    settings: OrderSettings
    keys: Keys
    adopts: bool = False  # a position that the account holds, into a journal that has told nothing


def permits_of(
    gateway: GatewayKind, instruments: Sequence[Instrument], settings: OrderSettings, environment: Mapping[str, str]
) -> dict[str, Permit]:
    """The permits of exchange gateways by symbol, none for other gateways.

    Raises ConfigError if a venue takes no orders from us, the profile allows no real money, or a key is missing.
    """
    if gateway != "exchange":
        return {}
    for instrument in instruments:
        require_orders(instrument)
        require_countdown(instrument, settings.dead_man_s)
    require_test_venue((settings.rest_url, settings.ws_url), settings.testnet, settings.real_money)
    keys = keys_from(environment)
    return {instrument.name: Permit(instrument, settings, keys) for instrument in instruments}


def chosen_gateway(
    settings: Settings, symbols: Sequence[str], flag: GatewayKind | None, environment: Mapping[str, str]
) -> tuple[GatewayKind, dict[str, Permit]]:
    """Where the orders of these symbols go, by profile and flag, and their permits.

    Raises ConfigError as ``gateway_of`` and ``permits_of``.
    """
    gateway = gateway_of(settings.live.gateway, flag)
    instruments = [settings.instrument(symbol) for symbol in symbols]
    return gateway, permits_of(gateway, instruments, settings.live.orders, environment)


def adopting(permits: Mapping[str, Permit]) -> dict[str, Permit]:
    """The same permits, to take over what the account holds.

    Raises ConfigError if there is none: paper begins flat; or one of spot, where what is held is the stock.
    """
    if not permits:
        raise ConfigError("--adopt-position: orders do not go to an exchange, and other accounts begin flat")
    spot = [symbol for symbol, permit in permits.items() if permit.instrument.contract == "spot"]
    if spot:
        raise ConfigError(f"--adopt-position: {spot[0]} is spot; what the account holds is its stock, and no position")
    return {symbol: permit._replace(adopts=True) for symbol, permit in permits.items()}


def journal_session(folder: Path) -> str:
    """The name of a journal in the ids of its orders: drawn once, kept beside its segments."""
    path = folder / _SESSION
    if not path.exists():
        replace_file(path, secrets.token_hex(5).encode())
    name = path.read_text()
    if not name.isalnum() or len(name) > 16:
        raise VenueError(f"{path} names no session: {name[:20]!r}")
    return name


def client_of(permit: Permit, journal: Path, hosts: Hosts) -> VenueClient:
    """Who speaks with the instrument's venue, for the orders of that journal."""
    instrument, orders = permit.instrument, permit.settings
    addresses, limits = Addresses(orders.rest_url, orders.testnet, hosts), (orders.timeout_ms, orders.recv_window_ms)
    if instrument.contract == "spot":
        return SpotClient(instrument, permit.keys, addresses, limits, journal)
    if instrument.venue.startswith("bybit"):
        return BybitClient(instrument, permit.keys, addresses, limits)
    return VenueClient(instrument, permit.keys, addresses, limits)


@asynccontextmanager
async def orders_of(
    desk: Desk, journal: Path, permit: Permit | None, calls: Calls, hosts: Hosts
) -> AsyncIterator[None]:
    """Open the gateway of a desk, whose journal has been replayed; at the end cancel what works and let go.

    Raises ConfigError if the key may do more than trade, VenueError if the venue cannot be reached or contradicts the
    journal.
    """
    gateway = desk.gateway
    if permit is None or not isinstance(gateway, ExchangeGateway):
        yield
        return
    instrument, orders = permit.instrument, permit.settings
    client = client_of(permit, journal, hosts)
    ws_url = orders.ws_url or _STREAMS[instrument.venue, orders.testnet]
    patience = Patience(orders.recv_window_ms / 1e3, orders.poll_ms / 1e3, orders.open_s, orders.dead_man_s)
    generator = np.random.default_rng(os.getpid())
    try:
        await gateway.open(Line(client, ws_url, journal_session(journal), calls, patience, generator, permit.adopts))
        yield
    finally:
        await gateway.close()
        await client.close()
