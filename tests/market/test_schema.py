"""The event table: there and back, and what is refused."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import DataError
from market.events import EVENT, empty_events
from market.schema import EVENT_COLUMNS, EVENT_UNITS, events_to_frame, frame_to_events, schema_sha
from tests.builders_market import synthetic_events


@given(st.binary(max_size=10 * EVENT.itemsize))
def test_a_table_holds_events_bit_for_bit(noise):
    events = np.frombuffer(noise[: len(noise) // EVENT.itemsize * EVENT.itemsize], EVENT)
    assert frame_to_events(events_to_frame(events)).tobytes() == events.tobytes()


def test_a_market_goes_there_and_back():
    events = synthetic_events(5.0)
    frame = events_to_frame(events)
    assert frame.height == events.size > 1_000
    assert frame_to_events(frame).tobytes() == events.tobytes()


def test_every_field_of_an_event_has_a_column_and_a_unit():
    assert list(EVENT_COLUMNS) == list(EVENT_UNITS) == list(EVENT.names)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.drop("price"),
        lambda frame: frame.with_columns(extra=1),
        lambda frame: frame.with_columns(pl.col("price").cast(pl.Float64)),
        lambda frame: frame.with_columns(price=pl.lit(None, pl.Int64)),
    ],
)
def test_another_table_is_refused(change):
    with pytest.raises(DataError):
        frame_to_events(change(events_to_frame(empty_events(2))))


def test_the_schema_sha_follows_names_types_and_order():
    shas = {
        schema_sha({"a": "Int64", "b": "Int8"}),
        schema_sha({"b": "Int8", "a": "Int64"}),
        schema_sha({"a": "Int64", "b": "Int16"}),
        schema_sha({"a": "Int64", "c": "Int8"}),
    }
    assert len(shas) == 4
    assert schema_sha(EVENT_COLUMNS) == schema_sha(dict(events_to_frame(empty_events(0)).schema))
