"""Train in parts from the lake: cells, weights and fitted bytes of the whole, of which memory never holds two parts."""

import gc
import weakref
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from assets import train_parts
from assets.features import REGIME
from assets.fitting import network_of
from assets.lake_rows import labelled_rows
from assets.train_parts import Train, train_source
from backtest.engine import Window
from config.loading import load_settings
from config.settings import Paths, Settings
from features.batch import feature_rows, rows_to_frame
from features.catalogue import catalogue_sha
from features.step import new_state
from labeling.targets import label_rows, tradeable_grid
from market.clock import align, new_clock
from market.errors import NotEnoughData
from market.schema import events_to_frame, schema_sha
from market.simulator import synthetic_capture
from market.sources import decoder_for
from modeling.parameters import TrainingParameters
from modeling.sampling import class_counts, weighted_by_uniqueness
from modeling.training import fit
from modeling.training_parts import InMemory, LazyParts, TrainingSource, newest_rows
from modeling.training_rows import TrainingSet, cells_of, window
from storage.lake import Lake
from tests.builders_market import COINM_BTC, import_capture
from tests.builders_modeling import quick_training

SECOND = 1_000_000_000
START = 1_723_161_600 * SECOND - 12 * SECOND  # twelve seconds before midnight
SECONDS, MEMORY, PART_ROWS = 34, 60, 400
SYMBOL = COINM_BTC.name


class Stored(NamedTuple):
    """A lake of two days, and where Train lies in it."""

    settings: Settings
    lake: Lake
    span: Window


def quick(settings: Settings, part_rows: int) -> Settings:
    training = replace(settings.models.training, part_rows=part_rows, chunk_rows=128)
    return replace(settings, models=replace(settings.models, training=training))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    dev = load_settings("dev")
    settings = replace(
        dev,
        paths=Paths(tmp_path_factory.mktemp("var")),
        features=replace(dev.features, normalizer_window_s=10, normalizer_min_samples=2),
        labels=replace(dev.labels, horizons_ms=(250, 1000), fee_budgets_bp=(0, 2), order_notional_usd=1000),
        models=replace(
            dev.models, horizons_ms=(250, 1000), walk_forward=replace(dev.models.walk_forward, purge_s=2, val_s=14)
        ),
    )
    events, _ = import_capture(synthetic_capture(COINM_BTC, 3, START, SECONDS), decoder_for(COINM_BTC), 0.0)
    align(new_clock(settings.clock), settings.clock, events)
    rows = feature_rows(events, new_state(settings.features), settings.features, int(events["ingest_ts"].max()))
    regimes = (np.arange(len(rows.row_ts)) // 100 % 4).astype(np.int8)
    tables = {
        "features": rows_to_frame(rows, settings.features).with_columns(pl.Series(REGIME, regimes)),
        "labels": label_rows(events, rows.row_ts, settings.labels, COINM_BTC, None),
    }
    tables["aligned_events"] = events_to_frame(events)
    lake, midnight = Lake(settings.paths.lake), START + 12 * SECOND
    made_with = {"catalogue_sha": catalogue_sha(settings.features)}
    for name, table in tables.items():
        later = pl.col("ingest_ts" if name == "aligned_events" else "row_ts") >= midnight
        for day, inside in (("2024-08-08", ~later), ("2024-08-09", later)):
            lake.write(name, SYMBOL, day, table.filter(inside), schema_sha=schema_sha(table.schema), metadata=made_with)
            lake.set_verdict(name, SYMBOL, day, True, {})
    return Stored(settings, lake, Window(START + 3 * SECOND, START + 31 * SECOND))


def train_of(stored: Stored, part_rows: int) -> Train:
    return Train(quick(stored.settings, part_rows), stored.lake, SYMBOL, stored.span, MEMORY)


def whole_train(stored: Stored, source: TrainingSource) -> TrainingSet:
    """All of Train at once, by the functions that know nothing of parts."""
    read = labelled_rows(stored.settings, stored.lake, SYMBOL, stored.span, source.shape.cells)
    return weighted_by_uniqueness(window(read, *stored.span))


def test_parts_have_the_cells_and_the_weights_of_the_whole(stored: Stored) -> None:
    source = train_source(train_of(stored, PART_ROWS))
    assert isinstance(source, LazyParts)
    assert len(source) == 4
    whole = whole_train(stored, source)
    labels = stored.lake.scan("labels", SYMBOL).filter(pl.col("row_ts").is_between(*stored.span, closed="left"))
    tradeable = cells_of(tradeable_grid(labels.collect(), stored.settings.trained_labels, COINM_BTC.contract))
    counts = class_counts(labelled_rows(stored.settings, stored.lake, SYMBOL, stored.span, tradeable), MEMORY)
    assert source.shape.cells == tuple(
        cell
        for cell, fewest in zip(tradeable, counts.min(1), strict=True)
        if fewest >= stored.settings.models.least_class_rows
    )
    parts = [source.part(place) for place in range(len(source))]
    for part, span in zip(parts, source.spans, strict=True):
        own, there = (data.row_ts >= span[0] for data in (part, whole))
        there &= whole.row_ts < span[1]
        assert own.sum() == there.sum() > 100
        for name in ("values", "classes", "weights", "known_ts", "regimes"):
            assert np.array_equal(getattr(part, name)[own], getattr(whole, name)[there], equal_nan=True), name
        assert np.isnan(part.gross_bp[~own]).all()
    assert np.unique(whole.weights).size > 40
    assert whole.weights.mean() == pytest.approx(1.0, abs=0.02)


def test_the_newest_rows_are_whole_parts_without_what_they_repeat(stored: Stored) -> None:
    source = train_source(train_of(stored, PART_ROWS))
    whole = whole_train(stored, source)
    every, newest = newest_rows(source, 10_000), newest_rows(source, 1)
    assert np.array_equal(every.row_ts, whole.row_ts)
    assert np.array_equal(every.classes, whole.classes)
    assert newest.row_ts[-1] == whole.row_ts[-1]
    assert len(newest) < PART_ROWS + MEMORY


class CountedParts:
    """A source that knows how many rows of its parts were alive at once."""

    def __init__(self, source: TrainingSource) -> None:
        self._source, self._alive, self.most_rows, self.reads = source, list[tuple[Any, int]](), 0, 0

    @property
    def shape(self) -> Any:
        return self._source.shape

    def __len__(self) -> int:
        return len(self._source)

    def part(self, place: int) -> TrainingSet:
        gc.collect()
        part = self._source.part(place)
        self._alive.append((weakref.ref(part), len(part)))
        self.most_rows = max(self.most_rows, sum(rows for held, rows in self._alive if held() is not None))
        self.reads += 1
        return part


def test_read_lazily_and_held_whole_give_the_same_bytes(stored: Stored) -> None:
    """The one reads its parts from the lake again and again, the other cuts them from a Train that it holds."""
    source = CountedParts(train_source(train_of(stored, PART_ROWS)))
    whole = whole_train(stored, source)
    held = LazyParts(source.shape, source._source.spans, lambda *span: window(whole, *span, MEMORY))  # type: ignore[attr-defined]
    shape = replace(stored.settings.models.network, depth=1, kernel_size=2, dilation_growth=1)
    network = network_of(stored.settings.features, shape, source.shape)
    assert network.receptive_rows <= MEMORY
    training: TrainingParameters = quick_training(epochs=1, chunk_rows=128, mixup_alpha=0.2, cutout_share=0.5)
    lazy, kept = (fit(network, train, InMemory(whole), training) for train in (source, held))
    assert lazy.history == kept.history
    for name, array in kept.model.weights.items():
        assert array.tobytes() == lazy.model.weights[name].tobytes(), name
    assert source.reads == 2 * len(source)  # for a survey, and for an epoch
    assert source.most_rows <= PART_ROWS + MEMORY < len(whole) / 3


def test_train_of_one_part_is_read_once_and_kept(stored: Stored) -> None:
    source = train_source(train_of(stored, 1_000_000))
    assert isinstance(source, InMemory)
    whole = whole_train(stored, source)
    for name in ("row_ts", "values", "classes", "weights"):
        assert np.array_equal(getattr(source.data, name), getattr(whole, name))


def test_cells_and_weights_come_from_train_alone(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """No row of features or labels outside Train is read."""
    seen: list[Window] = []
    train, read = train_of(stored, PART_ROWS), train_parts.stored_labels

    def watched(lake: Lake, symbol: str, span: Window) -> pl.DataFrame:
        seen.append(span)
        return read(lake, symbol, span)

    monkeypatch.setattr(train_parts, "stored_labels", watched)
    train_source(train).part(3)
    assert min(span.start for span in seen) == stored.span.start
    assert max(span.end for span in seen) == stored.span.end


def test_a_train_that_cannot_teach_the_traded_cell_is_one_line(stored: Stored) -> None:
    short = train_of(stored, PART_ROWS)._replace(span=Window(stored.span.start, stored.span.start + SECOND))
    with pytest.raises(NotEnoughData, match=f"Train of {SYMBOL} cannot teach the traded cell h1000_b0, only "):
        train_source(short)


def test_an_hour_without_a_row_is_no_part(stored: Stored) -> None:
    train = train_of(stored, PART_ROWS)._replace(span=Window(stored.span.start, stored.span.end + 3600 * SECOND))
    assert len(train.spans) == 4
