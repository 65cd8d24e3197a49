"""Feeds of many symbols at once: what a process that listens to several asks for."""

from collections.abc import Sequence

import numpy as np

from config.connectors import Wire
from live.connectors.binance import BinanceFeed
from live.feed import Feed, Subscription


def connect(
    subscriptions: Sequence[Subscription], wire: Wire, generator: np.random.Generator, *, until_end: bool = False
) -> dict[str, Feed]:
    """A feed for each symbol, by the instrument's name. Sockets that symbols share open once all of them listen.

    generator : spreads the retries
    until_end : a feed stops when its venue closes the stream as complete, not when it is lost

    Raises ConfigError if an instrument is of a venue that no connector speaks to, or named twice.
    """
    feeds: dict[str, Feed] = {}
    for instrument, needs_snapshot in subscriptions:
        venue = wire.venue(instrument.venue)
        feeds[instrument.name] = BinanceFeed(
            instrument, venue.sockets[0].ws_url, venue.rest_url, needs_snapshot, generator, until_end=until_end
        )
    return feeds
