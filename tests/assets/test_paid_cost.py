"""Fills of a runner's journal, each beside the decision that sent its order and the book that it met."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.journal_tables import DECISIONS_TABLE, EVENTS_TABLE, ORDERS_TABLE, REPORTS_TABLE
from assets.live_journal import live_journal, live_journal_hold, live_table
from assets.paid_cost import costs_of, fees_of, fills_with_decisions, mids_at, paid_cost, paid_cost_hold
from assets.partitions import WHOLE
from config.loading import load_settings
from config.settings import Paths
from market.book import BEST_ASK, BEST_BID
from market.errors import JournalError
from market.orders import FILL
from market.schema import frame_to_events
from storage.lake import Lake
from tests.builders_journal import FEES, settings_in, trade, venue_of
from tests.builders_labels import random_tape, venue_book
from tests.builders_market import COINM_BTC
from tests.builders_runner import close_all, drive, new_runner, synthetic_frames

Tables = dict[str, pl.DataFrame]


def materialized(folder: Path) -> dict[str, object]:
    """Metadata of the asset on the journal below a folder; all checks have to pass."""
    settings = settings_in(folder)
    resources = {"settings": settings, "lake": Lake(settings.paths.lake)}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [live_journal, live_journal_hold, paid_cost, paid_cost_hold], resources=resources, instance=instance
        )
    assert all(check.passed for check in result.get_asset_check_evaluations())
    [made] = [event for event in result.get_asset_materialization_events() if event.asset_key.path == ["paid_cost"]]
    return {name: value.value for name, value in made.materialization.metadata.items()}


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A folder in whose lake the costs lie, and their metadata."""
    folder = tmp_path_factory.mktemp("var")
    trade(settings_in(folder).paths.journal(COINM_BTC.name).parent, 9.0)
    return folder, materialized(folder)


@pytest.fixture(scope="module")
def tables(traded: tuple[Path, dict[str, object]]) -> Tables:
    lake = Lake(Paths(traded[0]).lake)
    journal = lake.scan("live_journal", COINM_BTC.name, [WHOLE]).collect()
    names = (EVENTS_TABLE, DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE)
    return {name: live_table(lake, COINM_BTC.name, journal, name) for name in names}


def test_every_fill_is_costed_and_both_kinds_are_told(traded: tuple[Path, dict[str, object]]) -> None:
    folder, facts = traded
    costs = Lake(Paths(folder).lake).scan("paid_cost", COINM_BTC.name, [WHOLE]).collect()
    taken, made = (costs.filter(pl.col("liquidity") == name) for name in ("taker", "maker"))
    assert facts["taker: fills"] == taken.height > 0
    assert facts["maker: fills"] == made.height > 0
    assert facts["taker: verdict"] == "insufficient"  # nine seconds are one minute, or two
    assert set(made["desk"]) == {1}
    assert np.isnan(made["assumed_bp"].to_numpy()).all()  # the probe assumes nothing


def test_costs_are_those_of_the_records_by_hand(tables: Tables) -> None:
    """The naive way round: fill by fill, from the records alone."""
    settings = load_settings("dev")
    joined = fills_with_decisions(tables[REPORTS_TABLE], tables[ORDERS_TABLE], tables[DECISIONS_TABLE])
    costs = costs_of(joined, frame_to_events(tables[EVENTS_TABLE]), COINM_BTC, venue_of(settings))
    decisions = {(row["desk"], row["decision_id"]): row for row in tables[DECISIONS_TABLE].iter_rows(named=True)}
    sent = {
        (row["desk"], row["order_id"]): row for row in tables[ORDERS_TABLE].iter_rows(named=True) if row["verb"] == 1
    }
    fills = tables[REPORTS_TABLE].filter(pl.col("kind") == FILL)
    for fill, found in zip(fills.iter_rows(named=True), costs.iter_rows(named=True), strict=True):
        decision = decisions[fill["desk"], sent[fill["desk"], fill["order_id"]]["decision_id"]]
        mid = (decision["best_bid"] + decision["best_ask"]) / 2
        coins = fill["qty"] * COINM_BTC.lot_value
        lost = fill["side"] * (coins / mid - coins / fill["price"])
        fee = coins / fill["price"] * FEES["maker_fee" if fill["maker"] else "taker_fee"]
        assert found["paid_bp"] == pytest.approx(1e4 * (lost + fee) / (coins / mid))
        assert found["quote_value"] == coins
        assert found["decided_ts"] == decision["infer_ts"]
        assert found["assumed_bp"] == pytest.approx(decision["cost_bp"] / 2, nan_ok=True)


def test_a_tier_charges_each_fill_the_fees_of_its_own_day() -> None:
    tier = replace(load_settings("dev").venue, fee_tier="vip0", maker_fee=None, taker_fee=None)
    usdm = load_settings("dev").instrument("binance-usdm-btcusdt")
    days = [int(datetime(*day, 12, tzinfo=UTC).timestamp()) * 1_000_000_000 for day in ((2023, 4, 4), (2024, 8, 8))]
    fees = fees_of(tier, usdm, np.array([*days, *days]), np.array([False, False, True, True]))
    assert fees.tolist() == pytest.approx([0.0004, 0.0005, 0.0002, 0.0002])


def test_takers_pay_and_makers_earn_against_the_mid(tables: Tables) -> None:
    free = replace(load_settings("dev").venue, maker_fee=0.0, taker_fee=0.0)
    joined = fills_with_decisions(tables[REPORTS_TABLE], tables[ORDERS_TABLE], tables[DECISIONS_TABLE])
    costs = costs_of(joined, frame_to_events(tables[EVENTS_TABLE]), COINM_BTC, free)
    taken, made = (costs.filter(pl.col("liquidity") == name) for name in ("taker", "maker"))
    assert (
        taken["arrival_bp"] > 0
    ).mean() > 0.8  # the venue moves in order of receipt, the mid in that of its own time
    assert (made["paid_bp"] < 0).mean() > 0.8


def test_without_a_model_or_a_fill_it_says_so(tmp_path: Path) -> None:
    folder = settings_in(tmp_path).paths.journal(COINM_BTC.name).parent
    runner = new_runner(folder)
    runner.on_connection(True, synthetic_frames(1.0)[0][0])
    drive(runner, synthetic_frames(1.0))
    close_all(runner)
    runner.journal.close()
    facts = materialized(tmp_path)
    assert (facts["taker: verdict"], facts["maker: verdict"]) == ("no fills yet", "no fills yet")
    assert facts["summary"] == "No fills yet."
    assert facts["dagster/row_count"] == 0


def test_a_fill_of_an_order_that_nobody_sent_is_an_error(tables: Tables) -> None:
    reports, orders, decisions = (tables[name] for name in (REPORTS_TABLE, ORDERS_TABLE, DECISIONS_TABLE))
    with pytest.raises(JournalError, match="of them no decision"):
        fills_with_decisions(reports, orders.clear(), decisions)
    with pytest.raises(JournalError, match="fills meet"):
        fills_with_decisions(reports, pl.concat([orders, orders]), decisions)


@pytest.mark.parametrize("seed", range(3))
def test_mids_are_those_of_a_book_rebuilt_for_each_instant(seed: int) -> None:
    events, rng = random_tape(seed), np.random.default_rng(seed)
    first, last = int(events["exchange_ts"].min()), int(events["exchange_ts"].max())
    instants = np.append(rng.integers(first, last, 20), [first - 1, first - 1])
    mids = mids_at(events, instants)
    assert np.isnan(mids[-2:]).all()
    for instant, mid in zip(instants[:-2], mids, strict=False):
        head = venue_book(events, int(instant))[2]
        assert mid == (head[BEST_BID] + head[BEST_ASK]) / 2
