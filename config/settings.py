"""All settings of one profile: what is composed from the rooms, and what belongs to the edges."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from backtest.parameters import ReportParameters, VenueModelParameters, VenueParameters
from config.connectors import ConnectorSettings, SocketSettings, VenueSettings, Wire, require_address, require_own_ip
from config.orders import GatewayKind, OrderSettings
from features.parameters import FeatureParameters, RegimeParameters
from labeling.parameters import LabelParameters
from market.errors import ConfigError
from market.instrument import Instrument
from market.parameters import ClockParameters
from modeling.architecture import base_dilations, receptive_rows
from modeling.parameters import (
    BaselineParameters,
    CalibrationParameters,
    CnnParameters,
    ConformalParameters,
    EnsembleParameters,
    LearnerParameters,
    NetworkParameters,
    SearchParameters,
    TrainingParameters,
    WalkForwardParameters,
)
from monitoring.parameters import (
    DriftParameters,
    ExecutionDriftParameters,
    IrDecayParameters,
    LabelShiftParameters,
    ParityParameters,
    RetrainingParameters,
)
from storage.clickhouse_parameters import WarehouseParameters
from trading.parameters import REMEMBERED_ROWS, TradingParameters

_HTTP: Final = ("http", "https")
_CRON: Final = re.compile(r"\S+( \S+){4}")


@dataclass(frozen=True, slots=True)
class FileSource:
    """Files of a vendor or of ours; raw captures need no more than their names, see Source."""

    format: str  # how the files are read: a name in market/sources/formats.py
    path: str | tuple[str, ...]  # a folder of daily files, or the files; their names carry the dates

    def __post_init__(self) -> None:
        for key in ("format", "path"):
            if not getattr(self, key):
                raise ConfigError(f"{key} is empty; a source of files names both format and path")

    def __str__(self) -> str:
        return f"{self.format} files {self.path if isinstance(self.path, str) else ', '.join(self.path)}"


CAPTURE: Final = "capture"  # the format of recordings and of plain folders
Source = tuple[str, ...] | str | FileSource  # recordings of the catalogue, a folder of daily captures, or other files


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everything that the program writes lies, all of it under one folder."""

    var: Path

    @property
    def lake(self) -> Path:
        """Parquet partitions with their manifests."""
        return self.var / "lake"

    @property
    def lake_cache(self) -> Path:
        """Files of a lake that lies in an object store; it may be emptied at any time."""
        return self.var / "lake_cache"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts."""
        return self.var / "mlflow"

    @property
    def ledger(self) -> Path:
        """The append-only promotion ledger."""
        return self.mlflow / "promotions.jsonl"

    @property
    def registry_index(self) -> Path:
        """Versions and feature partitions, by ``main.py registry index``."""
        return self.var / "registry_index.json"

    @property
    def dagster(self) -> Path:
        """Dagster's home: runs, event logs, schedules."""
        return self.var / "dagster"

    @property
    def clickhouse(self) -> Path:
        """The embedded warehouse, and the lock of whoever loads into one."""
        return self.var / "clickhouse"

    @property
    def recordings(self) -> Path:
        """Recordings that were fetched."""
        return self.var / "recordings"

    @property
    def bundles(self) -> Path:
        """Model bundles, one folder each."""
        return self.var / "bundles"

    @property
    def checkpoints(self) -> Path:
        """Epochs of fits that are under way, from which a killed one goes on."""
        return self.var / "checkpoints"

    @property
    def reports(self) -> Path:
        """HTML reports."""
        return self.var / "reports"

    @property
    def sweeps(self) -> Path:
        """Stretches of market that the processes of a sweep share while it runs."""
        return self.var / "sweeps"

    @property
    def trials(self) -> Path:
        """Studies and trial ledgers of the search."""
        return self.var / "trials"

    @property
    def venue_models(self) -> Path:
        """Fitted models of each symbol's venue, version by version."""
        return self.var / "venue_models"

    @property
    def outbox(self) -> Path:
        """Batches of the runner that wait for a ClickHouse server."""
        return self.var / "live" / "outbox"

    def recorded(self, symbol: str) -> Path:
        """Journals of what a symbol's venue sent, by `main.py record`."""
        return self.var / "recorded" / symbol

    def journal(self, symbol: str) -> Path:
        """What the runner of a symbol saw and did."""
        return self.var / "live" / symbol / "journal"

    def live_bundles(self, symbol: str) -> Path:
        """Bundles that were deployed to the runner of a symbol, each under its own sha."""
        return self.var / "live" / symbol / "bundles"


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Which symbols run through the chain, and where their captures lie."""

    symbols: tuple[str, ...]  # names of instruments, in the order they are run
    sources: dict[str, Source]  # symbol -> recordings, a folder of daily captures ..._YYYYMMDD.gz, or {format, path}
    hold_back_s: float  # seconds at the end of the newest day that the chain never sees: the live replay trades them
    max_bad_share: float  # share of malformed lines above which an import fails, 0 to 1
    leaders: dict[str, str]  # symbol -> the one, earlier in symbols, whose rows its own rows also see
    exchange_info: dict[str, str]  # venue -> file with its exchange-info answer, which must agree with `instruments`

    def __post_init__(self) -> None:
        if not self.symbols:
            raise ConfigError("symbols is empty; name at least one")
        if len(set(self.symbols)) < len(self.symbols):
            raise ConfigError(f"symbols={list(self.symbols)} names one twice")
        for symbol in self.symbols:
            if not self.sources.get(symbol):
                raise ConfigError(f"symbols names {symbol}, for which sources holds nothing")
        for follower, leader in self.leaders.items():
            if follower in self.symbols and leader not in self.symbols[: self.symbols.index(follower)]:
                raise ConfigError(f"leaders.{follower}={leader} must stand before it in symbols={list(self.symbols)}")
        if self.hold_back_s < 0:
            raise ConfigError(f"hold_back_s={self.hold_back_s} must be at least 0")
        if not 0 <= self.max_bad_share <= 1:
            raise ConfigError(f"max_bad_share={self.max_bad_share} must lie in 0 to 1")

    @property
    def recordings(self) -> tuple[str, ...]:
        """Recordings of the catalogue that the symbols need, in the order of their days."""
        sources = [self.sources[symbol] for symbol in self.symbols]
        return tuple(name for source in sources if isinstance(source, tuple) for name in source)

    def described(self, symbol: str) -> str:
        """Where a symbol's ticks come from, for people."""
        source = self.sources[symbol]
        if isinstance(source, tuple):
            return f"recording {', '.join(source)}"
        return f"daily files in {source}" if isinstance(source, str) else str(source)


@dataclass(frozen=True, slots=True)
class LakeSettings:
    """Where the lake lies."""

    url: str  # fsspec URL of an object store, such as s3://BUCKET/FOLDER; empty: the folder lake below TICKLOOP_VAR

    def __post_init__(self) -> None:
        if self.url and "://" not in self.url:
            raise ConfigError(f"url={self.url!r} is no URL of the kind SCHEME://BUCKET/FOLDER")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The models: horizons, network, training, ensemble, slices, search, calibration, conformal sets, baselines."""

    horizons_ms: tuple[int, ...]  # those of labels.horizons_ms that models learn; the purge covers the longest
    network: NetworkParameters
    training: TrainingParameters
    ensemble: EnsembleParameters
    walk_forward: WalkForwardParameters
    search: SearchParameters
    calibration: CalibrationParameters
    conformal: ConformalParameters
    baselines: BaselineParameters
    learners: LearnerParameters
    step_budget_us: float  # of one streaming step: slower candidates are pruned, slower bundles refused
    least_class_rows: int  # rows of each class that Train needs to teach a cell

    @property
    def networks(self) -> tuple[NetworkParameters, ...]:
        """The longest memory that the search may try, and the further members."""
        network = self.network
        if isinstance(network, CnnParameters):
            growth = max(*self.search.dilation_growths, network.dilation_growth)
            network = replace(network, dilation_growth=growth)
        return network, *self.ensemble.networks

    def __post_init__(self) -> None:
        if not self.step_budget_us > 0:
            raise ConfigError(f"step_budget_us={self.step_budget_us} must be above 0")
        if self.least_class_rows < 1:
            raise ConfigError(f"least_class_rows={self.least_class_rows} must be at least 1")
        devices, workers = self.training.devices, self.search.workers
        if devices > 1 and workers > 1:  # a worker may start no processes, and all would queue at the same devices
            raise ConfigError(f"search.workers={workers} must be 1 where training.devices={devices} is above 1")


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
        if self.url:
            require_address("url", self.url, _HTTP)
        if "@" in self.url:
            raise ConfigError("url holds a user or a password; MLflow reads MLFLOW_TRACKING_USERNAME and _PASSWORD")
        if not self.evidence_days > 0:
            raise ConfigError(f"evidence_days={self.evidence_days} must be above 0")

    def model_of(self, symbol: str) -> str:
        """Name of the registered model of a symbol; aliases are of a name, so each symbol has its own."""
        return f"{self.model}-{symbol}"


@dataclass(frozen=True, slots=True)
class HotSettings:
    """The hot cache: the newest row of hot symbols, for readers outside the runner's loop."""

    redis_url: str  # of a Redis, like redis://HOST:6379; empty: in the runner's process
    ttl_ms: int  # ms after which a value is no longer given out
    symbols: tuple[str, ...]  # instruments that are hot; empty: the top ones by messages a second
    top: int  # how many of them

    def __post_init__(self) -> None:
        if self.redis_url:
            require_address("redis_url", self.redis_url, ("redis", "rediss"))
        if "@" in self.redis_url or "?" in self.redis_url:
            raise ConfigError("redis_url holds a user, a password or a query; they belong into TICKLOOP_REDIS_PASSWORD")
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
        for key, schemes in (("ws_url", ("ws", "wss")), ("rest_url", _HTTP), ("runner_url", _HTTP)):
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


@dataclass(frozen=True, slots=True)
class OrchestrationSettings:
    """How Dagster runs, and where the two web pages listen (on loopback always: they have no login)."""

    schedules_running: bool  # whether schedules and sensors run unless a person stops them
    data_cron: str  # when yesterday's partitions are made; cron, UTC, as the two below
    walk_forward_cron: str  # when walk-forward slices are cut anew, so that the newest one is trained
    monitoring_cron: str  # when what ran live is held against what the champion was trained on
    dagster_port: int  # of Dagster's page
    mlflow_port: int  # of MLflow's page
    metrics_port: int  # of research's metrics, which Prometheus scrapes

    def __post_init__(self) -> None:
        for key in ("data_cron", "walk_forward_cron", "monitoring_cron"):
            if not _CRON.fullmatch(getattr(self, key)):
                raise ConfigError(f"{key}={getattr(self, key)!r} must be five fields: minute hour day month weekday")
        for key in ("dagster_port", "mlflow_port", "metrics_port"):
            if not 1_024 <= getattr(self, key) <= 65_535:
                raise ConfigError(f"{key}={getattr(self, key)} must lie in 1024 to 65535")


@dataclass(frozen=True, slots=True)
class Settings:
    """One profile, whole and consistent."""

    paths: Paths
    data: DataSettings
    lake: LakeSettings
    instruments: dict[str, Instrument]
    clock: ClockParameters
    features: FeatureParameters
    regimes: RegimeParameters
    labels: LabelParameters
    models: ModelSettings
    trading: TradingParameters
    venue: VenueParameters
    reports: ReportParameters
    venue_models: VenueModelParameters
    registry: RegistrySettings
    live: LiveSettings
    connectors: ConnectorSettings
    drift: DriftParameters
    label_shift: LabelShiftParameters
    parity: ParityParameters
    ir_decay: IrDecayParameters
    execution_drift: ExecutionDriftParameters
    retraining: RetrainingParameters
    warehouse: WarehouseParameters
    orchestration: OrchestrationSettings

    def __post_init__(self) -> None:
        for symbol in (*self.data.symbols, self.live.symbol, *self.live.symbols):
            self.instrument(symbol)
        if self.features.leader:
            reason = "would lead every symbol, itself too; name leaders symbol by symbol in data.leaders"
            raise ConfigError(f"features.leader={self.features.leader!r} {reason}")
        if self.features.phase_ms:
            raise ConfigError(f"features.phase_ms={self.features.phase_ms} follows from each symbol's name; write 0")
        _check_trained_horizons(self.models.horizons_ms, self.labels)
        _check_traded_cell(self.trading, self.trained_labels)
        _check_purge(self.models.walk_forward, self.trained_labels)
        _check_memory(self.models.networks, self.features)
        if self.labels.order_latency_ms != self.venue.order_latency_ms:
            raise ConfigError(
                f"labels.order_latency_ms={self.labels.order_latency_ms} must equal "
                f"venue.order_latency_ms={self.venue.order_latency_ms}: a label is what the ledger books"
            )

    @property
    def lake_root(self) -> Path | str:
        """The folder or the URL that the lake lies at."""
        return self.lake.url or self.paths.lake

    @property
    def wire(self) -> Wire:
        """How and where venues are listened to."""
        sockets = (SocketSettings(self.live.ws_url, ()),)
        return Wire(self.connectors, VenueSettings(self.live.rest_url, sockets))

    @property
    def trained_labels(self) -> LabelParameters:
        """The labels that models learn: all settings of the labels, at the trained horizons alone."""
        return replace(self.labels, horizons_ms=self.models.horizons_ms)

    def features_of(self, symbol: str) -> FeatureParameters:
        """The feature parameters of a symbol: all are alike but for the leader, and the phase where rows are phased."""
        return self.features.of_symbol(symbol, self.data.leaders.get(symbol, ""))

    def instrument(self, name: str) -> Instrument:
        """The instrument of that name.

        Raises ConfigError if there is none.
        """
        if name not in self.instruments:
            raise ConfigError(f"unknown symbol {name!r}; instruments holds {', '.join(self.instruments)}")
        return self.instruments[name]


def _check_trained_horizons(horizons_ms: tuple[int, ...], labels: LabelParameters) -> None:
    unlabelled = [horizon for horizon in horizons_ms if horizon not in labels.horizons_ms]
    if unlabelled or not horizons_ms or list(horizons_ms) != sorted(set(horizons_ms)):
        allowed = f"rising and among labels.horizons_ms={labels.horizons_ms}"
        raise ConfigError(f"models.horizons_ms={horizons_ms} must hold at least one horizon, {allowed}")


def _check_traded_cell(trading: TradingParameters, labels: LabelParameters) -> None:
    if trading.horizon_ms not in labels.horizons_ms:
        raise ConfigError(f"trading.horizon_ms={trading.horizon_ms} is not in models.horizons_ms={labels.horizons_ms}")
    if trading.budget_bp not in labels.fee_budgets_bp:
        allowed = f"labels.fee_budgets_bp={labels.fee_budgets_bp}"
        raise ConfigError(f"trading.budget_bp={trading.budget_bp} is not in {allowed}")


def _check_purge(walk_forward: WalkForwardParameters, labels: LabelParameters) -> None:
    longest_s = labels.longest_ns / 1e9
    if walk_forward.purge_s < longest_s:
        raise ConfigError(
            f"models.walk_forward.purge_s={walk_forward.purge_s} is shorter than "
            f"the longest horizon with its latencies, {longest_s} s"
        )


def _check_memory(networks: Sequence[NetworkParameters], features: FeatureParameters) -> None:
    bases = base_dilations(features.windows_ms, features.row_interval_ms)
    for network in networks:
        if (rows := receptive_rows(network, bases)) > REMEMBERED_ROWS:
            raise ConfigError(
                f"models: a {network.kind} of depth={network.depth} reads {rows} rows, "
                f"a session remembers {REMEMBERED_ROWS}; the search's dilation_growths count"
            )


def config_sha(settings: Settings) -> str:
    """Hex sha256 of the resolved settings.

    Where ``var`` lies, who listens where, what reports show and what parity asks for do not count.
    """
    resolved = asdict(settings)
    for edge in ("paths", "orchestration", "live", "connectors", "lake", "warehouse", "reports", "parity"):
        del resolved[edge]
    del resolved["registry"]["url"]
    resolved["models"]["search"] = asdict(settings.models.search.space)
    return hashlib.sha256(json.dumps(resolved, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
