"""Train alone is weighted by uniqueness, and alone decides which cells are learned."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets import slice_data
from assets.partitions import Part
from config.loading import load_settings
from modeling.sampling import weighted_by_uniqueness, window
from modeling.walk_forward import Slice
from tests.builders_modeling import ROW_NS, START, labelled_rows

PART = Part("binance-coinm-btcusd_perp", "k0")


def piece_of(rows: int) -> Slice:
    edges = [START + rows * ROW_NS * part // 4 for part in range(4)]
    return Slice("k0", (edges[0], edges[1]), (edges[1], edges[2]), (edges[2], edges[3]))


def test_train_alone_is_weighted_by_uniqueness(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, piece = labelled_rows(1_200), piece_of(1_200)
    halves = (piece.val[0], sum(piece.val) // 2), (sum(piece.val) // 2, piece.val[1])
    monkeypatch.setattr(slice_data, "slice_of", lambda *_: piece)
    monkeypatch.setattr(slice_data, "_slice_rows", lambda *_: whole)
    monkeypatch.setattr(slice_data, "search_windows", lambda *_: halves)
    made = slice_data.slice_data(load_settings("dev"), None, PART, 10)  # type: ignore[arg-type]
    assert made.train.weights.tolist() == weighted_by_uniqueness(window(whole, *piece.train)).weights.tolist()
    assert np.unique(made.train.weights).size > 1
    for later in (made.search, made.calibration, made.test):
        assert np.unique(later.weights).tolist() == [1.0]


def test_cells_are_judged_on_train_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The days hold rows of all windows; what judges the cells sees those of Train only."""
    settings, piece = load_settings("dev"), piece_of(1_200)
    row_ts = START + np.arange(1_200) * ROW_NS
    frame, seen = pl.DataFrame({"row_ts": row_ts, "regime": np.zeros(1_200, np.int8)}), dict[str, Any]()
    lake = SimpleNamespace(scan=lambda *_: frame.lazy(), dates=lambda *_: ["2024-08-09"])
    traded = slice_data.traded_cell(settings)

    def judged(_: object, labels: pl.DataFrame, contract: str) -> tuple[Any, ...]:
        seen["tradeable"] = labels["row_ts"].to_numpy()
        return (traded,)

    def taught(train: Any, memory: int) -> tuple[Any, ...]:
        seen["learnable"] = train.row_ts
        return (traded,)

    monkeypatch.setattr(slice_data, "require_catalogue", lambda *_: None)
    monkeypatch.setattr(slice_data, "frame_to_rows", lambda *_: None)
    monkeypatch.setattr(slice_data, "training_set", lambda *_, **__: labelled_rows(1_200))
    monkeypatch.setattr(slice_data, "trainable_cells", judged)
    monkeypatch.setattr(slice_data, "learnable_cells", taught)
    slice_data._slice_rows(settings, lake, PART.symbol, piece, 10)  # type: ignore[arg-type]
    for rows in seen.values():
        assert rows.tolist() == row_ts[row_ts < piece.train[1]].tolist()
    assert sorted(seen) == ["learnable", "tradeable"]
