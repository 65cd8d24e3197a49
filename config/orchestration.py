"""How Dagster runs, where its steps are worked, and where the web pages listen."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from config.connectors import require_address
from market.errors import ConfigError

_CRON: Final = re.compile(r"\S+( \S+){4}")
ExecutorKind = Literal["in_process", "multiprocess", "dask", "k8s"]


@dataclass(frozen=True, slots=True)
class OrchestrationSettings:
    """How Dagster runs, and where the two web pages listen (on loopback always: they have no login)."""

    schedules_running: bool  # whether schedules and sensors run unless a person stops them
    data_cron: str  # when yesterday's partitions are made; cron, UTC, as the two below
    walk_forward_cron: str  # when walk-forward slices are cut anew, so that the newest one is trained
    monitoring_cron: str  # when what ran live is held against what the champion was trained on
    executor: ExecutorKind  # where the steps of a run work that Dagster launches; `main.py run` is one process always
    workers: int  # steps of a run at a time, each in a process or pod of its own; in_process takes one
    dask_address: str  # scheduler of a Dask cluster, like tls://HOST:8786; empty: workers processes of this machine
    dagster_port: int  # of Dagster's page
    mlflow_port: int  # of MLflow's page
    metrics_port: int  # of research's metrics, which Prometheus scrapes

    def __post_init__(self) -> None:
        for key in ("data_cron", "walk_forward_cron", "monitoring_cron"):
            if not _CRON.fullmatch(getattr(self, key)):
                raise ConfigError(f"{key}={getattr(self, key)!r} must be five fields: minute hour day month weekday")
        if self.workers < 1:
            raise ConfigError(f"workers={self.workers} must be at least 1")
        if self.dask_address:
            require_address("dask_address", self.dask_address, ("tls", "tcp"))
        for key in ("dagster_port", "mlflow_port", "metrics_port"):
            if not 1_024 <= getattr(self, key) <= 65_535:
                raise ConfigError(f"{key}={getattr(self, key)} must lie in 1024 to 65535")
