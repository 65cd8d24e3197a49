"""Feeds of many symbols at once: what a process that listens to several asks for."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import numpy as np

from config.connectors import Wire
from live.connectors.binance_api import DEPTH_LIMIT, REST_PREFIX
from live.connectors.binance_dialect import BinanceDialect
from live.connectors.bybit_dialect import CATEGORIES, BybitDialect
from live.connectors.dialect import Dialect
from live.connectors.pace import Hosts
from live.connectors.rest import Rest
from live.connectors.symbol_feed import SymbolFeed
from live.connectors.trunk import Trunk
from live.feed import Feed, Subscription
from market.errors import ConfigError
from market.instrument import Instrument

_FEWEST_LEVELS: Final = 5  # of a question that only asks whether the venue knows a symbol
_DIALECTS: Final[dict[str, Callable[[Instrument], Dialect]]] = {
    **dict.fromkeys(REST_PREFIX, BinanceDialect),
    **dict.fromkeys(CATEGORIES, BybitDialect),
}


def require_connector(instrument: Instrument) -> None:
    """Raise ConfigError if no connector speaks to the instrument's venue."""
    if instrument.venue not in _DIALECTS:
        raise ConfigError(f"venue={instrument.venue!r} of {instrument.name} is not one of {sorted(_DIALECTS)}")


def hosts_of(wire: Wire) -> Hosts:
    """What the settings let this process ask each address for."""
    return Hosts(wire.settings.rest_weight_per_minute, wire.settings.connects_per_minute)


def connect(
    subscriptions: Sequence[Subscription],
    wire: Wire,
    generator: np.random.Generator,
    hosts: Hosts | None = None,
    *,
    until_end: bool = False,
) -> dict[str, Feed]:
    """A feed for each symbol, by the instrument's name. Sockets that symbols share open once all of them listen.

    generator : spreads the retries
    hosts : shared with whoever else of the process asks the same addresses
    until_end : a feed stops when its venue closes the stream as complete, not when it is lost

    Raises ConfigError if an instrument is of a venue that no connector speaks to, or named twice.
    """
    by_venue: dict[str, list[Subscription]] = {}
    for subscription in subscriptions:
        require_connector(subscription.instrument)
        by_venue.setdefault(subscription.instrument.venue, []).append(subscription)
    feeds: dict[str, Feed] = {}
    hosts = hosts or hosts_of(wire)
    for venue, members in by_venue.items():
        for feed in _feeds(venue, members, wire, (generator, hosts), until_end):
            if feed.instrument.name in feeds:
                raise ConfigError(f"{feed.instrument.name} is subscribed twice")
            feeds[feed.instrument.name] = feed
    return feeds


def _feeds(
    venue: str, members: list[Subscription], wire: Wire, pace: tuple[np.random.Generator, Hosts], until_end: bool
) -> list[SymbolFeed]:
    """The feeds of one venue: sockets by the dozen of symbols, and for each of the venue's addresses."""
    settings, place, (generator, hosts) = wire.settings, wire.venue(venue), pace
    rest = Rest(place.rest_url, hosts.weights(place.rest_url))
    dialect = _DIALECTS[venue](members[0].instrument)

    async def ask_venue(feed: SymbolFeed) -> None:
        if dialect.books_by_rest:
            await rest.depth(feed.instrument, _FEWEST_LEVELS)

    by_rest, retry_s = dialect.books_by_rest, settings.snapshot_retry_s
    feeds = [SymbolFeed(member, rest, by_rest, retry_s, until_end) for member in members]
    for start in range(0, len(feeds), settings.symbols_per_socket):
        sharing = feeds[start : start + settings.symbols_per_socket]
        trunks = [
            Trunk(dialect, socket, number, settings, hosts.connects(socket.ws_url), ask_venue, generator, until_end)
            for number, socket in enumerate(place.sockets)
        ]
        for trunk in trunks:
            trunk.members.extend(sharing)
        for feed in sharing:
            feed.wires.extend(trunks)
            feed.bring_book = _book_by_rest(rest) if by_rest else trunks[0].subscribe_again
    return feeds


def _book_by_rest(rest: Rest) -> Callable[[SymbolFeed], Awaitable[bytes | None]]:
    async def bring(feed: SymbolFeed) -> bytes | None:
        return await rest.depth(feed.instrument, DEPTH_LIMIT)

    return bring
