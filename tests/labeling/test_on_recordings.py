"""Labels of real feeds: the published shares, the ledger's round trips, no leak."""

import numpy as np
import polars as pl
import pytest

from features.batch import feature_rows
from features.step import new_state
from labeling.leakage import labels_ignore_beyond_exit
from labeling.replay import OK
from labeling.targets import label_rows, net_returns
from market.events import BUY, SELL
from tests.builders_features import PARAMETERS
from tests.builders_labels import (
    MS,
    PUBLISHED,
    booked_round_trip,
    features_ignore_future,
    grid_instants,
    label_parameters,
    shares,
    venue_book,
)
from tests.builders_market import RUNS, recorded_events

HORIZONS = (250, 1_000, 5_000)
DAY = 86_400_000 * MS


def test_no_trade_shares_are_the_published_ones():
    run = "binance-usdm-btcusdt"
    grid = shares(run, recorded_events(run), as_published=True)
    for budget, published in PUBLISHED[run].items():
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
