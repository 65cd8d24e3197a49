"""What the runner tells a ClickHouse server: gathered row by row, sent by a thread, on disk while nobody answers."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from uuid import uuid4

import polars as pl

from live.desk import Desk
from live.plan import MODEL_DESK, LivePlan
from market.errors import WarehouseError
from market.orders import FILL
from monitoring.metrics import Meters
from storage.consumer_thread import ConsumerThread
from storage.live_tables import SCHEMAS, Sink
from storage.outbox import Outbox, table_of
from trading.decisions import Turn

BATCH_S: Final = 1.0  # between two batches
MOST_ROWS: Final = 200_000  # gathered of a table while the thread is busy; more are dropped
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0
_SIGNAL: Final = tuple(name for name in SCHEMAS["live_signals"] if name not in ("symbol", "ts", "desk", "bundle_sha"))
_FILL: Final = tuple(name for name in SCHEMAS["live_fills"] if name not in ("symbol", "ts", "desk"))
_CLOCKS: Final = ("exchange_ts", "ingest_ts", "infer_ts", "delay_ns")


class Teller:
    """Gathers what every row brings, and sees to it that a server gets it: the journal stays the truth."""

    def __init__(self, sink: Sink, outbox: Outbox, meters: Meters, batch_s: float = BATCH_S) -> None:
        self._sink = sink
        self._outbox = outbox
        self._meters = meters
        self._batch_s = batch_s
        self._mark = uuid4().hex
        self._gathered: dict[str, deque[tuple[Any, ...]]] = {name: deque(maxlen=MOST_ROWS) for name in SCHEMAS}
        self._ending = threading.Event()
        died = partial(meters.count, "background_task_deaths")
        self._thread = ConsumerThread("outbox", self._run, self._ending, lambda name: died(task=name))

    def row(self, plan: LivePlan, desk: Desk, turn: Turn) -> None:
        """One row of a desk; never blocks."""
        symbol, record, row = plan.instrument.name, turn.decision.record[0], desk.session.row
        ts, of_desk = int(record["row_ts"]), (symbol, int(record["row_ts"]), desk.name)
        self._add("live_signals", (*of_desk, desk.bundle_sha, *record[list(_SIGNAL)].item()))
        self._add("live_latencies", (*of_desk, *record[list(_CLOCKS)].item()))
        if desk.place == MODEL_DESK and row is not None:
            touch = (row.status, row.best_bid, row.best_ask)
            self._add("live_rows", (symbol, ts, *touch, plan.catalogue_sha, row.values.tolist()))
        for fill in turn.reports[turn.reports["kind"] == FILL]:
            self._add("live_fills", (symbol, int(fill["visible_ts"]), desk.name, *fill[list(_FILL)].item()))

    def close(self) -> None:
        """Write down what was gathered, try the server once more, and end the thread."""
        self._ending.set()
        self._thread.join()

    def _add(self, table: str, row: tuple[Any, ...]) -> None:
        rows = self._gathered[table]
        if len(rows) == MOST_ROWS:
            self._meters.count("untold_rows", table=table)
        rows.append(row)

    def _run(self) -> None:
        pause_s, quiet_until = 0.0, 0.0
        while True:
            ending = self._ending.wait(self._batch_s)
            self._write_down()
            self._meters.set("outbox_bytes", self._outbox.bytes)  # also while a server that hangs is waited for
            if ending or time.monotonic() >= quiet_until:
                pause_s = 0.0 if self._send() else min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * pause_s))
                quiet_until = time.monotonic() + pause_s
            self._meters.set("outbox_bytes", self._outbox.bytes)
            if ending:
                return

    def _write_down(self) -> None:
        dropped = self._outbox.dropped
        for table, rows in self._gathered.items():
            taken = [rows.popleft() for _ in range(len(rows))]
            if not taken:
                continue
            try:
                self._outbox.put(table, frame_of(table, taken), self._mark)
            except OSError:
                self._meters.count("untold_rows", len(taken), table=table)
        if self._outbox.dropped > dropped:
            self._meters.count("untold_batches", self._outbox.dropped - dropped)

    def _send(self) -> bool:
        """Whether the server took all that waits."""
        for path in self._outbox.waiting():
            try:
                self._sink.insert(table_of(path), pl.read_parquet(path), path.stem)
            except WarehouseError:
                return False
            except (pl.exceptions.PolarsError, ValueError, OSError):  # the file is not as we wrote it
                self._meters.count("untold_batches")
            self._outbox.remove(path)
        return True


def frame_of(table: str, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Gathered rows as the table's columns; stamps are ns UTC."""
    schema: Mapping[str, pl.DataType] = SCHEMAS[table]
    plain = {name: pl.Int64() if isinstance(kind, pl.Datetime) else kind for name, kind in schema.items()}
    return pl.DataFrame(rows, plain, orient="row").cast(dict(schema))  # type: ignore[arg-type]
