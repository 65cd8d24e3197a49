"""The warehouse: events and candles of every symbol in ClickHouse, embedded (chDB) or on a server, for SQL.

A consumer of the lake, never a source: what it holds can be built again from there, day by day. The embedded one has
one owner at a time, who opens it late and closes it.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import polars as pl

from market.errors import WarehouseError
from storage.clickhouse_parameters import WarehouseParameters
from storage.clickhouse_schema import (
    TABLES,
    create_statements,
    delete_statements,
    lifetimes,
    schema_version,
    ttl_statement,
)
from storage.files import locked, replace_file

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

USER: Final = "TICKLOOP_WAREHOUSE_USER"
PASSWORD: Final = "TICKLOOP_WAREHOUSE_PASSWORD"
LOAD_S: Final = 300.0  # that an answer may take while a day is loaded
_CONNECT_S: Final = 10.0
_POLL_S: Final = 0.1
_INTERVAL_DAYS: Final = re.compile(r"toIntervalDay\((\d+)\)")


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks a server; never printed."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


class Build(NamedTuple):
    """One loading of a symbol's day; its name is the first part of its inserts' tokens."""

    symbol: str
    date: str  # UTC
    lake_sha: str  # of the lake's partition
    number: int  # a day's builds count up: a token of a build that was dropped would swallow its successor's rows

    def token(self, batch: int) -> str:
        """What the server knows a batch by, so that it takes it once."""
        return f"{self.symbol}/{self.date}/{self.lake_sha}/{self.number}/{batch}"


class Day(NamedTuple):
    """A symbol's day as the warehouse has it."""

    build: int
    whole: bool  # False: a load began and did not end
    lake_sha: str
    rows: int


class Answer(NamedTuple):
    """What a query gave."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def login_from(environment: Mapping[str, str]) -> Login:
    """User and password, empty where the environment names none."""
    return Login(environment.get(USER, ""), environment.get(PASSWORD, ""))


@contextmanager
def open_warehouse(parameters: WarehouseParameters, folder: Path, login: Login = Login()) -> Iterator["Warehouse"]:
    """The warehouse, its tables made where they are missing; closed on leaving.

    folder : where the embedded one lies, and the lock of whoever loads into either
    Raises WarehouseError if another process holds it for longer than ``patience_s``, or no server answers.
    """
    with ExitStack() as stack:
        _own(stack, parameters, folder)
        with faults(login):
            client = stack.enter_context(closing(connect(parameters, folder, login)))
            reader = client if parameters.url else stack.enter_context(closing(connect(parameters, folder, login)))
        _name_itself(folder)
        warehouse = Warehouse(client, parameters, login, reader)
        warehouse.create()
        yield warehouse


class Warehouse:
    """An open warehouse. Every method raises WarehouseError, in one line, with what the server said."""

    def __init__(
        self,
        client: "Client",
        parameters: WarehouseParameters,
        login: Login = Login(),
        reader: "Client | None" = None,
    ) -> None:
        self.client = client
        self.parameters = parameters
        self._login = login
        self._reader = reader or client  # one of its own for chDB: a session that was asked to insert stays read-only

    @property
    def database(self) -> str:
        """Name of the database that holds the tables."""
        return self.parameters.database

    def create(self) -> None:
        """Make what is missing; give the tables the lifetimes that are configured.

        Raises WarehouseError if the tables that are there were made by another definition.
        """
        self._require_schema()
        with faults(self._login):
            for statement in create_statements(self.parameters):
                self.client.command(statement)
        found = self._lifetimes()
        for table, days in lifetimes(self.parameters).items():
            if found[table] != days:
                self._command(ttl_statement(self.parameters, table), {})

    def rebuild(self, symbol: str, date: str, lake_sha: str, batches: Iterable[pl.DataFrame]) -> int:
        """Put a day's events, in the order of the lake, in place of what the warehouse has of it; returns the rows.

        Whatever ends it early leaves the day marked as not whole, and the next rebuild starts from nothing again.
        """
        build = self.begin(symbol, date, lake_sha)
        rows = 0
        for number, batch in enumerate(regrouped(batches, self.parameters.batch_rows)):
            self.insert(build, number, rows, batch)
            rows += batch.height
        self.finish(build, rows)
        return rows

    def begin(self, symbol: str, date: str, lake_sha: str) -> Build:
        """Take a symbol's day out of every table, and mark it as not whole."""
        known = self.day(symbol, date)
        build = Build(symbol, date, lake_sha, known.build + 1 if known else 1)
        self._mark(build, whole=False, rows=0)
        self.drop(symbol, date)
        return build

    def insert(self, build: Build, number: int, first_seq: int, events: pl.DataFrame) -> None:
        """Add a batch of a day; the same batch again adds nothing, and batches may come in any order.

        number, first_seq : the batch's place among the batches of its day, and its first event's in the day
        events : rows of the lake's event table
        """
        token = {"insert_deduplication_token": build.token(number), **EXACTLY_ONCE}
        with faults(self._login):
            table = warehouse_frame(build.symbol, first_seq, events).to_arrow(compat_level=pl.CompatLevel.oldest())
            self.client.insert_arrow(self._name("events"), table, settings=token)

    def finish(self, build: Build, rows: int) -> None:
        """Mark a day as whole."""
        self._mark(build, whole=True, rows=rows)

    def drop(self, symbol: str, date: str) -> None:
        """Take a symbol's day out of events and candles; other symbols of that day stay."""
        for statement in delete_statements(self.parameters):
            self._command(statement, {"symbol": symbol, "date": date}, _DELETE_AT_ONCE)

    def day(self, symbol: str, date: str) -> Day | None:
        """What was loaded of a symbol's day last; None if nothing ever was."""
        found = self._rows(
            f"SELECT newest, whole, lake_sha, rows FROM {self._name('days')} "
            "WHERE symbol = {symbol:String} AND date = {date:Date}",
            {"symbol": symbol, "date": date},
        )
        return Day(*found[0]) if found else None

    def rows_of(self, table: str, symbol: str, date: str) -> int:
        """Rows of a symbol's day; a candle that was not merged yet counts once for each part that has a piece of it."""
        where = "WHERE symbol = {symbol:String} AND toDate(ts) = {date:Date}"
        found = self._rows(f"SELECT count() FROM {self._name(table)} {where}", {"symbol": symbol, "date": date})
        return int(found[0][0])

    def optimize(self) -> None:
        """Merge what is waiting to be merged, and drop what has expired."""
        for table in TABLES:
            self._command(f"OPTIMIZE TABLE {self._name(self._local(table))} FINAL", {})

    def sizes(self) -> dict[str, int]:
        """Bytes on the server's disk, by table."""
        found = self._rows(
            "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = {database:String} "
            "GROUP BY table ORDER BY table",
            {"database": self.parameters.database},
        )
        return {str(table): int(size) for table, size in found}

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """The answer to a question; what would change or leave the warehouse is refused."""
        _require_question(sql)
        with faults(self._login):
            found = self._reader.query(sql, parameters=dict(parameters or {}), settings={"readonly": 1})
        return Answer(tuple(found.column_names), [tuple(row) for row in found.result_rows])

    def _mark(self, build: Build, whole: bool, rows: int) -> None:
        columns = ["symbol", "date", "build", "whole", "lake_sha", "rows"]
        values = "{symbol:String}, {date:Date}, {build:UInt32}, {whole:Bool}, {sha:String}, {rows:UInt64}"
        bound = {"symbol": build.symbol, "date": build.date, "build": build.number, "sha": build.lake_sha}
        sql = f"INSERT INTO {self._name('loads')} ({', '.join(columns)}) SELECT {values}"
        self._command(sql, bound | {"whole": whole, "rows": rows})

    def _require_schema(self) -> None:
        found = self._rows(
            "SELECT comment FROM system.tables WHERE database = {database:String} AND name = {name:String}",
            {"database": self.database, "name": self._local("loads")},
        )
        if found and found[0][0] != schema_version():
            raise WarehouseError(
                f"the tables of {self.database} are of version {found[0][0] or 'unknown'}, not {schema_version()}: "
                "name another database, or drop that one; the lake holds all of it"
            )

    def _lifetimes(self) -> dict[str, int]:
        names = [self._local(table) for table in TABLES]
        found = self._rows(
            "SELECT name, engine_full FROM system.tables WHERE database = {database:String}",
            {"database": self.parameters.database},
        )
        days = {name: _INTERVAL_DAYS.search(engine) for name, engine in found if name in names}
        return {name.removesuffix("_local"): int(match[1]) if match else 0 for name, match in days.items()}

    def _name(self, table: str) -> str:
        return f"{self.parameters.database}.{table}"

    def _local(self, table: str) -> str:
        return f"{table}_local" if self.parameters.cluster else table

    def _rows(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with faults(self._login):
            return [tuple(row) for row in self.client.query(sql, parameters=dict(parameters)).result_rows]

    def _command(self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> None:
        with faults(self._login):
            self.client.command(sql, parameters=dict(parameters), settings=dict(settings or {}))


def _require_question(sql: str) -> None:
    if not sql.strip():
        raise WarehouseError("the question is empty; write SQL, as in SELECT count() FROM tickloop.events")
    if _OUTFILE.search(sql):  # read-only sessions of chDB write files; the word alone is enough to refuse
        raise WarehouseError("readonly: a question may not hold the word OUTFILE, which writes a file")


_OUTFILE: Final = re.compile(r"outfile", re.IGNORECASE)
EXACTLY_ONCE: Final = {
    "insert_deduplicate": 1,  # a replicated table forgets tokens without it; an embedded one keeps them anyway
    "deduplicate_blocks_in_dependent_materialized_views": 1,  # also where a killed insert reached only some tables
    "insert_distributed_sync": 1,
}
_DELETE_AT_ONCE: Final = {"lightweight_deletes_sync": 2}  # on every replica, before what follows is inserted


def warehouse_frame(symbol: str, first_seq: int, events: pl.DataFrame) -> pl.DataFrame:
    """Events of the lake as rows of the warehouse: with their symbol, place in the day, and stamps as times."""
    time_type = pl.Datetime("ns", "UTC")
    stamped = events.with_row_index("seq", first_seq).with_columns(
        pl.lit(symbol).cast(pl.Categorical).alias("symbol"),
        pl.col("ingest_ts").cast(time_type).alias("ts"),
        pl.col("exchange_ts").cast(time_type),
    )
    return stamped.drop("ingest_ts")


def regrouped(batches: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in the same order, in batches of at least ``rows``, but for the last; the pieces are not cut."""
    waiting: list[pl.DataFrame] = []
    for batch in batches:
        waiting.append(batch)
        if sum(piece.height for piece in waiting) >= rows:
            yield pl.concat(waiting)
            waiting = []
    if waiting and (rest := pl.concat(waiting)).height:
        yield rest


@contextmanager
def faults(login: Login = Login()) -> Iterator[None]:
    """Say what ClickHouse refused in one line, without its version, and without our password."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        yield
    except ClickHouseError as error:
        raise WarehouseError(_one_line(str(error), login)) from None


def _own(stack: ExitStack, parameters: WarehouseParameters, folder: Path) -> None:
    busy = WarehouseError(f"the warehouse {folder} is open in another process; it has one owner at a time")
    deadline = time.monotonic() + parameters.patience_s
    while True:
        try:
            stack.enter_context(locked(folder / ".owner", busy))
            return
        except WarehouseError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_S)


def identity_of(folder: Path) -> str | None:
    """The name that a warehouse got when it was made; whoever loaded into another one has to load again."""
    path = folder / "identity"
    return path.read_text() if path.exists() else None


def _name_itself(folder: Path) -> None:
    if identity_of(folder) is None:
        replace_file(folder / "identity", uuid4().hex.encode())


def connect(parameters: WarehouseParameters, folder: Path, login: Login, answer_s: float = LOAD_S) -> "Client":
    """``answer_s``: how long a server may be silent. Raises WarehouseError if none answers."""
    from clickhouse_connect.driver.exceptions import OperationalError

    client_of = _client_of()
    if not parameters.url:
        return client_of(interface="chdb", path=str(folder / "chdb"))
    parts = urlsplit(parameters.url)
    try:
        return _server(client_of, parts, login, answer_s)
    except OperationalError as error:
        raise WarehouseError(f"no ClickHouse server answers at {parameters.url}") from error


def _server(connect: "Callable[..., Client]", parts: SplitResult, login: Login, answer_s: float) -> "Client":
    return connect(
        interface=parts.scheme,
        host=parts.hostname,
        port=parts.port or (8443 if parts.scheme == "https" else 8123),
        username=login.user or None,
        password=login.password,
        autogenerate_session_id=False,
        compress=False,
        connect_timeout=min(answer_s, _CONNECT_S),
        send_receive_timeout=answer_s,
    )


def _client_of() -> Callable[..., "Client"]:
    from clickhouse_connect import get_client

    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())  # what it logs, we raise
    return get_client


def _one_line(text: str, login: Login) -> str:
    line = " ".join(text.split())
    line = re.sub(r"\s*\(version [^)]*\)", "", line)
    line = re.sub(r"(Code: \d+\. )(DB::Exception: Code: \d+\. )?DB::Exception: ", "", line)
    if login.password:
        line = line.replace(login.password, "***")
    return f"ClickHouse: {line[:400]}"
