"""Bytes of a venue or vendor in, events out; the same decoder reads a capture and a live socket."""

from collections.abc import Callable
from typing import Final

from market.errors import ConfigError
from market.instrument import Instrument
from market.sources.binance import BinanceDecoder
from market.sources.bybit import BybitDecoder
from market.sources.coinbase import CoinbaseDecoder
from market.sources.decoder import Decoder
from market.sources.okx import OkxDecoder

DECODERS: Final[dict[str, Callable[[Instrument], Decoder]]] = {
    "binance-coinm": BinanceDecoder,
    "binance-spot": BinanceDecoder,
    "binance-usdm": BinanceDecoder,
    "bybit-inverse": BybitDecoder,
    "bybit-linear": BybitDecoder,
    "bybit-spot": BybitDecoder,
    "coinbase-spot": CoinbaseDecoder,
    "okx-futures": OkxDecoder,
    "okx-spot": OkxDecoder,
    "okx-swap": OkxDecoder,
}


def decoder_for(instrument: Instrument) -> Decoder:
    """A fresh decoder for the instrument's venue.

    Raises ConfigError if no decoder is registered for the venue.
    """
    if instrument.venue not in DECODERS:
        raise ConfigError(f"venue={instrument.venue!r} of {instrument.name} is not one of {sorted(DECODERS)}")
    return DECODERS[instrument.venue](instrument)
