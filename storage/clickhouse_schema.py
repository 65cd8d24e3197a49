"""The warehouse's tables and views as SQL statements, from the templates in ``sql/``."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from string import Template
from typing import Final

from market.events import BBO, GAP, LIQUIDATION, TRADE
from storage.clickhouse_parameters import WarehouseParameters

FOLDER: Final = Path(__file__).with_name("sql")
CANDLE_SECONDS: Final = {"candles_1s": 1, "candles_1m": 60}
BARS: Final = {"candles_1s": "bars_1s", "candles_1m": "bars_1m"}  # the views to read the candles by
TABLES: Final = ("events", *CANDLE_SECONDS)  # what a day's rows lie in
_TABLE_FILES: Final = ("loads", "events", "candles", "candles_1s_feed", "candles_1m_feed", "cluster")
KINDS: Final = {"BBO": BBO, "TRADE": TRADE, "LIQUIDATION": LIQUIDATION, "GAP": GAP}


def schema_version() -> str:
    """What tables of one definition share: the first digits of the sha256 of their templates."""
    texts = ((FOLDER / f"{name}.sql").read_bytes() for name in _TABLE_FILES)
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


def create_statements(parameters: WarehouseParameters) -> list[str]:
    """Statements that make the database and whatever of its tables and views is missing, in order."""
    names = _names(parameters)
    statements = [f"CREATE DATABASE IF NOT EXISTS {parameters.database} {names['on_cluster']}".rstrip()]
    statements.append(rendered("loads.sql", names | _engines(parameters, "loads", 0)))
    statements.append(rendered("events.sql", names | _engines(parameters, "events", parameters.ttl_days)))
    for candles in CANDLE_SECONDS:
        engines = _engines(parameters, candles, parameters.candle_ttl_days)
        statements.append(rendered("candles.sql", names | engines | {"local_candles": names[f"local_{candles}"]}))
    statements += [rendered(f"{candles}_feed.sql", names) for candles in CANDLE_SECONDS]
    if parameters.cluster:
        tables = {table: names[f"local_{table}"] for table in (*TABLES, "loads")}
        statements += [rendered("cluster.sql", names | {"table": key, "local": tables[key]}) for key in tables]
    bars = [rendered("bars.sql", names | {"candles": candles, "bars": name}) for candles, name in BARS.items()]
    return [*statements, *bars, rendered("days.sql", names)]


def lifetimes(parameters: WarehouseParameters) -> dict[str, int]:
    """Days that each table keeps its rows, 0: for ever."""
    return {"events": parameters.ttl_days} | dict.fromkeys(CANDLE_SECONDS, parameters.candle_ttl_days)


def kept_tables(parameters: WarehouseParameters, date: str, now: datetime) -> list[str]:
    """The tables that still hold all of a day."""
    age = now - datetime.fromisoformat(f"{date}T00:00+00:00")
    return [table for table, days in lifetimes(parameters).items() if not days or age < timedelta(days=days)]


def ttl_statement(parameters: WarehouseParameters, table: str) -> str:
    """The statement that gives a table, which has another lifetime, the configured one."""
    names, days = _names(parameters), lifetimes(parameters)[table]
    change = f"MODIFY TTL {_expiry(days)}" if days else "REMOVE TTL"
    return f"ALTER TABLE {parameters.database}.{names[f'local_{table}']} {names['on_cluster']} {change}"


def delete_statements(parameters: WarehouseParameters) -> list[str]:
    """Statements that take a symbol's day, bound as {symbol} and {date}, out of every table; other symbols' stay."""
    names = _names(parameters)
    return [
        f"DELETE FROM {parameters.database}.{names[f'local_{table}']} {names['on_cluster']} "
        "WHERE symbol = {symbol:String} AND toDate(ts) = {date:Date}"
        for table in TABLES
    ]


def rendered(file: str, values: Mapping[str, str]) -> str:
    """A template of ``sql/`` with its values. Raises KeyError if it names one that is not given."""
    return Template((FOLDER / file).read_text(encoding="utf-8")).substitute(values).strip()


def kind_codes() -> dict[str, str]:
    """Codes of the events that candles are made of, by the names that the templates use."""
    return {name: str(code) for name, code in KINDS.items()}


def _names(parameters: WarehouseParameters) -> dict[str, str]:
    suffix = "_local" if parameters.cluster else ""
    local = {f"local_{table}": f"{table}{suffix}" for table in (*TABLES, "loads")}
    on_cluster = f"ON CLUSTER '{parameters.cluster}'" if parameters.cluster else ""
    return (
        local
        | kind_codes()
        | {
            "database": parameters.database,
            "cluster": parameters.cluster,
            "on_cluster": on_cluster,
            "schema": schema_version(),
        }
    )


def _engines(parameters: WarehouseParameters, table: str, ttl_days: int) -> dict[str, str]:
    replica = f"('/clickhouse/tables/{{shard}}/{parameters.database}/{table}', '{{replica}}')"
    prefix, arguments = ("Replicated", replica) if parameters.cluster else ("", "")
    window = "replicated_deduplication_window" if parameters.cluster else "non_replicated_deduplication_window"
    return {
        "merge_tree": f"{prefix}MergeTree{arguments}",
        "aggregating_merge_tree": f"{prefix}AggregatingMergeTree{arguments}",
        "ttl": f"TTL {_expiry(ttl_days)}" if ttl_days else "",
        "settings": f"{window} = {parameters.token_window}, ttl_only_drop_parts = 1",
    }


def _expiry(days: int) -> str:
    return f"toDateTime(ts) + INTERVAL {days} DAY"
