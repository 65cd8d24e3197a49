"""What a runner's process is started with: where its symbols write, what it talks to, and who may talk to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.connectors import Wire
from config.live import HotSettings
from config.refusals import RefusedKey
from config.settings import Paths, Settings
from config.stores import RegistrySettings
from live.api.access import Access
from live.gateways.opening import Permit
from live.runner import Folders
from storage.clickhouse_parameters import WarehouseParameters

SHORTEST_SECRET: Final = 8  # characters of a token or deploy key that is set


@dataclass(frozen=True, slots=True)
class Places:
    """What a process reads and writes."""

    folders: Mapping[str, Folders]  # by symbol
    ledger: Path  # of promotions
    refusals: Path  # of starts, see config.refusals


def places_of(paths: Paths, symbols: Iterable[str]) -> Places:
    """The places of a process that trades these symbols."""
    folders = {symbol: Folders(paths.journal(symbol), paths.live_bundles(symbol)) for symbol in symbols}
    return Places(folders, paths.ledger, paths.refused_starts)


@dataclass(frozen=True, slots=True)
class Told:
    """The ClickHouse server that is told of every row, if it has an address, and where batches wait for it."""

    warehouse: WarehouseParameters
    outbox: Path
    outbox_mb: float


@dataclass(frozen=True, slots=True)
class Lines:
    """Where a runner listens and what it talks to."""

    wire: Wire
    api_host: str
    api_port: int  # 0: a free one
    venue_patience_s: float  # how long to wait for a venue that is not there yet
    swap_patience_s: float  # how long a pushed model waits for a flat desk
    markouts_ms: tuple[int, ...]  # how long after a fill its price is looked at in an explanation
    snapshot_s: float  # how often the state is kept beside the journal
    awake_s: float  # see live.floor.Floor
    registry: RegistrySettings
    hot: HotSettings
    told: Told
    permits: Mapping[str, Permit]  # by symbol, of desks whose orders go to an exchange


def lines_of(settings: Settings, permits: Mapping[str, Permit]) -> Lines:
    """The lines that a profile asks for."""
    live = settings.live
    return Lines(
        wire=settings.wire,
        api_host=live.api_host,
        api_port=live.api_port,
        venue_patience_s=live.venue_patience_s,
        swap_patience_s=live.swap_patience_s,
        markouts_ms=settings.reports.markouts_ms,
        snapshot_s=60.0 * live.snapshot_min,
        awake_s=live.awake_us / 1e6,
        registry=settings.registry,
        hot=live.hot,
        told=Told(settings.warehouse, settings.paths.outbox, live.outbox_mb),
        permits=permits,
    )


@dataclass(frozen=True, slots=True)
class Secrets:
    """From the environment, never from a file that is committed."""

    read_token: str
    deploy_token: str
    deploy_key: bytes
    kill_token: str
    metrics_token: str


def secrets_from(environment: Mapping[str, str]) -> Secrets:
    """Tokens and key of a runner; what is not set stays empty, and closes its door.

    Raises RefusedKey if one is set and so short that it could be guessed.
    """
    return Secrets(
        _secret(environment, "TICKLOOP_READ_TOKEN"),
        _secret(environment, "TICKLOOP_DEPLOY_TOKEN"),
        _secret(environment, "TICKLOOP_DEPLOY_KEY").encode(),
        _secret(environment, "TICKLOOP_KILL_TOKEN"),
        _secret(environment, "TICKLOOP_METRICS_TOKEN"),
    )


def _secret(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if 0 < len(value) < SHORTEST_SECRET:
        raise RefusedKey(f"{name} has {len(value)} characters; {SHORTEST_SECRET} are the fewest", "short secret")
    return value


def access_of(lines: Lines, secrets: Secrets) -> Access:
    """Who may do what at the runner's pages."""
    tokens = (secrets.read_token, secrets.deploy_token, lines.swap_patience_s)
    return Access(*tokens, secrets.kill_token, secrets.metrics_token, lines.api_host)


@dataclass(frozen=True, slots=True)
class Ending:
    """When a run ends by itself, and where it says that it is ready."""

    until_end: bool  # stop when a replay has come to its end
    ready_file: Path | None  # JSON of api_port and pid, written whole once the API listens
