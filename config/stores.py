"""Where the lake and the registry of models lie."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from config.connectors import HTTP, require_address
from market.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LakeSettings:
    """Where the lake lies."""

    url: str  # fsspec URL of an object store, such as s3://BUCKET/FOLDER; empty: the folder lake below TICKLOOP_VAR

    def __post_init__(self) -> None:
        if self.url and "://" not in self.url:
            raise ConfigError(f"url={self.url!r} is no URL of the kind SCHEME://BUCKET/FOLDER")
        if urlsplit(self.url).password:
            raise ConfigError("url holds a password; the object store's library reads keys from the environment")


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How models are named, and who approves them."""

    model: str  # first part of a registered model's name; its symbol follows
    experiment: str  # MLflow experiment of the runs
    url: str  # of an MLflow server, like http://HOST:5000; empty: SQLite and files below TICKLOOP_VAR
    promotion: Literal["by_gate", "by_person"]  # who moves the champion alias
    evidence_days: float  # of Test below which no gate speaks of profit; by_gate then takes a model that fails none

    def __post_init__(self) -> None:
        for key in ("model", "experiment"):
            if not getattr(self, key):
                raise ConfigError(f"{key}='' must name something")
        if "@" in self.url:
            raise ConfigError("url holds a user or a password; MLflow reads MLFLOW_TRACKING_USERNAME and _PASSWORD")
        if self.url:
            require_address("url", self.url, HTTP)
        if not self.evidence_days > 0:
            raise ConfigError(f"evidence_days={self.evidence_days} must be above 0")

    def model_of(self, symbol: str) -> str:
        """Name of the registered model of a symbol; aliases are of a name, so each symbol has its own."""
        return f"{self.model}-{symbol}"
