"""How Binance names things on the wire, by kind of market; read by the connector and by the replay venue."""

from decimal import Decimal
from typing import Final

from market.errors import ConfigError
from market.instrument import Instrument

REST_PREFIX: Final = {"binance-coinm": "/dapi/v1", "binance-usdm": "/fapi/v1", "binance-spot": "/api/v3"}
INVALID_SYMBOL: Final = -1121  # Binance's code for a symbol that the venue does not know
DEPTH_LIMIT: Final = 1000  # levels a side that every market serves

# levels up to which a question for the depth costs so much
_SPOT_WEIGHTS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_FUTURES_WEIGHTS: Final = ((50, 2), (100, 5), (500, 10), (1000, 20))
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


def topics_of(instrument: Instrument) -> tuple[str, ...]:
    """Every stream of a symbol that carries what the decoder reads, the depth first."""
    return _SPOT_TOPICS if instrument.venue == "binance-spot" else _FUTURES_TOPICS


def stream_names(instrument: Instrument) -> tuple[str, ...]:
    """The names of those streams."""
    return tuple(f"{instrument.venue_symbol}@{topic}" for topic in topics_of(instrument))


def depth_weight(instrument: Instrument, levels: int) -> int:
    """What a question for the depth costs of the requests that Binance allows a minute.

    >>> depth_weight(Instrument("v-x", "binance-spot", "x", "spot", 0.1, 1.0, 1.0, "X", "USD"), 1000)
    50
    """
    weights = _SPOT_WEIGHTS if instrument.venue == "binance-spot" else _FUTURES_WEIGHTS
    return next(weight for most, weight in weights if levels <= most)


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
