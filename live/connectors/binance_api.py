"""How Binance names things on the wire, by kind of market; read by the connector and by the replay venue."""

from decimal import Decimal
from typing import Final

from market.errors import ConfigError
from market.instrument import Instrument

REST_PREFIX: Final = {"binance-coinm": "/dapi/v1", "binance-usdm": "/fapi/v1", "binance-spot": "/api/v3"}
INVALID_SYMBOL: Final = -1121  # Binance's code for a symbol that the venue does not know
DEPTH_LIMIT: Final = 1000  # levels a side that every market serves

_FUTURES_TOPICS: Final = ("depth@0ms", "bookTicker", "trade", "markPrice@1s", "forceOrder")
_SPOT_TOPICS: Final = ("depth@100ms", "bookTicker", "trade")


def require_binance(instrument: Instrument) -> None:
    """Raises ConfigError if the venue is no Binance market."""
    if instrument.venue not in REST_PREFIX:
        raise ConfigError(f"venue={instrument.venue!r} of {instrument.name} is not one of {sorted(REST_PREFIX)}")


def rest_prefix(instrument: Instrument) -> str:
    """Path that every REST question of the instrument's market begins with.

    Raises ConfigError if the venue is no Binance market.
    """
    require_binance(instrument)
    return REST_PREFIX[instrument.venue]


def stream_names(instrument: Instrument) -> tuple[str, ...]:
    """Every stream that carries what the decoder reads, the depth first."""
    topics = _SPOT_TOPICS if instrument.venue == "binance-spot" else _FUTURES_TOPICS
    return tuple(f"{instrument.venue_symbol}@{topic}" for topic in topics)


def is_depth(stream: str) -> bool:
    """Whether a stream carries changes of the book.

    >>> is_depth("btcusdt@depth@100ms"), is_depth("btcusdt@bookTicker")
    (True, False)
    """
    return stream.partition("@")[2].startswith("depth")


def decimals(step: float) -> int:
    """Digits behind the point that Binance prints of multiples of a tick or lot.

    >>> decimals(1.0), decimals(0.1), decimals(1e-8)
    (0, 1, 8)
    """
    exponent = Decimal(str(step)).normalize().as_tuple().exponent
    return max(0, -int(exponent))
