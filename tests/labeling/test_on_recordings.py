"""Labels of real feeds: the published shares, the ledger's round trips, no leak."""

import numpy as np
import polars as pl
import pytest

from features.batch import feature_rows
from features.step import new_state
from labeling.leakage import labels_ignore_beyond_exit
from labeling.replay import OK
from labeling.targets import label_rows, net_returns, tradeable_grid
from market.events import BUY, SELL
from tests.builders_features import PARAMETERS
from tests.builders_labels import MS, booked_round_trip, features_ignore_future, label_parameters, venue_book
from tests.builders_market import RUNS, recorded_events

HORIZONS = (250, 1_000, 5_000)
DAY = 86_400_000 * MS
LONG_HORIZONS = (*HORIZONS, 30_000, 60_000)

# No-trade shares in % of usdm BTCUSDT, 2024-08-08, by round-trip budget in bp, at LONG_HORIZONS: measured by another
# implementation, on the book as it had been received, a row each 100 ms, 10 ms to the venue.
PUBLISHED = {
    0.0: (79.9, 48.9, 8.3, 2.3, 1.1),
    2.0: (98.8, 93.7, 66.8, 29.3, 13.1),
    4.0: (99.7, 98.7, 89.3, 48.4, 23.0),
    10.0: (100.0, 100.0, 99.0, 88.4, 68.7),
}


def grid_instants(events, step_ms):
    step = step_ms * MS
    return np.arange(events["ingest_ts"][0] // step + 1, events["ingest_ts"][-1] // step + 1) * step


def test_no_trade_shares_are_the_published_ones():
    run = "binance-usdm-btcusdt"
    events = recorded_events(run)
    events["delay_ns"] = 0  # the book as received
    parameters = label_parameters(horizons_ms=LONG_HORIZONS, fee_budgets_bp=tuple(PUBLISHED))
    table = label_rows(events, grid_instants(events, 100), parameters, RUNS[run][0], None)
    grid = tradeable_grid(table, parameters, "linear")
    for budget, published in PUBLISHED.items():
        ours = grid.filter(pl.col("budget_bp") == budget)["no_trade"].to_numpy() * 100
        assert ours == pytest.approx(published, abs=1.5), f"budget {budget} bp"


@pytest.mark.parametrize("run", ["binance-coinm-btcusd_perp", "binance-usdm-btcusdt", "binance-spot-btcusdt"])
def test_a_real_label_equals_what_the_ledger_books(run):
    instrument = RUNS[run][0]
    events = recorded_events(run, 10_000)
    rows = grid_instants(events, 700)
    table = label_rows(events, rows, label_parameters(order_notional_usd=100_000.0), instrument, None)
    table = table.filter(pl.col("status_1000") == OK)
    assert table.height >= 20
    for row in table.gather_every(max(1, table.height // 20)).iter_slices(1):
        te, lots = row["te"][0], row["lots"][0]
        nets = net_returns(row, 1_000, 0.0004, instrument.contract)
        for net, side in zip(nets, (BUY, SELL), strict=True):
            paid = booked_round_trip(events, instrument, side, lots, te, te + 1_000 * MS, 0.0004)
            assert net[0] == pytest.approx(paid, abs=1e-12)


@pytest.mark.parametrize("run", ["binance-coinm-btcusd_perp", "binance-usdm-btcusdt"])
def test_neither_features_nor_labels_of_a_real_tape_leak(run):
    events = recorded_events(run, 6_000)
    instants = np.quantile(events["ingest_ts"], [0.3, 0.6, 0.9]).astype(np.int64).tolist()

    def rows_of(tape, until):
        rows = feature_rows(tape, new_state(PARAMETERS), PARAMETERS, until)
        return rows.row_ts, np.column_stack((rows.status, rows.best_bid, rows.best_ask, rows.raw, rows.values))

    def labels_of(tape):
        parameters = label_parameters(horizons_ms=HORIZONS)
        return label_rows(tape, grid_instants(events, 20), parameters, RUNS[run][0], None)

    assert features_ignore_future(rows_of, events, instants).clean
    assert labels_ignore_beyond_exit(labels_of, events, instants, HORIZONS).clean


def test_two_days_label_like_one_tape():
    run = "binance-coinm-btcusd_perp"
    events, instrument, parameters = recorded_events(run), RUNS[run][0], label_parameters()
    midnight = (int(events["ingest_ts"][-1]) // DAY) * DAY
    rows = grid_instants(events, 20)
    rows = rows[np.abs(rows - midnight) < 10_000 * MS]
    whole = label_rows(events, rows, parameters, instrument, None)
    morning = int(np.searchsorted(events["ingest_ts"], midnight))
    beyond_midnight = int(np.searchsorted(events["ingest_ts"], midnight + 12_000 * MS))
    opening = venue_book(events[:morning], int(events["ingest_ts"][-1]))
    days = [
        label_rows(events[:beyond_midnight], rows[rows < midnight], parameters, instrument, None),
        label_rows(events[morning:], rows[rows >= midnight], parameters, instrument, opening),
    ]
    assert pl.concat(days).equals(whole)
    assert (whole["status_1000"] == OK).all()
