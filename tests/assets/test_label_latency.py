"""Latencies of rows drawn from a journal's orders: the same in any order and rerun, and only what some order met."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from assets.journal_tables import DECISIONS_TABLE, EVENTS_TABLE, ORDERS_TABLE, REPORTS_TABLE
from assets.label_latency import answered_orders, journal_latencies, latency_inputs, row_latencies
from assets.partitions import WHOLE
from assets.venue_models import tapes_of
from backtest.answers import legs_of_answers
from config.loading import load_settings
from config.settings import Paths, Settings
from labeling.latencies import drawn_latency_ns
from market.errors import BacktestError, ConfigError, LakeError, NotEnoughData
from market.events import BUY, FIRST, LAST, TRADE, empty_events
from market.latency import latency_table
from market.orders import ACKED, ORDER_REJECTED, REPORT
from market.schema import events_to_frame, frame_to_events, schema_sha
from storage.lake import Lake
from tests.builders_labels import MS, START
from trading.records import CANCEL, DECISION, INTENT, PLACE

ORDERS = 60
SECOND = 1_000 * MS
Tables = dict[str, pl.DataFrame]


def journal_of(entry_ms: np.ndarray) -> Tables:
    """A journal of one order a second: inferred within 2 ms, at the venue after ``entry_ms``, answered 5 ms later."""
    count = entry_ms.size
    decisions, intents, reports = np.zeros(count, DECISION), np.zeros(count, INTENT), np.zeros(count, REPORT)
    number, row_ts = np.arange(1, count + 1), START + np.arange(1, count + 1) * SECOND
    decisions["decision_id"] = intents["decision_id"] = intents["order_id"] = reports["order_id"] = number
    decisions["row_ts"], decisions["infer_ts"], decisions["delay_ns"] = row_ts, row_ts + 2 * MS, 3 * MS
    intents["sent_ts"], intents["verb"] = row_ts + 2 * MS, PLACE
    reports["kind"] = np.where(number % 7, ACKED, ORDER_REJECTED)
    reports["venue_ts"] = intents["sent_ts"] + np.round(entry_ms * MS).astype(np.int64)
    reports["visible_ts"] = reports["venue_ts"] + 5 * MS
    events = empty_events(count)
    events["kind"], events["side"], events["flags"], events["price"], events["qty"] = TRADE, BUY, FIRST | LAST, 1, 1
    events["exchange_ts"] = events["ingest_ts"] = row_ts
    frames = {DECISIONS_TABLE: decisions, ORDERS_TABLE: intents, REPORTS_TABLE: reports}
    tables = {name: pl.DataFrame({key: table[key] for key in table.dtype.names}) for name, table in frames.items()}
    tables = {
        name: table.insert_column(0, pl.Series("desk", np.zeros(count, np.uint8))) for name, table in tables.items()
    }
    return {**tables, EVENTS_TABLE: events_to_frame(events)}


def settings_in(folder: Path, **labels: object) -> Settings:
    found = load_settings("dev")
    chosen = {"latency": "journal", "latency_min_orders": 50, **labels}
    return replace(found, paths=Paths(folder), labels=replace(found.labels, **chosen))  # type: ignore[arg-type]


def lake_with(settings: Settings, tables: Tables) -> Lake:
    lake, symbol = Lake(settings.paths.lake), settings.live.symbol
    for name in tables:
        lake.write(name, symbol, "segment", tables[name], schema_sha=schema_sha(tables[name].schema))
        lake.set_verdict(name, symbol, "segment", True, {})
    journal = pl.DataFrame({"segment": ["segment"]})
    lake.write("live_journal", symbol, WHOLE, journal, schema_sha=schema_sha(journal.schema))
    lake.set_verdict("live_journal", symbol, WHOLE, True, {})
    return lake


def answered(tables: Tables) -> NDArray[np.void]:
    """Answered orders of the one desk of a journal."""
    names = (DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE)
    [desk] = tapes_of(frame_to_events(tables[EVENTS_TABLE]), *(tables[name] for name in names))
    return answered_orders(desk.answers)


def test_the_legs_of_an_order_are_those_of_its_records() -> None:
    found = answered(journal_of(np.array([4.0, 8.0])))
    assert (found["sent_ts"] - START).tolist() == [SECOND + 2 * MS, 2 * SECOND + 2 * MS]
    assert (legs_of_answers(found) // MS).tolist() == [[3, 2, 4, 5], [3, 2, 8, 5]]


def test_cancels_and_orders_without_an_answer_tell_nothing() -> None:
    tables = journal_of(np.full(3, 4.0))
    orders = tables[ORDERS_TABLE].with_columns(verb=pl.Series([PLACE, CANCEL, PLACE], dtype=pl.UInt8))
    reports = tables[REPORTS_TABLE].head(2)
    assert answered({**tables, ORDERS_TABLE: orders, REPORTS_TABLE: reports})["order_id"].tolist() == [1]


def test_rows_draw_what_some_order_met(tmp_path: Path) -> None:
    settings, entry_ms = settings_in(tmp_path), np.linspace(3, 40, ORDERS)
    tables = journal_of(entry_ms)
    lake = lake_with(settings, tables)
    row_ts, tape = START + 2 * SECOND + np.arange(2_900) * 20 * MS, frame_to_events(tables[EVENTS_TABLE])
    drawn = row_latencies(settings, lake, settings.live.symbol, tape, row_ts)
    assert drawn is not None
    possible = set((2 * MS + np.round(entry_ms * MS)).astype(np.int64).tolist())
    assert set(drawn.tolist()) <= possible
    assert len(set(drawn.tolist())) > ORDERS / 2
    again = row_latencies(settings, Lake(settings.paths.lake), settings.live.symbol, tape, row_ts)
    assert np.array_equal(drawn, again)
    other = settings_in(tmp_path, latency_seed=settings.labels.latency_seed + 1)
    assert not np.array_equal(drawn, row_latencies(other, lake, settings.live.symbol, tape, row_ts))


@given(st.integers(0, 2**31), st.lists(st.integers(0, 2**62), min_size=1, max_size=30, unique=True), st.randoms())
def test_a_draw_depends_on_its_row_alone(seed: int, stamps: list[int], random: object) -> None:
    table = latency_table(np.arange(40).reshape(10, 4) + 1, rates=np.arange(10), edges=[5])
    row_ts, rates = np.array(stamps), np.array(stamps) % 11
    drawn = drawn_latency_ns(table, seed, row_ts, rates)
    shuffled = np.random.default_rng(seed).permutation(row_ts.size)
    assert np.array_equal(drawn_latency_ns(table, seed, row_ts[shuffled], rates[shuffled]), drawn[shuffled])
    alone = [int(drawn_latency_ns(table, seed, row_ts[i : i + 1], rates[i : i + 1])[0]) for i in range(row_ts.size)]
    assert alone == drawn.tolist()


def test_the_share_of_each_order_is_even() -> None:
    table = latency_table([[0, 0, leg, 0] for leg in range(8)], rates=np.zeros(8))
    row_ts = START + np.arange(16_000) * SECOND
    counts = np.bincount(drawn_latency_ns(table, 5, row_ts, np.zeros(row_ts.size, np.int64)))
    assert counts.sum() == 16_000
    assert np.all(np.abs(counts - 2_000) < 5 * np.sqrt(2_000))


def test_a_constant_asks_for_no_journal(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, latency="constant")
    lake = Lake(settings.paths.lake)
    assert row_latencies(settings, lake, settings.live.symbol, empty_events(0), np.zeros(3, np.int64)) is None
    assert latency_inputs(settings, lake, settings.live.symbol) == []


def test_labels_are_made_anew_when_the_journal_has_changed(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    symbol, lake = settings.live.symbol, lake_with(settings, journal_of(np.full(ORDERS, 4.0)))
    before = latency_inputs(settings, lake, symbol)
    longer = pl.DataFrame({"segment": ["segment", "another"]})
    lake.write("live_journal", symbol, WHOLE, longer, schema_sha=schema_sha(longer.schema))
    lake.set_verdict("live_journal", symbol, WHOLE, True, {})
    assert len(before) == 1
    assert latency_inputs(settings, lake, symbol) != before


def test_a_missing_a_short_and_a_negative_journal_are_one_clear_error(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with pytest.raises(LakeError, match="the lake holds no journal of binance-coinm-btcusd_perp"):
        journal_latencies(settings, Lake(settings.paths.lake), settings.live.symbol)
    few = lake_with(settings, journal_of(np.full(9, 4.0)))
    with pytest.raises(NotEnoughData, match="has 9 answered orders, 50 needed"):
        journal_latencies(settings, few, settings.live.symbol)
    early = lake_with(settings, journal_of(np.append(np.full(ORDERS, 4.0), -1.0)))
    with pytest.raises(BacktestError, match="row 60 of a latency table has entry_ns=-1000000, below 0"):
        journal_latencies(settings, early, settings.live.symbol)


def test_settings_out_of_range_are_refused() -> None:
    labels = load_settings("dev").labels
    for wrong in ({"latency": "sampled"}, {"latency_seed": -1}, {"latency_min_orders": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            replace(labels, **wrong)  # type: ignore[arg-type]
