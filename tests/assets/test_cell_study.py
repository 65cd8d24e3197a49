"""The study of cells: each is traded as the one that is asked, and is a trial that the statistics count."""

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assets import cell_study
from assets.cell_study import asked_part, at_cell, cell_trials
from assets.fitting import LEDGER, Bench, Profit
from assets.search_verdict import whole_ledger
from backtest.engine import Window
from config.loading import load_settings
from market.errors import ConfigError, NotEnoughData
from modeling.forecast import Cell
from modeling.snapshot import ModelSnapshot
from storage.lake import Lake
from storage.progress import Counting
from storage.trials import append_trial
from tests.builders_modeling import CELLS, SHAPE, random_model
from tests.builders_terminal import Terminal, Ticking

SYMBOL = "binance-coinm-btcusd_perp"


def earned(on: Bench, _: ModelSnapshot) -> Profit:
    """More at a longer horizon, less at a higher budget."""
    trading = on.settings.trading
    return Profit(trading.horizon_ms - trading.budget_bp, (60,), (float(trading.horizon_ms),), 0.5)


def test_every_cell_is_asked_by_itself_and_counts_as_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_study, "profit", earned)
    monkeypatch.setattr(cell_study, "skills", lambda *_: dict.fromkeys(CELLS, 0.25))
    data: Any = SimpleNamespace(train=SimpleNamespace(shape=SHAPE))
    nothing: Any = None
    on = Bench(load_settings("dev"), SYMBOL, data, Window(0, 40_000_000_000), nothing)
    terminal = Terminal()
    told = Counting("cells", terminal, 0.0, Ticking())
    trials = list(cell_trials(on, random_model(), "one/k0/cells-a", told))
    assert terminal.told == ["1 of 3 cells, about 4 s to go", "2 of 3 cells, about 2 s to go"]
    assert [trial.settings for trial in trials] == [
        {"horizon_ms": cell.horizon_ms, "budget_bp": cell.budget_bp} for cell in CELLS
    ]
    assert [trial.value for trial in trials] == [250.0, 248.0, 1000.0]
    assert {trial.held_minutes for trial in trials} == {0.5}
    assert on.settings.trading.horizon_ms == load_settings("dev").trading.horizon_ms
    for trial in [*trials, *trials]:  # a second look at the same model is no further trial
        append_trial(tmp_path / "cells-a" / LEDGER, trial)
    assert [line["minute_net"] for line in whole_ledger(tmp_path)] == [[250.0], [250.0], [1000.0]]
    page = cell_study.text_of(on, trials, ["Nothing is known."])
    assert page.startswith(f"{SYMBOL}, the first part of Val: 40 s; h1000_b0 is what is traded")
    assert "+248.000" in page
    assert page.endswith("- Nothing is known.")


def test_a_cell_beyond_what_is_trained_cannot_be_asked() -> None:
    with pytest.raises(ConfigError, match="trading.horizon_ms=777"):
        at_cell(load_settings("dev"), Cell(777, 0.0))


def test_a_symbol_without_a_model_is_one_line(tmp_path: Path) -> None:
    asked = argparse.Namespace(symbol=None, slice=None)
    with pytest.raises(NotEnoughData, match=f"{SYMBOL} has no slice with a model"):
        asked_part(load_settings("dev"), Lake(tmp_path), asked)
