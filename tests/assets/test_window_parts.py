"""Val and Test in parts: byte for byte what is said of them whole, of which memory never holds two parts."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from assets.calibrating import calibrated_on
from assets.conformal_tables import conformal_table, interval_table
from assets.fitting import network_of
from assets.judged import Judged, judged_on
from assets.lake_rows import heard_rows
from assets.partitions import WHOLE, Part
from assets.slice_data import SliceData, slice_data
from assets.train_parts import train_source
from assets.walk_forward_slices import slice_frame
from assets.window_parts import LaterWindow
from backtest.engine import Window
from features.catalogue import feature_names
from labeling.targets import NO_CLASS
from market.errors import NotEnoughData
from market.schema import schema_sha
from modeling.baselines import fit_baselines
from modeling.calibration import identity
from modeling.parameters import AdaptiveParameters, GruParameters
from modeling.snapshot import ModelSnapshot, ensemble_of
from modeling.streaming import NetworkForecaster, forecaster_from
from modeling.told import rows_between, told_of
from modeling.training_parts import InMemory, TrainingSource, newest_rows
from modeling.training_rows import TrainingSet, window
from modeling.walk_forward import Slice, ValParts
from tests.assets.test_train_parts import (
    MEMORY,
    PART_ROWS,
    SECOND,
    START,
    SYMBOL,
    CountedParts,
    Stored,
    quick,
    train_of,
)
from tests.assets.test_train_parts import stored as stored
from tests.builders_modeling import random_weights

SPANS = tuple(Window(START + at * SECOND, START + end * SECOND) for at, end in ((4, 14), (15, 21), (22, 31)))


def later(stored: Stored, span: Window, part_rows: int) -> LaterWindow:
    cells = train_source(train_of(stored, 1_000_000)).shape.cells
    return LaterWindow(quick(stored.settings, part_rows), stored.lake, SYMBOL, span, cells, MEMORY)


def whole(stored: Stored, one: LaterWindow) -> TrainingSet:
    """The window by functions that know nothing of parts."""
    before = one.span.start - MEMORY * stored.settings.features.row_interval_ms * 1_000_000
    read = heard_rows(stored.settings, stored.lake, SYMBOL, Window(before, one.span.end), one.cells)
    return window(read, *one.span, MEMORY)


def ensemble(stored: Stored, source: TrainingSource) -> ModelSnapshot:
    """A small cnn, and a gru, whose forecasts depend on every row before."""
    settings, members = stored.settings, []
    cnn = replace(settings.models.network, depth=1, kernel_size=2, dilation_growth=1)
    gru = replace(GruParameters("gru", 64, 1, 256, 0.1))
    for seed, shape in enumerate((cnn, gru)):
        network = network_of(settings.features, shape, source.shape)
        if network.kind == "gru":
            network = replace(network, settle_rows=40)  # type: ignore[call-arg]
        weights = random_weights(network, np.random.default_rng(seed))
        members.append(ModelSnapshot(network.kind, network.as_dict(), weights, identity(len(source.shape.cells))))
    return ensemble_of(members)


STILL = AdaptiveParameters(0.0, 0.0)


def said_of(stored: Stored, *windows: Any, adaptive: AdaptiveParameters | None = None) -> tuple[ModelSnapshot, Judged]:
    """A model calibrated on the first window, judged on the last."""
    models = stored.settings.models
    learning = replace(models, adaptive_calibration=adaptive or models.adaptive_calibration)
    train = train_source(train_of(stored, 1_000_000))
    model = calibrated_on(ensemble(stored, train), windows[0], stored.settings.models.calibration)
    data = SliceData(train, newest_rows(train, 1), train, *windows)
    names, forecaster = feature_names(stored.settings.features), forecaster_from(model)
    assert isinstance(forecaster, NetworkForecaster)
    rules, _ = fit_baselines(data.taught, names, stored.settings.models.baselines)
    return model, judged_on(replace(stored.settings, models=learning), data, forecaster, rules, ())


def test_what_is_said_of_parts_is_what_is_said_of_the_whole(stored: Stored) -> None:
    parts = [CountedParts(later(stored, span, PART_ROWS).source()) for span in SPANS]
    held = [whole(stored, later(stored, span, PART_ROWS)) for span in SPANS]
    assert [len(one) for one in parts] == [2, 1, 2]
    (model, lazy), (same, kept) = said_of(stored, *parts), said_of(stored, *map(InMemory, held))
    assert model.calibration.as_dict() == same.calibration.as_dict()
    assert lazy.test.values.shape == (len(held[2]), 0)
    for item in fields(TrainingSet):
        if item.name not in ("shape", "values"):
            assert getattr(lazy.test, item.name).tobytes() == getattr(held[2], item.name).tobytes(), item.name
    assert len(lazy.said) == len(kept.said) == 5  # four rules and the model
    for one, other in zip(
        (*lazy.said, *lazy.members, lazy.before), (*kept.said, *kept.members, kept.before), strict=True
    ):
        assert one.classes.tobytes() == other.classes.tobytes(), one.name
        assert one.probabilities.tobytes() == other.probabilities.tobytes(), one.name
    asked = stored.settings.models.conformal
    assert conformal_table(asked, 20, lazy).equals(conformal_table(asked, 20, kept))
    assert interval_table(asked, 20, lazy).equals(interval_table(asked, 20, kept))
    assert max(one.most_rows for one in parts) <= PART_ROWS + MEMORY < len(held[0])


def turned(rows: TrainingSet) -> TrainingSet:
    """The same rows, and what came of them was the other way round."""
    return replace(rows, classes=-rows.classes, gross_bp=-rows.gross_bp)


def test_test_decides_nothing_and_each_part_of_val_only_what_it_is_for(stored: Stored) -> None:
    val, third, test = (whole(stored, later(stored, span, PART_ROWS)) for span in SPANS)
    model, found = said_of(stored, *map(InMemory, (val, third, test)), adaptive=STILL)
    same, blind = said_of(stored, *map(InMemory, (val, turned(third), turned(test))), adaptive=STILL)
    assert model.calibration.as_dict() == same.calibration.as_dict()
    for one, other in zip(
        (*found.said, *found.members, found.before), (*blind.said, *blind.members, blind.before), strict=True
    ):
        assert (one.classes.tobytes() == other.classes.tobytes()) == (one.name != "persistence"), one.name
    other, moved = said_of(stored, *map(InMemory, (turned(val), third, test)), adaptive=STILL)
    assert model.calibration.as_dict() != other.calibration.as_dict()
    assert found.said[-1].classes.tobytes() != moved.said[-1].classes.tobytes()
    assert np.array_equal(found.conformal.row_ts, third.row_ts)
    assert len(found.before.classes) == len(found.expected[0][0]) == len(third)


def test_what_is_said_learns_from_a_label_of_test_when_it_is_known_and_from_those_of_the_third_part(
    stored: Stored,
) -> None:
    val, third, test = (whole(stored, later(stored, span, PART_ROWS)) for span in SPANS)
    (_, plain), (_, found), (_, warned) = (
        said_of(stored, *map(InMemory, windows))
        for windows in ((val, third, test), (val, third, turned(test)), (val, turned(third), test))
    )
    heard = test.over_ts >= test.known_ts[test.classes[:, 0] != NO_CLASS, 0].min()
    for one, other in zip((plain.said[-1], *plain.members), (found.said[-1], *found.members), strict=True):
        same = (one.probabilities[:, 0] == other.probabilities[:, 0]).all(-1)
        assert same[~heard].all(), one.name
        assert not same[heard].all(), one.name
    assert plain.before.probabilities.tobytes() == found.before.probabilities.tobytes()
    assert not np.array_equal(plain.before.probabilities, warned.before.probabilities)
    assert not np.array_equal(plain.said[-1].probabilities[0], warned.said[-1].probabilities[0])


def test_a_slice_reads_each_part_of_val_where_it_lies(stored: Stored) -> None:
    edges = [
        (START + at * SECOND, START + end * SECOND) for at, end in ((3, 19), (20, 22), (23, 25), (26, 28), (29, 31))
    ]
    train, search, calibration, conformal, test = edges
    parts = ValParts(search, calibration, conformal)
    frame = slice_frame([Slice("k0", train, (search[0], conformal[1]), test, parts)])
    stored.lake.write("walk_forward_slices", SYMBOL, WHOLE, frame, schema_sha=schema_sha(frame.schema))
    stored.lake.set_verdict("walk_forward_slices", SYMBOL, WHOLE, True, {})
    found = slice_data(quick(stored.settings, PART_ROWS), stored.lake, Part(SYMBOL, "k0"), MEMORY)
    windows = [told_of(source).rows for source in (found.search, found.calibration, found.conformal, found.test)]
    row_ns = stored.settings.features.row_interval_ms * 1_000_000
    for rows, (start, end) in zip(windows, edges[1:], strict=True):
        assert (int(rows.row_ts[0]), int(rows.row_ts[-1])) == (start - MEMORY * row_ns, end - row_ns)
        assert (rows.classes[:MEMORY] == NO_CLASS).all()
        assert (rows.classes[MEMORY:] != NO_CLASS).any()


def test_a_row_has_heard_what_came_by_then_and_no_more(stored: Stored) -> None:
    events = stored.lake.scan("aligned_events", SYMBOL).select("ingest_ts", "delay_ns").collect()
    rows = whole(stored, later(stored, Window(SPANS[0].start, SPANS[2].end), PART_ROWS))
    for place in range(0, len(rows), 61):
        came = events.filter(pl.col("ingest_ts") <= rows.row_ts[place])
        assert rows.over_ts[place] == (came["ingest_ts"] - came["delay_ns"]).max() - 1
    assert (rows.over_ts < rows.row_ts).all()


def test_forecasts_in_parts_are_those_of_one_run(stored: Stored) -> None:
    span = Window(SPANS[0].start, SPANS[2].end)
    one, data = later(stored, span, 150), whole(stored, later(stored, span, 150))
    forecaster = forecaster_from(ensemble(stored, one.source()))
    state = forecaster.new_state()
    told = told_of(one.source(), lambda part: forecaster.run(part.values, part.valid, state))
    assert told.answers[0].tobytes() == forecaster.run(data.values, data.valid).tobytes()
    again = rows_between(one.source(), int(data.row_ts[70]), int(data.row_ts[640]))
    assert again.values.tobytes() == data.values[70:641].tobytes()


def test_a_part_behind_missing_rows_starts_anew_as_inside_the_whole(stored: Stored) -> None:
    data = whole(stored, later(stored, SPANS[0], PART_ROWS))
    holed = data.rows(np.r_[0:200, 230 : len(data)])
    holed.valid[200] = False

    class Cut:
        shape = data.shape

        def __len__(self) -> int:
            return 2

        def part(self, place: int) -> TrainingSet:
            rows = holed.rows(slice(0, 200) if place == 0 else slice(200, None))
            return replace(rows, valid=np.ones(len(rows), np.bool_) if place else rows.valid)

    assert not told_of(Cut()).rows.valid[200]
    assert told_of(Cut()).rows.valid[201]


def test_a_window_without_a_row_is_one_line(stored: Stored) -> None:
    with pytest.raises(NotEnoughData, match=f"{SYMBOL} has no row in "):
        later(stored, Window(START + 900 * SECOND, START + 910 * SECOND), PART_ROWS).source()
