"""The warehouse, embedded and through an HTTP front over the same engine: schema, tokens, rebuilds, refusals."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from market.errors import WarehouseError
from market.events import BBO, BUY, FIRST, GAP, LAST, LIQUIDATION, SELL, TRADE, empty_events
from market.schema import events_to_frame
from storage.clickhouse import Warehouse, regrouped
from storage.clickhouse_parity import parity_with_lake
from storage.clickhouse_schema import TABLES
from tests.builders_clickhouse import (
    DATE,
    MIDNIGHT,
    SYMBOL,
    either_warehouse,
    random_tape,
)

OTHER = "binance-spot-btcusdt"


@pytest.fixture(scope="module", params=["embedded", "http"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """One warehouse for all tests of this file."""
    with either_warehouse(request.param, tmp_path_factory.mktemp("warehouse")) as opened:
        yield opened


@pytest.fixture
def warehouse(engine: Warehouse) -> Warehouse:
    """The same without events and candles: what was once loaded it remembers."""
    for table in TABLES:
        engine.client.command(f"TRUNCATE TABLE tickloop.{table}")
    return engine


def configured(warehouse: Warehouse, **changes: Any) -> Warehouse:
    """Another database in the same engine, its tables made."""
    other = Warehouse(warehouse.client, replace(warehouse.parameters, **changes))
    other.create()
    return other


def batches_of(tape: pl.DataFrame, rows: int) -> list[pl.DataFrame]:
    return [tape.slice(start, rows) for start in range(0, tape.height, rows)]


def differing(warehouse: Warehouse, tape: pl.DataFrame, symbol: str = SYMBOL) -> dict[str, int]:
    """Rows on one side only; the lake's side is DuckDB over the same rows."""
    return parity_with_lake(
        warehouse, symbol, DATE, lambda connection: connection.from_arrow(tape.to_arrow())
    ).differing


EQUAL = {"events": 0, "candles_1s": 0, "candles_1m": 0}


def hand_tape() -> pl.DataFrame:
    """Two trades at one instant, a quote of both sides, a liquidation and a gap in second 0; one trade in second 61."""
    rows = [
        (0, TRADE, BUY, 100, 2),
        (0, TRADE, SELL, 104, 3),
        (5, BBO, BUY, 99, 7),
        (5, BBO, SELL, 103, 8),
        (6, BBO, BUY, 97, 5),
        (7, LIQUIDATION, SELL, 98, 11),
        (8, GAP, 0, 0, 0),
        (61_000, TRADE, BUY, 90, 1),
    ]
    events = empty_events(len(rows))
    events["flags"] = FIRST | LAST
    for event, (ms, kind, side, price, qty) in zip(events, rows, strict=True):
        event["ingest_ts"] = MIDNIGHT + ms * 1_000_000
        event["kind"], event["side"], event["price"], event["qty"] = kind, side, price, qty
    return events_to_frame(events)


def test_a_bar_is_the_one_worked_out_by_hand(warehouse: Warehouse) -> None:
    warehouse.rebuild(SYMBOL, DATE, "sha", [hand_tape()])
    answer = warehouse.query(f"SELECT * FROM tickloop.bars_1m WHERE symbol = '{SYMBOL}' ORDER BY ts")
    first, second = (dict(zip(answer.columns, row, strict=True)) for row in answer.rows)
    assert str(first.pop("ts"))[:19] == "2024-08-08 00:00:00"
    assert first == {
        "symbol": SYMBOL,
        "open": 100, "high": 104, "low": 100, "close": 104,
        "volume": 5, "buy_volume": 2, "trades": 2, "notional": 512, "vwap": 102.4,
        "bid": 97, "bid_qty": 5, "ask": 103, "ask_qty": 8, "mid": 100.0, "spread": 6, "spread_mean": 5.0, "quotes": 3,
        "liquidated": 11, "gaps": 1,
    }  # fmt: skip
    assert (second["open"], second["close"], second["volume"], second["bid"], second["mid"]) == (90, 90, 1, None, None)


def test_a_day_without_trades_has_bars_without_prices(warehouse: Warehouse) -> None:
    quotes = hand_tape().filter(pl.col("kind") == BBO)
    warehouse.rebuild(SYMBOL, DATE, "sha", [quotes])
    columns = "open, high, low, close, vwap, volume, mid"
    answer = warehouse.query(f"SELECT {columns} FROM tickloop.bars_1s WHERE symbol = '{SYMBOL}'")
    assert differing(warehouse, quotes) == EQUAL
    assert answer.rows == [(None, None, None, None, None, 0, 100.0)]


def test_every_column_of_an_event_comes_back(warehouse: Warehouse) -> None:
    tape = random_tape(np.random.default_rng(1), 200)
    warehouse.rebuild(SYMBOL, DATE, "sha", batches_of(tape, 70))
    columns = [name if not name.endswith("_ts") else f"toUnixTimestamp64Nano({name})" for name in tape.columns]
    names = ", ".join(columns).replace("ingest_ts", "ts")
    sql = f"SELECT {names} FROM tickloop.events WHERE symbol = '{SYMBOL}' ORDER BY seq"
    assert warehouse.query(sql).rows == tape.rows()


def test_a_batch_is_taken_once_also_after_merging(warehouse: Warehouse) -> None:
    tape = random_tape(np.random.default_rng(2), 300)
    build = warehouse.begin(SYMBOL, DATE, "sha")
    for number in (2, 0, 0, 1, 2):
        warehouse.insert(build, number, 100 * number, tape.slice(100 * number, 100))
    assert differing(warehouse, tape) == EQUAL
    warehouse.optimize()
    for number in (1, 0, 2):
        warehouse.insert(build, number, 100 * number, tape.slice(100 * number, 100))
    assert differing(warehouse, tape) == EQUAL


@pytest.mark.parametrize("missed", ["candles_1s", "candles_1m"])
def test_a_repeated_batch_fills_a_view_that_an_earlier_insert_did_not_reach(warehouse: Warehouse, missed: str) -> None:
    tape = random_tape(np.random.default_rng(3), 100)
    build = warehouse.begin(SYMBOL, DATE, "sha")
    warehouse.client.command(f"DROP VIEW tickloop.{missed}_feed")  # as if killed before the candles had their part
    warehouse.insert(build, 0, 0, tape)
    warehouse.create()
    assert differing(warehouse, tape)[missed] > 0
    warehouse.insert(build, 0, 0, tape)
    assert differing(warehouse, tape) == EQUAL


def test_a_rebuild_replaces_its_day_and_no_other_symbols(warehouse: Warehouse) -> None:
    old, new, other = (random_tape(np.random.default_rng(seed), 150) for seed in (4, 5, 6))
    warehouse.rebuild(OTHER, DATE, "other", [other])
    warehouse.rebuild(SYMBOL, DATE, "old", batches_of(old, 60))
    warehouse.optimize()  # both symbols in one part
    assert warehouse.rebuild(SYMBOL, DATE, "new", batches_of(new, 60)) == 150
    assert differing(warehouse, new) == EQUAL
    assert differing(warehouse, other, OTHER) == EQUAL
    day = warehouse.day(SYMBOL, DATE)
    assert day is not None
    assert (day.whole, day.lake_sha, day.rows) == (True, "new", 150)


def test_a_rebuild_from_the_same_bytes_is_not_taken_for_a_repetition(warehouse: Warehouse) -> None:
    tape = random_tape(np.random.default_rng(7), 90)
    for _ in range(2):
        warehouse.rebuild(SYMBOL, DATE, "sha", [tape])
        assert differing(warehouse, tape) == EQUAL


def test_a_load_that_ends_early_leaves_a_mark_and_the_next_one_mends_it(warehouse: Warehouse) -> None:
    tape = random_tape(np.random.default_rng(8), 200)

    def broken() -> Iterator[pl.DataFrame]:
        yield tape.slice(0, 120)
        raise OSError(28, "No space left on device")

    warehouse.rebuild(SYMBOL, DATE, "sha", [tape])
    with pytest.raises(OSError, match="No space left"):
        warehouse.rebuild(SYMBOL, DATE, "sha", broken())
    day = warehouse.day(SYMBOL, DATE)
    assert day is not None
    assert not day.whole
    assert differing(warehouse, tape)["events"] > 0
    warehouse.rebuild(SYMBOL, DATE, "sha", [tape])
    assert differing(warehouse, tape) == EQUAL


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE tickloop.events",
        "INSERT INTO tickloop.loads SELECT 'x', today(), 1, true, '', 0, now()",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 INTO OUTFILE 'answer.txt' TRUNCATE",
        "SELECT 1 into/**/\nOutfile 'answer.txt'",
    ],
)
def test_a_query_cannot_change_or_leave_the_warehouse(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(WarehouseError, match="readonly") as refused:
        warehouse.query(sql)
    assert "\n" not in str(refused.value)
    assert warehouse.query("SELECT count() FROM tickloop.loads WHERE symbol = 'x'").rows == [(0,)]


def test_an_empty_question_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="question is empty"):
        warehouse.query("  ")


def test_rows_that_changed_places_are_seen(warehouse: Warehouse) -> None:
    tape = hand_tape()
    swapped = pl.concat([tape[1], tape[0], tape[2:]]).with_columns(tape["ingest_ts"])
    warehouse.rebuild(SYMBOL, DATE, "sha", [swapped])
    assert differing(warehouse, tape)["events"] > 0


def test_a_refused_question_keeps_nobody_from_loading(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="readonly"):
        warehouse.query("INSERT INTO tickloop.loads SELECT 'x', today(), 1, true, '', 0, now()")
    assert warehouse.rebuild(SYMBOL, DATE, "sha", [hand_tape()]) == 8


def test_a_wrong_query_is_answered_in_one_line(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="Unknown expression identifier") as refused:
        warehouse.query("SELECT prize FROM tickloop.events")
    assert "\n" not in str(refused.value)
    assert "version" not in str(refused.value)


def test_the_lifetime_follows_the_configuration(warehouse: Warehouse) -> None:
    days = "extract(engine_full, 'toIntervalDay.([0-9]+)')"
    sql = f"SELECT {days} FROM system.tables WHERE database = 'aging' AND name = 'events'"
    for expected in ("", "30", "7", ""):
        configured(warehouse, database="aging", ttl_days=int(expected or 0))
        assert warehouse.query(sql).rows == [(expected,)]


def test_what_is_older_than_the_lifetime_is_dropped(warehouse: Warehouse) -> None:
    aged = configured(warehouse, database="aged", ttl_days=1)
    aged.rebuild(SYMBOL, DATE, "sha", [random_tape(np.random.default_rng(9), 50)])
    aged.optimize()
    assert aged.rows_of("events", SYMBOL, DATE) == 0
    assert aged.rows_of("candles_1m", SYMBOL, DATE) > 0


def test_tables_of_another_version_are_refused_in_one_line(warehouse: Warehouse) -> None:
    older = configured(warehouse, database="older")
    older.client.command("ALTER TABLE older.loads MODIFY COMMENT 'older'")
    with pytest.raises(WarehouseError, match="are of version older, not [0-9a-f]{12}: name another"):
        older.create()


def test_parity_sees_a_quote_that_was_overtaken_within_its_second(warehouse: Warehouse) -> None:
    tape = hand_tape()
    first_bid = (pl.col("kind") == BBO) & (pl.col("price") == 99)
    warehouse.rebuild(SYMBOL, DATE, "sha", [tape])
    assert differing(warehouse, tape) == EQUAL
    changed = tape.with_columns(pl.col("price") - first_bid)  # no first, last or extreme: the mean spread alone
    assert differing(warehouse, changed) == {"events": 2, "candles_1s": 2, "candles_1m": 2}  # a row on either side


def test_batches_are_joined_and_never_cut() -> None:
    tape = random_tape(np.random.default_rng(10), 100)
    pieces = list(regrouped(batches_of(tape, 15), 40))
    assert [piece.height for piece in pieces] == [45, 45, 10]
    assert pl.concat(pieces).equals(tape)
    assert list(regrouped([tape.clear()], 10)) == []
