"""Whatever comes late, twice, out of order or half, the warehouse ends as DuckDB sees the lake, to the last row."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.schema import events_to_frame, schema_sha
from storage.clickhouse import Build, Warehouse
from storage.clickhouse_parity import Parity, parity_with_lake, warehouse_tables
from storage.clickhouse_schema import TABLES
from storage.lake import Lake
from tests.builders_clickhouse import (
    DATE,
    SYMBOL,
    either_warehouse,
    random_tape,
)
from tests.builders_market import recorded_events

EQUAL = {"events": 0, "candles_1s": 0, "candles_1m": 0}


@pytest.fixture(scope="module", params=["embedded", "http"])
def warehouse(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with either_warehouse(request.param, tmp_path_factory.mktemp("warehouse")) as opened:
        yield opened


def parity(warehouse: Warehouse, tape: pl.DataFrame, symbol: str = SYMBOL) -> Parity:
    return parity_with_lake(warehouse, symbol, DATE, lambda connection: connection.from_arrow(tape.to_arrow()))


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[pl.DataFrame], list[int]]:
    """The batches of a day, cut anywhere, and the order in which they come: each at least once."""
    tape = random_tape(np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.integers(1, 400)))
    inner = draw(st.lists(st.integers(1, tape.height), max_size=4))
    cuts = [0, *sorted({cut for cut in inner if cut < tape.height}), tape.height]
    batches = [tape.slice(start, end - start) for start, end in itertools.pairwise(cuts)]
    repeated = draw(st.lists(st.integers(0, len(batches) - 1), max_size=3))
    return batches, draw(st.permutations([*range(len(batches)), *repeated]))


@settings(max_examples=3)
@given(first=deliveries(), second=deliveries())
def test_late_repeated_and_shuffled_batches_of_two_symbols_end_as_the_lake(
    warehouse: Warehouse, first: tuple[list[pl.DataFrame], list[int]], second: tuple[list[pl.DataFrame], list[int]]
) -> None:
    for table in TABLES:  # so that beginning a day waits for no deletion
        warehouse.client.command(f"TRUNCATE TABLE tickloop.{table}")
    days = {SYMBOL: first, "binance-spot-ethusdt": second}
    queues = {warehouse.begin(symbol, DATE, "sha"): list(order) for symbol, (_, order) in days.items()}
    while any(queues.values()):
        for build, queue in queues.items():
            if queue:
                deliver(warehouse, build, days[build.symbol][0], queue.pop(0))
    for symbol, (batches, _) in days.items():
        assert parity(warehouse, pl.concat(batches), symbol).differing == EQUAL


def deliver(warehouse: Warehouse, build: Build, batches: list[pl.DataFrame], number: int) -> None:
    warehouse.insert(build, number, sum(batch.height for batch in batches[:number]), batches[number])


def test_a_recorded_day_in_the_lake_is_told_alike_to_the_last_row(warehouse: Warehouse, tmp_path: Path) -> None:
    events = recorded_events("binance-usdm-btcusdt", 4_000)
    tape = events_to_frame(events).filter(pl.col("ingest_ts") < 1_723_161_600_000_000_000)
    lake = Lake(tmp_path)
    lake.write("aligned_events", SYMBOL, DATE, tape, schema_sha=schema_sha(tape.schema))
    batches = [tape.slice(start, 5_000) for start in range(0, tape.height, 5_000)]
    build = warehouse.begin(SYMBOL, DATE, "sha")
    for number in [*np.random.default_rng(0).permutation(len(batches)), 0, 1]:
        warehouse.insert(build, int(number), 5_000 * int(number), batches[number])
    found = parity_with_lake(
        warehouse,
        SYMBOL,
        DATE,
        lambda connection: lake.relation(connection, "aligned_events", SYMBOL, [DATE], unchecked=True),
    )
    assert found.exact
    assert found.rows["events"] == tape.height > 10_000
    assert found.rows["candles_1s"] > found.rows["candles_1m"] > 0


def test_the_first_and_last_trade_of_a_second_agree_with_polars(warehouse: Warehouse) -> None:
    tape = random_tape(np.random.default_rng(11), 500, seconds=20.0)
    warehouse.rebuild(SYMBOL, DATE, "sha", [tape])
    trades = tape.filter(pl.col("kind") == 4).with_columns(pl.col("ingest_ts") // 1_000_000_000)
    expected = trades.group_by("ingest_ts", maintain_order=True).agg(
        pl.col("price").first().alias("open"), pl.col("price").last().alias("close"), pl.len()
    )
    rows = warehouse_tables(warehouse, SYMBOL, DATE)["candles_1s"]
    assert [(row[0], row[1], row[4], row[7]) for row in rows if row[7]] == expected.rows()


def test_parity_sees_one_row_too_many_and_one_changed(warehouse: Warehouse) -> None:
    tape = random_tape(np.random.default_rng(12), 100)
    build = warehouse.begin(SYMBOL, DATE, "sha")
    warehouse.insert(build, 0, 0, tape)
    warehouse.insert(build, 1, 0, tape.tail(1))
    assert parity(warehouse, tape).differing["events"] == 2  # a total on either side
    warehouse.rebuild(SYMBOL, DATE, "sha", [tape])
    changed = tape.with_columns(pl.col("qty") + (pl.int_range(pl.len()) == 50))
    assert not parity(warehouse, changed).exact
    assert parity(warehouse, tape).exact
    assert not parity(warehouse, tape.clear(), "nobody").exact
