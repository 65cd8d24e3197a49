"""What a runner tells a ClickHouse server while it trades: rows, signals, fills and latencies, each batch once."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import polars as pl

from storage.clickhouse import EXACTLY_ONCE, Login, connect, faults
from storage.clickhouse_parameters import WarehouseParameters
from storage.clickhouse_schema import rendered

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

ANSWER_S: Final = 5.0  # that a server may take for a batch; after that it is away
_TIME: Final = pl.Datetime("ns", "UTC")
_OF_DESK: Final = {"symbol": pl.String(), "ts": _TIME, "desk": pl.String()}
SCHEMAS: Final[dict[str, dict[str, pl.DataType]]] = {
    "live_rows": {
        "symbol": pl.String(),
        "ts": _TIME,
        "status": pl.UInt8(),
        "best_bid": pl.Int64(),
        "best_ask": pl.Int64(),
        "catalogue_sha": pl.String(),
        "values": pl.List(pl.Float32()),
    },
    "live_signals": {
        **_OF_DESK,
        "bundle_sha": pl.String(),
        "decision_id": pl.Int64(),
        "reason": pl.UInt8(),
        **dict.fromkeys(("p_down", "p_none", "p_up", "mu_bp", "sigma_bp", "cost_bp"), pl.Float64()),
        **dict.fromkeys(("target", "position"), pl.Int64()),
        **dict.fromkeys(("equity", "spread_bp", "lower_bp", "upper_bp"), pl.Float64()),
        "classes": pl.UInt8(),
    },
    "live_fills": {
        **_OF_DESK,
        "order_id": pl.Int64(),
        "side": pl.Int8(),
        **dict.fromkeys(("price", "qty", "leaves"), pl.Int64()),
        "maker": pl.UInt8(),
    },
    "live_latencies": {
        **_OF_DESK,
        **dict.fromkeys(("exchange_ts", "ingest_ts", "infer_ts"), _TIME),
        "delay_ns": pl.Int64(),
    },
}


class Sink(Protocol):
    """Takes batches, each of them once, however often it is sent."""

    def insert(self, table: str, frame: pl.DataFrame, token: str) -> None:
        """Store a batch. Raises WarehouseError if the server does not take it, or does not answer."""


class LiveTables:
    """The tables of a server, made when it first answers."""

    def __init__(self, parameters: WarehouseParameters, login: Login) -> None:
        self._parameters = parameters
        self._login = login
        self._client: Client | None = None

    def insert(self, table: str, frame: pl.DataFrame, token: str) -> None:
        """Store a batch; the same token again adds nothing."""
        settings = {"insert_deduplication_token": token, **EXACTLY_ONCE}
        with faults(self._login):
            client = self._client or self._open()
            arrow = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            client.insert_arrow(f"{self._parameters.database}.{table}", arrow, settings=settings)

    def _open(self) -> "Client":
        client = connect(self._parameters, Path(), self._login, ANSWER_S)
        client.command(f"CREATE DATABASE IF NOT EXISTS {self._parameters.database}")
        window = f"non_replicated_deduplication_window = {self._parameters.token_window}"
        for table in SCHEMAS:
            client.command(rendered(f"{table}.sql", {"database": self._parameters.database, "settings": window}))
        client.command(rendered("live_signals_added.sql", {"database": self._parameters.database}))
        self._client = client
        return client
