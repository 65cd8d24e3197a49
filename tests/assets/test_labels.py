"""The checks of labels go red on a planted fault, and untradeable cells are named, drawn and not trained on."""

import re
from base64 import b64decode
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from assets.labels import (
    degeneracy,
    grid_page,
    label_facts,
    leakage,
    soonest_exit,
    stretches,
    taker_budget_bp,
    untradeable,
    worth_a_trade,
)
from assets.partitions import Part
from assets.plots import heat_map
from config.loading import load_settings
from config.settings import Settings
from labeling.parameters import Exit, Target
from labeling.targets import label_rows, tradeable_grid
from market.errors import DataError
from market.events import Events
from market.schema import events_to_frame, schema_sha
from modeling.forecast import Cell
from modeling.training_rows import cells_of
from storage.lake import Lake
from tests.builders_labels import MS, START, random_tape

SYMBOL = "binance-coinm-btcusd_perp"
LINEAR_SYMBOL = "binance-usdm-btcusdt"
PART = Part(SYMBOL, "2024-08-09")
ROWS = START + np.arange(20, 50_020, 20) * MS
HORIZONS = (250, 1_000)
Day = tuple[Settings, Lake, pl.DataFrame]


@pytest.fixture(scope="module")
def market() -> Events:
    return random_tape(7, steps=5_300)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, market: Events) -> Day:
    """A day of a minute in a lake, of two symbols, and the labels of one."""
    settings = load_settings("dev")
    settings = replace(
        settings,
        labels=replace(settings.labels, horizons_ms=HORIZONS, order_notional_usd=5_000.0),
        models=replace(settings.models, horizons_ms=HORIZONS),
    )
    lake, frame = Lake(tmp_path_factory.mktemp("lake")), events_to_frame(market)
    for symbol in (SYMBOL, LINEAR_SYMBOL):
        lake.write("aligned_events", symbol, PART.key, frame, schema_sha=schema_sha(frame.schema))
        lake.set_verdict("aligned_events", symbol, PART.key, True, {})
    return settings, lake, label_rows(market, ROWS, settings.labels, settings.instrument(SYMBOL), None)


@pytest.mark.parametrize("symbol", [SYMBOL, LINEAR_SYMBOL])
@pytest.mark.parametrize("target", ["mid", "vwap"])
@pytest.mark.parametrize("leave", ["walk", "mid", "vwap"])
def test_labels_that_know_nothing_beyond_their_exits_pass(
    day: Day, market: Events, leave: Exit, target: Target, symbol: str
) -> None:
    settings, lake, _ = day
    settings = replace(settings, labels=replace(settings.labels, exit=leave, target=target))
    frame = label_rows(market, ROWS, settings.labels, settings.instrument(symbol), None)
    verdict = leakage(settings, lake, Part(symbol, PART.key), frame)
    assert verdict.passed
    assert verdict.facts["stretches"] == 4
    assert verdict.facts["labels_compared"] > 4_000


def test_stretches_lie_apart_and_elsewhere_on_another_day_or_symbol() -> None:
    found = [stretches(part, 100_000) for part in (PART, Part(SYMBOL, "2024-08-10"), Part(LINEAR_SYMBOL, PART.key))]
    for spans in found:
        assert [span.stop - span.start for span in spans] == [400] * 4
        assert [span.start // 25_000 for span in spans] == [span.stop // 25_000 for span in spans] == [0, 1, 2, 3]
    assert len({span.start for spans in found for span in spans}) == 12
    assert stretches(PART, 100_000) == found[0]
    assert stretches(PART, 0) == []
    assert [span.stop - span.start for span in stretches(PART, 3)] == [1, 1, 1]


@pytest.mark.parametrize("column", ["exec_gross_250", "long_ratio_1000", "sell_at", "status_250", "te"])
@pytest.mark.parametrize("stretch", range(4))
def test_one_stored_value_of_any_stretch_that_is_another_turns_the_check_red(
    day: Day, column: str, stretch: int
) -> None:
    settings, lake, frame = day
    values, place = frame[column].to_numpy().copy(), stretches(PART, frame.height)[stretch].start + 30
    values[place] = values[place] + 1
    verdict = leakage(settings, lake, PART, frame.with_columns(pl.Series(column, values)))
    assert (verdict.passed, verdict.facts["first_leak"]) == (False, int(ROWS[place]))


def test_stored_labels_that_are_those_of_a_later_row_turn_the_check_red_in_the_last_stretch_alone(day: Day) -> None:
    settings, lake, frame = day
    names = ["exec_gross_250", "long_ratio_250", "short_ratio_250"]
    last = stretches(PART, frame.height)[-1]
    inside = pl.int_range(pl.len()).is_between(last.start, last.stop - 1)
    late = frame.with_columns(pl.when(inside).then(pl.col(names).shift(-2)).otherwise(pl.col(names)))
    verdict = leakage(settings, lake, PART, late)
    assert not verdict.passed
    assert ROWS[last.start] <= verdict.facts["first_leak"] < ROWS[last.start + 50]


@pytest.mark.parametrize("reach_ms", [2, 15])
def test_labels_that_read_a_little_past_their_exit_turn_the_check_red(
    day: Day, market: Events, monkeypatch: pytest.MonkeyPatch, reach_ms: int
) -> None:
    settings, lake, _ = day

    def peeking(*arguments: Any, latency_ns: Any = None) -> pl.DataFrame:
        events, row_ts, parameters = arguments[:3]
        late = np.full(row_ts.size, parameters.latency_ns + reach_ms * MS)
        table = label_rows(events, row_ts, parameters, *arguments[3:], latency_ns=late)
        return table.with_columns(te=table["te"] - reach_ms * MS)

    stored = peeking(market, ROWS, settings.labels, settings.instrument(SYMBOL), None)
    monkeypatch.setattr("assets.labels.label_rows", peeking)
    assert not leakage(settings, lake, PART, stored).passed


def test_labels_that_waited_otherwise_than_the_settings_say_turn_the_check_red(day: Day, market: Events) -> None:
    settings, lake, _ = day
    waits = np.full(ROWS.size, settings.labels.latency_ns + 2 * MS)
    late = label_rows(market, ROWS, settings.labels, settings.instrument(SYMBOL), None, latency_ns=waits)
    assert not leakage(settings, lake, PART, late).passed


def test_the_poison_lies_behind_the_exit_that_the_market_follows_soonest() -> None:
    exits = np.array([10, 20, 30, 40])
    assert soonest_exit(np.array([11, 29, 33, 42, 90]), exits) == 40
    assert soonest_exit(np.array([11, 29, 31, 42, 90]), exits) == 30
    assert soonest_exit(np.array([5]), exits) == 40


def test_a_day_without_rows_proves_nothing(day: Day) -> None:
    assert not leakage(*day[:2], PART, day[2][:0]).passed


def test_who_waits_is_told_what_share_of_rows_pays_its_costs() -> None:
    cells = {"horizon_ms": [250, 250, 1000], "budget_bp": [0.0, 2.0, 2.0], "no_trade": [0.2, 0.9, float("nan")]}
    grid = pl.DataFrame(cells)
    assert worth_a_trade(grid, 2.0) == "rows worth a trade after 2 bp of fees: 10.0 % at 250 ms"
    assert worth_a_trade(grid, 0.0) == "rows worth a trade after 0 bp of fees: 80.0 % at 250 ms"
    assert worth_a_trade(grid, 4.0) == "rows worth a trade after 4 bp of fees: no row has a label"


def test_untradeable_cells_are_named_drawn_and_not_trained_on(day: Day) -> None:
    settings, _, frame = day
    settings = replace(settings, labels=replace(settings.labels, fee_budgets_bp=(0.0, 100.0)))
    grid = tradeable_grid(frame, settings.labels, "inverse")
    assert untradeable(grid) == "250 ms 100 bp, 1000 ms 100 bp"
    assert label_facts(frame, grid)["untradeable"] == untradeable(grid)
    assert "Not trained on: 250 ms 100 bp, 1000 ms 100 bp" in grid_page(grid)
    assert grid_page(grid).count("data:image/svg+xml") == 3
    assert cells_of(tradeable_grid(frame, settings.trained_labels, "inverse")) == (Cell(250, 0.0), Cell(1_000, 0.0))
    assert degeneracy(settings, PART, frame).passed


def test_labelled_horizons_that_are_not_trained_make_no_cell(day: Day) -> None:
    settings, _, frame = day
    short = replace(settings, models=replace(settings.models, horizons_ms=(1_000,)))
    assert {cell.horizon_ms for cell in cells_of(tradeable_grid(frame, short.trained_labels, "inverse"))} == {1_000}


def test_a_day_of_which_no_cell_is_tradeable_turns_the_check_red(day: Day) -> None:
    settings, _, frame = day
    settings = replace(settings, labels=replace(settings.labels, min_tradeable_share=1.0))
    assert not degeneracy(settings, PART, frame).passed


def test_what_the_tier_in_force_costs_stands_beside_the_cells(day: Day) -> None:
    tier = replace(day[0], venue=replace(day[0].venue, fee_tier="vip0", maker_fee=None, taker_fee=None))
    assert taker_budget_bp(tier, Part(SYMBOL, "2024-08-09")) == pytest.approx(10.0)
    with pytest.raises(DataError, match="no entry of binance-coinm vip0 for 2024-01-01"):
        taker_budget_bp(tier, Part(SYMBOL, "2024-01-01"))


def test_a_horizon_that_is_not_trained_does_not_make_the_day_tradeable(day: Day) -> None:
    settings, _, frame = day
    frame = frame.with_columns(long_ratio_1000=pl.lit(0.999), short_ratio_1000=pl.lit(1.001))
    short = replace(settings, models=replace(settings.models, horizons_ms=(1_000,)))
    assert degeneracy(settings, PART, frame).passed
    assert not degeneracy(short, PART, frame).passed


def test_facts_count_labels_thin_books_and_what_the_labels_are_worth(day: Day) -> None:
    settings, _, frame = day
    facts = label_facts(frame, tradeable_grid(frame, settings.labels, "inverse"))
    assert 0.5 < facts["labelled_250ms"] <= 1
    assert facts["depth_short_250ms"] == pytest.approx((frame["status_250"] == 1).mean())
    assert facts["effective_1000ms"] < facts["effective_250ms"] < frame.height / 5


def test_a_heat_map_holds_every_share_and_leaves_unknown_cells_grey() -> None:
    page = heat_map("no trade", ["0 bp", "2 bp"], ["250 ms"], np.array([[0.25, np.nan]]))
    found = re.search(r"base64,([^)]+)\)", page)
    assert found is not None
    picture = ElementTree.fromstring(b64decode(found[1]))
    texts = [each.text for each in picture.iter() if each.text]
    assert {"25.0", "0 bp", "2 bp", "250 ms", "no trade"} <= set(texts)
    assert "#ddd" in [each.get("fill") for each in picture.iter()]
