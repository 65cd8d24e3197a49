"""Settings of the connectors: where each venue is, what is subscribed to there, and how patient we are with it."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final
from urllib.parse import urlsplit

from market.errors import ConfigError
from market.events import CONNECTIONS

MOST: Final = 1 << 30  # of any count
HTTP: Final = ("http", "https")


def require_address(key: str, url: str, schemes: tuple[str, ...]) -> None:
    """Raise ConfigError unless ``url`` names one of the schemes and a host, and nobody."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigError(f"{key} holds a user or a password; they belong into the environment")
    if parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(f"{key}={url!r} is no address of the kind {schemes[0]}://HOST:PORT")


def require_own_ip(key: str, host: str) -> None:
    """Raises ConfigError unless ``host`` is the IPv4 address of one interface, as clients name it."""
    try:
        unspecified = IPv4Address(host).is_unspecified
    except ValueError:
        raise ConfigError(f"{key}={host!r} is no IPv4 address") from None
    if unspecified:
        raise ConfigError(f"{key}={host} is every address of the machine; name the one that clients ask for")


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """One of the sockets that a symbol is listened to by."""

    ws_url: str  # what stands before the venue's own path, as wss://stream.binance.com
    topics: tuple[str, ...]  # streams of a symbol that come by it, as depth@0ms; none: all that the decoder reads

    def __post_init__(self) -> None:
        require_address("ws_url", self.ws_url, ("ws", "wss"))


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """Where a venue is."""

    rest_url: str  # its REST side, as https://api.binance.com
    sockets: tuple[SocketSettings, ...]  # the one that brings the book first

    def __post_init__(self) -> None:
        require_address("rest_url", self.rest_url, HTTP)
        if not 1 <= len(self.sockets) <= CONNECTIONS:
            raise ConfigError(f"sockets holds {len(self.sockets)} entries; allowed are 1 to {CONNECTIONS}")
        if len(self.sockets) > 1 and not all(socket.topics for socket in self.sockets):
            raise ConfigError("topics of a socket is empty; where a venue has several, each names its own")


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """How venues are listened to; times are our own, also where a replay runs faster."""

    venues: dict[str, VenueSettings]  # venue -> where it is; all others are at live.ws_url and live.rest_url
    symbols_per_socket: int  # that share one connection
    ping_s: float  # of silence, after which the venue is asked whether it is there; Bybit is always, this often
    stall_s: float  # without any frame, after which a line counts as lost
    acknowledge_s: float  # how long a venue may take to answer a subscription
    first_retry_s: float  # wait after the first failure; doubles with each that follows, and is spread at random
    longest_retry_s: float  # that the doubling ends at
    snapshot_retry_s: float  # between two requests for a symbol's snapshot
    rest_weight_per_minute: int  # of the venue's own request weights, that we use of one address at most
    connects_per_minute: int  # attempts at one address, all symbols and venues together
    most_frame_bytes: int  # of one message; a line that sends more is cut
    renew_s: float  # age at which a line is replaced before the venue ends it; venues do so after 24 hours
    renew_overlap_s: float  # how long the new line may take to join the old one without a gap

    def __post_init__(self) -> None:
        for key in ("symbols_per_socket", "rest_weight_per_minute", "connects_per_minute", "most_frame_bytes"):
            if not 1 <= getattr(self, key) <= MOST:
                raise ConfigError(f"{key}={getattr(self, key)} must lie in 1 to {MOST}")
        for key in ("ping_s", "stall_s", "acknowledge_s", "first_retry_s", "snapshot_retry_s", "renew_s"):
            if not 0 < getattr(self, key) <= 86_400:
                raise ConfigError(f"{key}={getattr(self, key)} must be above 0 and at most 86400")
        if not self.longest_retry_s >= self.first_retry_s:
            raise ConfigError(f"longest_retry_s={self.longest_retry_s} is below first_retry_s={self.first_retry_s}")
        if not 0 < self.renew_overlap_s <= self.renew_s:
            raise ConfigError(f"renew_overlap_s={self.renew_overlap_s} must be above 0 and within {self.renew_s}")


@dataclass(frozen=True, slots=True)
class Wire:
    """How and where to listen, whole."""

    settings: ConnectorSettings
    elsewhere: VenueSettings  # of venues that the settings do not name

    def venue(self, name: str) -> VenueSettings:
        """Where a venue is."""
        return self.settings.venues.get(name, self.elsewhere)
