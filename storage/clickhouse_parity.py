"""Whether the warehouse says of a day what DuckDB says of the lake: totals of the events, and every candle."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from storage.clickhouse import Warehouse
from storage.clickhouse_schema import BARS, CANDLE_SECONDS, kind_codes, rendered

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

Rows = list[tuple[Any, ...]]
Tape = Callable[["DuckDBPyConnection"], "DuckDBPyRelation"]


class Parity(NamedTuple):
    """How many rows the lake's side has, and how many rows are on one side only, by table."""

    rows: dict[str, int]
    differing: dict[str, int]

    @property
    def exact(self) -> bool:
        """Whether there were events, and nothing differs."""
        return self.rows["events"] > 0 and not any(self.differing.values())


def parity_with_lake(warehouse: Warehouse, symbol: str, date: str, tape: Tape) -> Parity:
    """A symbol's day in the warehouse held against the lake's, row by row; of the events, their totals.

    tape : gives the day's events to a DuckDB connection, in their order
    """
    expected = lake_tables(tape)
    held = warehouse_tables(warehouse, symbol, date)
    rows = {name: len(found) for name, found in expected.items()} | {"events": expected["events"][0][0]}
    return Parity(rows, {name: len(set(expected[name]) ^ set(held[name])) for name in expected})


def lake_tables(tape: Tape) -> dict[str, Rows]:
    """Totals of a day's events and its candles, by DuckDB, as exact numbers."""
    import duckdb

    with duckdb.connect() as connection:
        tape(connection).create_view("tape")
        tables = {"events": connection.execute(rendered("totals_duckdb.sql", {})).fetchall()}
        for name, seconds in CANDLE_SECONDS.items():
            sql = rendered("candles_duckdb.sql", kind_codes() | {"seconds": str(seconds)})
            tables[name] = connection.execute(sql).fetchall()
    return tables


def warehouse_tables(warehouse: Warehouse, symbol: str, date: str) -> dict[str, Rows]:
    """The same of the warehouse."""
    names = {"database": warehouse.database}
    bound = {"symbol": symbol, "date": date}
    tables = {"events": warehouse.query(rendered("totals_clickhouse.sql", names), bound).rows}
    for name, bars in BARS.items():
        sql = rendered("candles_parity.sql", names | {"bars": bars})
        tables[name] = warehouse.query(sql, bound).rows
    return tables
