"""Settings of the warehouse; light to import."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from market.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class WarehouseParameters:
    """ClickHouse: embedded below ``TICKLOOP_VAR`` unless a server is named. User and password: the environment."""

    enabled: bool  # whether the chain loads every day of aligned events
    url: str  # of a server, like http://HOST:8123, without user or password; empty: embedded chDB
    database: str  # that holds the tables
    cluster: str  # name of the servers' cluster: replicated tables below distributed ones; empty: one server
    ttl_days: int  # after which events are dropped; 0: never
    candle_ttl_days: int  # likewise the candles of 1 s and 1 m
    batch_rows: int  # events an insert
    token_window: int  # latest inserts whose repetition is noticed
    patience_s: float  # how long to wait for another owner of the embedded warehouse

    def __post_init__(self) -> None:
        for key in ("database", "cluster"):
            name = getattr(self, key)
            if not _NAME.fullmatch(name) and (name or key == "database"):
                raise ConfigError(f"{key}={name!r} must be a name of letters, digits and _")
        for key, least in (("ttl_days", 0), ("candle_ttl_days", 0), ("batch_rows", 1), ("token_window", 1)):
            if getattr(self, key) < least:
                raise ConfigError(f"{key}={getattr(self, key)} must be at least {least}")
        if self.patience_s < 0:
            raise ConfigError(f"patience_s={self.patience_s} must be at least 0")
        if self.cluster and not self.url:
            raise ConfigError(f"cluster={self.cluster!r} needs the url of one of its servers")
        self._check_url()

    def _check_url(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc or "password" in parts.query:
            raise ConfigError("url holds a user or a password; they belong into the environment")
        if self.url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ConfigError(f"url={self.url!r} is no address of the kind http://HOST:PORT")
