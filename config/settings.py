"""All settings of one profile: what is composed from the rooms, and what belongs to the edges."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from backtest.parameters import ReportParameters, VenueModelParameters, VenueParameters
from config.connectors import ConnectorSettings, SocketSettings, VenueSettings, Wire
from config.live import LiveSettings
from config.models import ModelSettings
from config.orchestration import OrchestrationSettings
from config.sources import DataSettings
from config.stores import LakeSettings, RegistrySettings
from features.parameters import FeatureParameters, RegimeParameters
from labeling.parameters import LabelParameters
from market.errors import ConfigError
from market.instrument import Instrument
from market.parameters import ClockParameters
from modeling.architecture import base_dilations, receptive_rows
from modeling.parameters import NetworkParameters, WalkForwardParameters
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
    def refused_starts(self) -> Path:
        """A line for each start that was refused for a key."""
        return self.var / "refused_starts.txt"

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
