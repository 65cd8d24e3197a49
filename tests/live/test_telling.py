"""What a ClickHouse server is told: every row once, later if it was away, the newest if there is no room for all."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from live.exporter import PrometheusMeters
from live.telling import Teller, frame_of
from market.errors import WarehouseError
from market.orders import REPORT
from storage.clickhouse import Login, connect
from storage.clickhouse_schema import rendered
from storage.journal import DECISION, read_journal
from storage.live_tables import SCHEMAS, LiveTables
from storage.outbox import Outbox, table_of
from tests.builders_clickhouse import PASSWORD, USER, embedded_parameters, http_front
from tests.builders_runner import START, drive, new_runner, quick_plan, synthetic_frames
from trading.decisions import Decision, Turn
from trading.records import DECISION as DECISION_RECORD
from trading.records import INTENT

ROOM = 10_000_000


class Server:
    """Takes batches while it is up, and remembers them by their tokens, as ClickHouse does."""

    def __init__(self, up: bool = True) -> None:
        self.up = up
        self.batches: dict[str, tuple[str, pl.DataFrame]] = {}
        self.asked = 0

    def insert(self, table: str, frame: pl.DataFrame, token: str) -> None:
        self.asked += 1
        if not self.up:
            raise WarehouseError("no ClickHouse server answers")
        self.batches.setdefault(token, (table, frame))

    def rows(self, table: str) -> pl.DataFrame:
        empty = pl.DataFrame(schema=SCHEMAS[table])
        return pl.concat([empty, *(frame for of, frame in self.batches.values() if of == table)])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


def told(folder: Path, seconds: float, *tellers: Teller) -> None:
    """A runner on a tape, with this audience."""
    runner = new_runner(folder)
    runner.audience += tellers
    drive(runner, synthetic_frames(seconds))
    runner.close()


def test_a_server_gets_every_row_signal_fill_and_latency_once(tmp_path: Path) -> None:
    server, meters = Server(), PrometheusMeters("x")
    teller = Teller(server, Outbox(tmp_path / "outbox", ROOM), meters, batch_s=0.05)
    told(tmp_path, 8.0, teller)
    teller.close()
    decided = sum(record.kind == DECISION for record in read_journal(tmp_path / "journal"))
    signals, clocks = server.rows("live_signals"), server.rows("live_latencies")
    assert signals.height == clocks.height == decided > 500
    assert signals.select("ts", "desk").n_unique() == decided
    assert server.rows("live_rows").height == decided // 2
    assert server.rows("live_rows")["values"].list.len().unique().to_list() == [len(frame_values())]
    assert server.rows("live_fills").height > 0
    assert signals["ts"].min().timestamp() == pytest.approx(START / 1e9, abs=1)
    assert meters.value("outbox_bytes") == 0


def frame_values() -> tuple[str, ...]:
    from features.catalogue import feature_names
    from tests.builders_runner import quick_plan

    return feature_names(quick_plan().features)


def test_what_an_absent_server_missed_is_caught_up_with_also_by_the_next_process(tmp_path: Path) -> None:
    away, box = Server(up=False), tmp_path / "outbox"
    first = Teller(away, Outbox(box, ROOM), PrometheusMeters("x"), batch_s=0.01)
    told(tmp_path, 3.0, first)
    until(lambda: away.asked > 1)
    first.close()
    assert not away.batches
    assert list(box.glob("*.parquet"))
    server = Server()
    second = Teller(server, Outbox(box, ROOM), PrometheusMeters("x"), batch_s=0.01)
    until(lambda: not list(box.glob("*.parquet")))
    second.close()
    decided = sum(record.kind == DECISION for record in read_journal(tmp_path / "journal"))
    assert server.rows("live_signals").height == decided > 100


def test_a_server_that_comes_back_gets_what_waits(tmp_path: Path) -> None:
    server, box = Server(up=False), Outbox(tmp_path / "outbox", ROOM)
    teller = Teller(server, box, PrometheusMeters("x"), batch_s=0.01)
    told(tmp_path, 3.0, teller)
    until(lambda: server.asked > 0 and box.bytes > 0)
    server.up = True
    until(lambda: box.bytes == 0)
    teller.close()
    assert server.rows("live_signals").height > 100


def test_the_oldest_batches_leave_an_outbox_without_room_and_are_counted(tmp_path: Path) -> None:
    frame = frame_of("live_latencies", [("x", START, "model", START, START, START, 0)])
    probe = Outbox(tmp_path / "probe", ROOM)
    probe.put("live_latencies", frame, "a" * 32)
    box = Outbox(tmp_path / "box", 3 * probe.bytes)
    for _ in range(5):
        box.put("live_latencies", frame, "a" * 32)
    assert (box.dropped, len(list(box.waiting()))) == (2, 3)
    assert [path.name[:12] for path in box.waiting()] == [f"{number:012d}" for number in (3, 4, 5)]
    assert sorted((tmp_path / "box").iterdir()) == list(box.waiting())
    again = Outbox(tmp_path / "box", ROOM)
    again.put("live_latencies", frame, "b" * 32)
    assert [table_of(path) for path in again.waiting()] == ["live_latencies"] * 4
    assert pl.read_parquet(next(again.waiting())).equals(frame)


def test_a_file_that_is_no_batch_is_left_alone(tmp_path: Path) -> None:
    for name in ("stray.parquet", "000000000009-live_rows.parquet"):
        (tmp_path / name).write_bytes(b"somebody else's")
    box = Outbox(tmp_path, ROOM)
    assert (list(box.waiting()), box.bytes) == ([], 0)
    box.put("live_rows", pl.DataFrame({"ts": [1]}), "0" * 32)
    assert [path.name for path in Outbox(tmp_path, ROOM).waiting()] == [f"000000000001-live_rows-{'0' * 32}.parquet"]
    assert (tmp_path / "stray.parquet").read_bytes() == b"somebody else's"


def test_a_damaged_batch_is_counted_and_holds_nobody_up(tmp_path: Path) -> None:
    box, server, meters = Outbox(tmp_path, ROOM), Server(up=False), PrometheusMeters("x")
    frame = frame_of("live_latencies", [("x", START, "model", START, START, START, 0)])
    for mark in ("a", "b"):
        box.put("live_latencies", frame, mark * 32)
    next(box.waiting()).write_bytes(b"torn")
    server.up = True
    Teller(server, box, meters, batch_s=0.01).close()
    assert meters.value("untold_batches_total") == 1
    assert server.rows("live_latencies").height == 1


def test_clickhouse_keeps_each_batch_once_whatever_is_sent_twice(tmp_path: Path) -> None:
    with http_front(tmp_path / "server") as address:
        parameters, login = embedded_parameters(url=address), Login(USER, PASSWORD)
        outbox = Outbox(tmp_path / "outbox", ROOM)

        class Unsure(LiveTables):
            """Stores every third batch, and says that it did not."""

            sent = 0

            def insert(self, table: str, frame: pl.DataFrame, token: str) -> None:
                super().insert(table, frame, token)
                self.sent += 1
                if self.sent % 3 == 1:
                    raise WarehouseError("the line went dead before the answer")

        teller = Teller(Unsure(parameters, login), outbox, PrometheusMeters("x"), batch_s=0.1)
        told(tmp_path, 8.0, teller)
        until(lambda: outbox.bytes == 0)
        teller.close()
        client = connect(parameters, tmp_path, login)
        decided = sum(record.kind == DECISION for record in read_journal(tmp_path / "journal"))
        for table, count in (("live_signals", decided), ("live_latencies", decided), ("live_rows", decided // 2)):
            assert client.query(f"SELECT count() FROM tickloop.{table}").result_rows == [(count,)]
        assert client.query("SELECT count() > 0, min(length(desk)) FROM tickloop.live_fills").result_rows == [(True, 5)]
        client.close()


def test_a_signal_bears_spread_interval_and_set_of_its_decision(tmp_path: Path) -> None:
    server = Server()
    teller = Teller(server, Outbox(tmp_path, ROOM), PrometheusMeters("x"), batch_s=0.01)
    record = np.zeros(1, DECISION_RECORD)
    record["spread_bp"], record["lower_bp"], record["upper_bp"], record["classes"] = 0.25, -1.5, 2.5, 6
    desk = SimpleNamespace(name="probe", place=1, bundle_sha="ab", session=SimpleNamespace(row=None))
    teller.row(quick_plan(), desk, Turn(Decision(record, np.zeros(0, INTENT)), np.zeros(0, REPORT)))
    teller.close()
    told_of = server.rows("live_signals").select("spread_bp", "lower_bp", "upper_bp", "classes")
    assert told_of.rows() == [(0.25, -1.5, 2.5, 6)]


def test_a_table_of_an_earlier_version_gets_the_new_columns_and_keeps_its_rows(tmp_path: Path) -> None:
    added = ("spread_bp", "lower_bp", "upper_bp", "classes")
    rows = [("x", START + n, "model", "", n, 0, *(0.0,) * 6, 0, 0, 0.0, 0.5, -1.0, 1.5, 5) for n in range(2)]
    frame = frame_of("live_signals", rows)
    with http_front(tmp_path / "server") as address:
        parameters, login = embedded_parameters(url=address), Login(USER, PASSWORD)
        client = connect(parameters, tmp_path, login)
        client.command("CREATE DATABASE tickloop")
        made = rendered("live_signals.sql", {"database": "tickloop", "settings": "index_granularity = 8192"})
        client.command("\n".join(line for line in made.splitlines() if line.split()[0] not in added).replace(
            "equity Float64 CODEC(ZSTD(1)),", "equity Float64"
        ))  # fmt: skip
        tables = LiveTables(parameters, login)
        tables.insert("live_signals", frame[:1].drop(added), "from an outbox of that version")
        tables.insert("live_signals", frame[1:], "of this one")
        found = client.query(f"SELECT isNaN(spread_bp), {', '.join(added[1:])} FROM tickloop.live_signals ORDER BY ts")
        client.close()
    old, new = found.result_rows
    assert (old[0], old[3]) == (1, 0)
    assert np.isnan(old[1:3]).all()
    assert new == (0, -1.0, 1.5, 5)


def test_a_server_that_does_not_answer_is_one_clear_line(tmp_path: Path) -> None:
    parameters = embedded_parameters(url="http://127.0.0.1:9")
    frame = frame_of("live_latencies", [("x", START, "model", START, START, START, 0)])
    with pytest.raises(WarehouseError, match="no ClickHouse server answers at"):
        LiveTables(parameters, Login(USER, PASSWORD)).insert("live_latencies", frame, "t")
