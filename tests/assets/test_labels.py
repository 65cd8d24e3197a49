"""The checks of labels go red on a planted fault, and untradeable cells are named, drawn and not trained on."""

import re
from base64 import b64decode
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from assets.labels import degeneracy, grid_page, label_facts, leakage, taker_budget_bp, untradeable
from assets.partitions import Part
from assets.plots import heat_map
from assets.slice_data import trainable_cells
from config.loading import load_settings
from config.settings import Settings
from labeling.targets import label_rows, tradeable_grid
from market.errors import DataError
from market.schema import events_to_frame, schema_sha
from modeling.forecast import Cell
from storage.lake import Lake
from tests.builders_labels import MS, START, random_tape

SYMBOL = "binance-coinm-btcusd_perp"
PART = Part(SYMBOL, "2024-08-09")
ROWS = START + np.arange(20, 6_000, 20) * MS
HORIZONS = (250, 1_000)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Lake, pl.DataFrame]:
    """A day of a few seconds in a lake, and its labels."""
    settings = load_settings("dev")
    settings = replace(
        settings,
        labels=replace(settings.labels, horizons_ms=HORIZONS, order_notional_usd=5_000.0),
        models=replace(settings.models, horizons_ms=HORIZONS),
    )
    lake, events = Lake(tmp_path_factory.mktemp("lake")), random_tape(7, steps=800)
    frame = events_to_frame(events)
    lake.write("aligned_events", *PART, frame, schema_sha=schema_sha(frame.schema))
    lake.set_verdict("aligned_events", *PART, True, {})
    return settings, lake, label_rows(events, ROWS, settings.labels, settings.instrument(SYMBOL), None)


def test_labels_that_know_nothing_beyond_their_exits_pass(day: tuple[Settings, Lake, pl.DataFrame]) -> None:
    verdict = leakage(*day[:2], PART, day[2])
    assert verdict.passed
    assert verdict.facts["stretches"] == 4
    assert verdict.facts["labels_compared"] > 500


@pytest.mark.parametrize("column", ["exec_gross_250", "long_ratio_1000", "sell_at", "status_250"])
@pytest.mark.parametrize("place", [30, 290 - 60])
def test_stored_labels_that_are_those_of_a_later_row_turn_the_check_red(
    day: tuple[Settings, Lake, pl.DataFrame], column: str, place: int
) -> None:
    settings, lake, frame = day
    values = frame[column].to_numpy().copy()
    values[place] = values[place] + 1
    verdict = leakage(settings, lake, PART, frame.with_columns(pl.Series(column, values)))
    assert (verdict.passed, verdict.facts["first_leak"]) == (False, int(ROWS[place]))


def test_labels_that_peek_past_their_exit_turn_the_check_red(day: tuple[Settings, Lake, pl.DataFrame]) -> None:
    settings, lake, frame = day
    late = frame.with_columns(pl.col("exec_gross_250", "long_ratio_250", "short_ratio_250").shift(-2))
    assert not leakage(settings, lake, PART, late).passed


def test_a_day_without_rows_proves_nothing(day: tuple[Settings, Lake, pl.DataFrame]) -> None:
    assert not leakage(*day[:2], PART, day[2][:0]).passed


def test_untradeable_cells_are_named_drawn_and_not_trained_on(day: tuple[Settings, Lake, pl.DataFrame]) -> None:
    settings, _, frame = day
    settings = replace(settings, labels=replace(settings.labels, fee_budgets_bp=(0.0, 100.0)))
    grid = tradeable_grid(frame, settings.labels, "inverse")
    assert untradeable(grid) == "250 ms 100 bp, 1000 ms 100 bp"
    assert label_facts(frame, grid)["untradeable"] == untradeable(grid)
    assert "Not trained on: 250 ms 100 bp, 1000 ms 100 bp" in grid_page(grid)
    assert grid_page(grid).count("data:image/svg+xml") == 3
    assert trainable_cells(settings, frame, "inverse") == (Cell(250, 0.0), Cell(1_000, 0.0))
    assert degeneracy(grid, 10.0).passed


def test_labelled_horizons_that_are_not_trained_make_no_cell(day: tuple[Settings, Lake, pl.DataFrame]) -> None:
    settings, _, frame = day
    short = replace(settings, models=replace(settings.models, horizons_ms=(1_000,)))
    assert {cell.horizon_ms for cell in trainable_cells(short, frame, "inverse")} == {1_000}


def test_a_day_of_which_no_cell_is_tradeable_turns_the_check_red(day: tuple[Settings, Lake, pl.DataFrame]) -> None:
    settings, _, frame = day
    grid = tradeable_grid(frame, replace(settings.labels, fee_budgets_bp=(100.0,)), "inverse")
    assert not degeneracy(grid, 10.0).passed


def test_what_the_tier_in_force_costs_stands_beside_the_cells(day: tuple[Settings, Lake, pl.DataFrame]) -> None:
    tier = replace(day[0], venue=replace(day[0].venue, fee_tier="vip0", maker_fee=None, taker_fee=None))
    assert taker_budget_bp(tier, Part(SYMBOL, "2024-08-09")) == pytest.approx(10.0)
    with pytest.raises(DataError, match="no entry of binance-coinm vip0 for 2024-01-01"):
        taker_budget_bp(tier, Part(SYMBOL, "2024-01-01"))


def test_facts_count_labels_thin_books_and_what_the_labels_are_worth(
    day: tuple[Settings, Lake, pl.DataFrame],
) -> None:
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
