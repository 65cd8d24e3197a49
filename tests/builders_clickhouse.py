"""ClickHouse for tests: an embedded warehouse, and a small HTTP front over the same engine in place of a server."""

import re
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import numpy as np
import polars as pl

from market.events import BBO, BUY, FIRST, GAP, LAST, LEVEL, LIQUIDATION, NO_SIDE, SELL, TRADE, empty_events
from market.schema import events_to_frame
from storage.clickhouse import Login, Warehouse, open_warehouse
from storage.clickhouse_parameters import WarehouseParameters
from tests.builders import serving

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

SYMBOL: Final = "binance-usdm-btcusdt"
DATE: Final = "2024-08-08"
MIDNIGHT: Final = 1_723_075_200_000_000_000  # ns, when DATE begins
USER: Final = "reader"
PASSWORD: Final = "correct horse"
_INSERT: Final = re.compile(
    r"INSERT INTO (?P<table>\S+)(?: \((?P<columns>[^)]*)\))?\s+FORMAT (?P<format>\w+)\s*$", re.S
)
_OWN: Final = (  # of the protocol, no settings of the engine
    "query", "database", "session_id", "query_id", "client_protocol_version",
    "wait_end_of_query", "cancel_http_readonly_queries_on_client_close",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms",
)  # fmt: skip


def embedded_parameters(**changes: Any) -> WarehouseParameters:
    """An embedded warehouse that keeps everything and waits for nobody."""
    values = {"enabled": True, "url": "", "database": "tickloop", "cluster": "", "ttl_days": 0, "candle_ttl_days": 0}
    return WarehouseParameters(**(values | {"batch_rows": 1, "token_window": 1000, "patience_s": 0.0} | changes))


def random_tape(generator: np.random.Generator, count: int, seconds: float = 150.0) -> pl.DataFrame:
    """A day's worth of events of every kind in the order of their arrival, many of them at the same instant."""
    events = empty_events(count)
    events["kind"] = generator.choice([LEVEL, BBO, BBO, TRADE, TRADE, LIQUIDATION, GAP], count)
    events["side"] = generator.choice([BUY, SELL], count)
    events["side"][events["kind"] == GAP] = NO_SIDE
    events["flags"] = FIRST | LAST
    steps = generator.integers(0, max(2, int(2 * seconds / max(1, count) * 1e9)), count) * generator.integers(
        0, 2, count
    )
    events["ingest_ts"] = MIDNIGHT + 3_600_000_000_000 + np.cumsum(steps)
    events["exchange_ts"] = events["ingest_ts"] - generator.integers(0, 50_000_000, count)
    events["delay_ns"] = events["ingest_ts"] - events["exchange_ts"]
    events["price"] = 600_000 + np.cumsum(generator.integers(-3, 4, count))
    events["qty"] = generator.integers(0, 2**40, count)
    events["update_id"] = np.arange(count)
    return events_to_frame(events)


@contextmanager
def either_warehouse(kind: str, folder: Path) -> Iterator[Warehouse]:
    """A warehouse in this process ("embedded"), or the same engine behind the HTTP front ("http")."""
    if kind == "embedded":
        with open_warehouse(embedded_parameters(), folder) as opened:
            yield opened
        return
    with (
        http_front(folder / "server") as address,
        open_warehouse(embedded_parameters(url=address), folder, Login(USER, PASSWORD)) as opened,
    ):
        yield opened


@contextmanager
def http_front(folder: Path) -> Iterator[str]:
    """The address of a server that answers clickhouse-connect's HTTP client from chDB in ``folder``.

    It asks for USER and PASSWORD. No compression, no sessions: clickhouse-connect is told to use neither.
    """
    from clickhouse_connect import get_client

    def session() -> "Client":
        return get_client(interface="chdb", path=str(folder))

    engine = session()
    with closing(engine), serving(ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(engine, session))) as url:
        yield url


class StoppableFront:
    """The same server on one port through its stops and starts: connections are cut, and whoever comes is refused."""

    def __init__(self, engine: "Client", session: "Callable[[], Client]") -> None:
        self._handler = _handler_of(engine, session)
        self._open = ExitStack()
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        """Where it is, or was."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Answer again."""
        self._open.close()
        server = _Cut(("127.0.0.1", self.port), self._handler)
        self.port = server.server_port
        self._open.callback(server.cut)
        self._open.enter_context(serving(server))

    def stop(self) -> None:
        """Be gone."""
        self._open.close()

    def hang(self) -> None:
        """Take connections, and answer nobody."""
        self._open.close()
        self._open.enter_context(socket.create_server(("127.0.0.1", self.port)))


class _Cut(ThreadingHTTPServer):
    """A server whose clients can be cut off."""

    def __init__(self, *where: Any) -> None:
        self._clients: list[socket.socket] = []
        super().__init__(*where)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._clients.append(request)
        super().process_request(request, client_address)

    def cut(self) -> None:
        """Cut them."""
        for client in self._clients:
            with suppress(OSError):  # it is gone already
                client.shutdown(socket.SHUT_RDWR)


@contextmanager
def stoppable_front(folder: Path) -> Iterator[StoppableFront]:
    """A front over chDB in ``folder``, as ``http_front``; gone when the block ends."""
    from clickhouse_connect import get_client

    def session() -> "Client":
        return get_client(interface="chdb", path=str(folder))

    engine = session()
    with closing(engine):
        front = StoppableFront(engine, session)
        try:
            yield front
        finally:
            front.stop()


def _handler_of(engine: "Client", session: Callable[[], "Client"]) -> type[BaseHTTPRequestHandler]:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    one_at_a_time = Lock()

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # an answer goes out in two pieces

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

        def _answer(self, body: bytes) -> None:
            if self.headers.get("Authorization") != _BASIC:
                self._send(403, b"Code: 516. DB::Exception: reader: Authentication failed: password is incorrect")
                return
            try:
                with one_at_a_time:
                    self._send(200, self._content(body))
            except ClickHouseError as refused:
                self._send(500, str(refused).encode())

        def _content(self, body: bytes) -> bytes:
            asked = urlsplit(self.path).query
            if "readonly" not in parse_qs(asked):
                return _run(engine, asked, body)
            with closing(session()) as reader:  # what is set read-only stays so
                return _run(reader, asked, body)

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Front


_BASIC: Final = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def _run(engine: "Client", url_query: str, body: bytes) -> bytes:
    """What a server would answer: the parameters of the address are the settings and the bound values."""
    given = {key: values[0] for key, values in parse_qs(url_query).items()}
    bound = {key.removeprefix("param_"): value for key, value in given.items() if key.startswith("param_")}
    settings = {key: value for key, value in given.items() if key not in _OWN and not key.startswith("param_")}
    head, _, data = body.partition(b"\n") if "query" not in given else (given["query"].encode(), b"", body)
    if insert := _INSERT.fullmatch(head.decode(errors="replace").strip()):
        names = [name.strip(" `") for name in insert["columns"].split(",")]
        engine.raw_insert(insert["table"], names, data, settings, insert["format"])
        return b""
    return engine.raw_query((given.get("query", "") + body.decode()), bound, settings, use_database=False)
