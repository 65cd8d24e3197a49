"""Whole recordings: windows by a second route, plain prefix sums and the touch of other rows, on every valid row."""

from functools import cache

import numpy as np
import pytest

from config.loading import load_settings
from features.batch import Rows
from features.catalogue import VALID, catalogue, feature_names
from market.events import TRADE, Events
from tests.builders_features import MS, batch_rows
from tests.builders_market import recorded_events

PARAMETERS = load_settings("dev").features
NAMES = feature_names(PARAMETERS)
WINDOWS_MS = PARAMETERS.windows_ms
RUNS = ("binance-usdm-btcusdt", "binance-coinm-btcusd_perp", "binance-spot-btcusdt", "binance-usdm-btcusdt-2023")
runs = pytest.mark.parametrize("run", RUNS)


@cache
def taped(run: str) -> tuple[Events, Rows]:
    events = recorded_events(run)
    return events, batch_rows(events, PARAMETERS)


def column(rows: Rows, name: str) -> np.ndarray:
    return rows.raw[rows.status == VALID, NAMES.index(name)]


def within(events: Events, amounts: np.ndarray, rows: Rows, window_ms: int) -> np.ndarray:
    """Sum of the amounts that came in (t - window, t], at each valid row."""
    totals, row_ts = np.concatenate(([0], np.cumsum(amounts))), rows.row_ts[rows.status == VALID]
    newest = np.maximum.accumulate(events["ingest_ts"])
    ends = [np.searchsorted(newest, at, side="right") for at in (row_ts, row_ts - window_ms * MS)]
    return totals[ends[0]] - totals[ends[1]]


@runs
def test_momentum_is_the_move_between_the_mids_of_two_rows(run: str) -> None:
    _, rows = taped(run)
    mid = 0.5 * (rows.best_bid + rows.best_ask)
    back = WINDOWS_MS[-1] // PARAMETERS.row_interval_ms
    both = (rows.status[back:] == VALID) & (rows.status[:-back] == VALID)
    assert np.count_nonzero(both) > 15_000
    moved = rows.raw[back:, NAMES.index(f"momentum_{WINDOWS_MS[-1]}ms")][both]
    assert np.array_equal(moved, (mid[back:] - mid[:-back])[both].astype(np.float32))


@runs
@pytest.mark.parametrize("window_ms", WINDOWS_MS)
def test_counts_and_volume_are_those_of_the_window(run: str, window_ms: int) -> None:
    events, rows = taped(run)
    trades = events["kind"] == TRADE
    amounts = {"event_count": np.ones(events.size), "trade_count": trades, "volume": trades * events["qty"]}
    for name, each in amounts.items():
        expected = np.log1p(within(events, each, rows, window_ms))
        np.testing.assert_allclose(column(rows, f"log_{name}_{window_ms}ms"), expected, rtol=1e-6, err_msg=name)


@runs
def test_every_number_of_every_row_is_finite(run: str) -> None:
    _, rows = taped(run)
    assert np.isfinite(rows.raw).all()
    assert np.isfinite(rows.values).all()


@runs
def test_no_feature_spends_a_tenth_of_its_rows_at_its_bound(run: str) -> None:
    _, rows = taped(run)
    values = np.abs(rows.values[rows.status == VALID])
    scored = [column for column, each in enumerate(catalogue(PARAMETERS)) if each.normalization == "median_mad"]
    pinned = {NAMES[column]: float((values[:, column] >= PARAMETERS.normalizer_clip).mean()) for column in scored}
    assert {name: share for name, share in pinned.items() if share > 0.1} == {}
