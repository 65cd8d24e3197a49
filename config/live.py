"""What the runner trades, whom it talks to, and what it keeps hot."""

from dataclasses import dataclass

from config.connectors import HTTP, require_address, require_own_ip
from config.orders import GatewayKind, OrderSettings
from market.errors import ConfigError


@dataclass(frozen=True, slots=True)
class HotSettings:
    """The hot cache: the newest row of hot symbols, for readers outside the runner's loop."""

    redis_url: str  # of a Redis, like redis://HOST:6379; empty: in the runner's process
    ttl_ms: int  # ms after which a value is no longer given out
    symbols: tuple[str, ...]  # instruments that are hot; empty: the top ones by messages a second
    top: int  # how many of them

    def __post_init__(self) -> None:
        if "@" in self.redis_url or "?" in self.redis_url:
            raise ConfigError("redis_url holds a user, a password or a query; they belong into TICKLOOP_REDIS_PASSWORD")
        if self.redis_url:
            require_address("redis_url", self.redis_url, ("redis", "rediss"))
        for key in ("ttl_ms", "top"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key}={getattr(self, key)} must be at least 1")


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """The runner: what it trades, whom it talks to. Tokens and keys come from the environment."""

    symbol: str  # instrument that `main.py live` trades
    symbols: tuple[str, ...]  # several instead, of one process; the deployment sensors serve each; none: symbol alone
    ws_url: str  # streams of venues that connectors.venues does not name; `main.py exchange` listens there
    rest_url: str  # their REST side, likewise
    api_host: str  # IPv4 address of the runner's pages; off this machine only with read and metrics tokens
    api_port: int  # of the runner's pages; 0: a free one
    runner_url: str  # where live_deployment finds the runner's pages
    venue_patience_s: float  # how long a starting runner waits for a venue that does not answer
    swap_patience_s: float  # how long a pushed model waits for its desk to be flat
    snapshot_min: float  # minutes, at most, between two states kept beside the journal; a restart replays no more
    awake_us: float  # before a row's instant the loop stays awake and looks ahead; few symbols; 0: it sleeps
    challenger: bool  # whether a challenger may decide in shadow beside the champion; costs a feature step a row
    gateway: GatewayKind  # where the model's orders go; an exchange only where --gateway says so as well
    orders: OrderSettings

    outbox_mb: float  # MB of batches that wait on disk for warehouse.url, when it is away; the oldest make room
    hot: HotSettings

    def __post_init__(self) -> None:
        if not self.outbox_mb > 0:
            raise ConfigError(f"outbox_mb={self.outbox_mb} must be above 0")
        for key, schemes in (("ws_url", ("ws", "wss")), ("rest_url", HTTP), ("runner_url", HTTP)):
            require_address(key, getattr(self, key), schemes)
        require_own_ip("api_host", self.api_host)
        if not 0 <= self.api_port <= 65_535:
            raise ConfigError(f"api_port={self.api_port} must lie in 0 to 65535")
        if len(set(self.symbols)) < len(self.symbols):
            raise ConfigError(f"symbols={', '.join(self.symbols)} names an instrument twice")
        if not 0 <= self.awake_us <= 5000:
            raise ConfigError(f"awake_us={self.awake_us} must be between 0 and 5000")
        if not self.snapshot_min > 0:
            raise ConfigError(f"snapshot_min={self.snapshot_min} must be above 0")
        for key in ("venue_patience_s", "swap_patience_s"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key}={getattr(self, key)} must be at least 0")

    @property
    def floor(self) -> tuple[str, ...]:
        """Every instrument that one runner trades."""
        return self.symbols or (self.symbol,)
