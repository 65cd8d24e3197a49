"""What the replay venue plays: the captures of a symbol, and who waits for it where."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from config.settings import Settings
from config.sources import FileSource
from live.exchange_reels import Listing
from market.errors import ConfigError, DataError
from storage.progress import progress_of
from storage.recordings import fetch, files_by_date


def captures_of(settings: Settings, symbol: str, names: Sequence[str]) -> list[Path]:
    """Captures in the order of their days: recordings by name, or those of the symbol's source where none is named.

    Raises DataError if there is none, and what fetching one raises.
    """
    source = tuple(names) or settings.data.sources.get(symbol, ())
    if isinstance(source, FileSource):
        raise DataError(f"a replay venue plays recordings or a folder of captures; the source of {symbol} is {source}")
    if isinstance(source, str):
        files = (path for path in sorted(Path(source).iterdir()) if not path.name.startswith("."))
        found = list(files_by_date(files).values())
    else:
        found = [fetch(name, settings.paths.recordings, progress_of(name)) for name in source]
    if not found:
        raise DataError(f"{symbol} has no capture to play; data.sources holds {', '.join(settings.data.sources)}")
    return found


def held_back(settings: Settings) -> str | None:
    """Where the part of the newest day begins that the chain never sees; None where nothing is held back."""
    return f"last:{settings.data.hold_back_s}s" if settings.data.hold_back_s else None


def replay_ports(settings: Settings) -> tuple[int, int]:
    """WebSocket and REST port on which the configured runner expects its venue.

    Raises ConfigError if they are not of this machine.
    """
    addresses = [urlsplit(url) for url in (settings.live.ws_url, settings.live.rest_url)]
    for address in addresses:
        if address.hostname not in ("127.0.0.1", "localhost") or address.port is None:
            raise ConfigError(f"live trades at {address.geturl()}; name --ws-port and --rest-port for a replay venue")
    ws_port, rest_port = (address.port or 0 for address in addresses)
    return ws_port, rest_port


def listings_of(settings: Settings, symbols: Sequence[str], names: Sequence[str]) -> list[Listing]:
    """What a replay venue trades under these names, each played from its own captures.

    ``SYMBOL=TAPE`` plays the captures of another symbol of the configuration as this one. ``names`` of recordings stand
    in for the captures. Raises as ``captures_of`` does, ConfigError for a symbol that is not configured.
    """
    listings = []
    for text in symbols:
        symbol, _, tape = text.partition("=")
        instrument, source = settings.instrument(symbol), settings.instrument(tape or symbol)
        listings.append(Listing(instrument, captures_of(settings, source.name, names), source))
    return listings
