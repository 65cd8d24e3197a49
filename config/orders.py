"""Where a live desk's orders go, as configured; no key or secret is ever configured here."""

from dataclasses import dataclass
from typing import Literal

from config.connectors import require_address
from market.errors import ConfigError

GatewayKind = Literal["paper", "shadow", "exchange"]


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """The way to an exchange. Its keys come from the environment or .env.live."""

    testnet: bool  # orders go to the venue's test network
    real_money: bool  # whether orders may leave for a venue that is neither a test network nor this machine
    rest_url: str  # of the venue's order side; empty: its own address
    ws_url: str  # of the account's stream; empty: its own address
    timeout_ms: float  # without an answer for so long an order's state is unknown, and is asked for
    recv_window_ms: float  # after which the venue takes a request no more
    poll_ms: float  # between two questions about an order whose state is unknown
    open_s: float  # for the account's stream at the start, and for cancels to be acknowledged at the end
    dead_man_s: float  # after which without a word of ours the venue cancels our orders by itself; 0: it does not

    def __post_init__(self) -> None:
        for key, schemes in (("rest_url", ("http", "https")), ("ws_url", ("ws", "wss"))):
            if getattr(self, key):
                require_address(key, getattr(self, key), schemes)
        for key in ("timeout_ms", "recv_window_ms", "poll_ms", "open_s"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key}={getattr(self, key)} must be above 0")
        if self.dead_man_s and not 1.0 <= self.dead_man_s <= 3_600.0:
            raise ConfigError(f"dead_man_s={self.dead_man_s} must be 0 or lie in 1 to 3600")
        if self.recv_window_ms > 60_000:
            raise ConfigError(f"recv_window_ms={self.recv_window_ms} is above 60000, the most that Binance takes")
