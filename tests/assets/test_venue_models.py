"""From the runner's journal to the venue that a backtest trades against."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.journal_tables import ORDERS_TABLE, REPORTS_TABLE
from assets.live_journal import live_journal, live_journal_hold, live_table
from assets.partitions import WHOLE
from assets.venue_models import desk_tapes, newest_hours, venue_in_force, venue_models
from config.loading import load_settings
from config.settings import Paths, Settings
from live.replay import decision_of
from market.orders import FILL
from orchestration.instance import open_instance
from storage.journal import DECISION, read_journal
from storage.lake import Lake
from storage.venue_models import VenueModels
from tests.builders_runner import quick_plan, written_journal

SYMBOL = quick_plan().instrument.name


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Lake]:
    """Settings whose journal a runner has written for half a minute, imported and fitted."""
    found = load_settings("dev")
    paths = Paths(tmp_path_factory.mktemp("var"))
    few = replace(found.venue_models, min_orders=10, min_cancels=5, min_fills=5, rate_buckets=2, resamples=50)
    settings = replace(found, paths=paths, live=replace(found.live, symbol=SYMBOL), venue_models=few)
    written_journal(paths.journal(SYMBOL).parent, seconds=30.0)
    lake = Lake(paths.lake)
    assert materialized(settings, lake, [live_journal, live_journal_hold, venue_models]).success
    return settings, lake


def materialized(settings: Settings, lake: Lake, assets: Sequence[Any]) -> dg.ExecuteInProcessResult:
    with open_instance(settings.paths.dagster) as instance:
        return dg.materialize(assets, resources={"settings": settings, "lake": lake}, instance=instance)


def test_every_intent_of_the_journal_is_in_its_table(traded: tuple[Settings, Lake]) -> None:
    settings, lake = traded
    journal = lake.scan("live_journal", SYMBOL, [WHOLE]).collect()
    table = live_table(lake, SYMBOL, journal, ORDERS_TABLE)
    records = [record for record in read_journal(settings.paths.journal(SYMBOL)) if record.kind == DECISION]
    intents = np.concatenate([decision_of(record.payload).intents for record in records])
    assert table.height == intents.size > 50
    assert table["order_id"].to_list() == intents["order_id"].tolist()
    assert table["desk"].n_unique() > 0


def test_paper_legs_come_back_as_configured_and_the_wait_for_the_next_message(traded: tuple[Settings, Lake]) -> None:
    settings, _ = traded
    stored = VenueModels(settings.paths.venue_models).newest(SYMBOL)
    assert stored is not None
    table = stored.fit.latency
    assert table is not None
    assert (table.entry_ns >= settings.venue.order_latency_ns).all()
    assert np.median(table.entry_ns) < 2 * settings.venue.order_latency_ns
    assert (table.ack_ns >= settings.venue.ack_latency_ns).all()
    assert (table.feed_ns >= 0).all()


def test_the_paper_venues_own_queue_model_is_found(traded: tuple[Settings, Lake]) -> None:
    settings, lake = traded
    stored = VenueModels(settings.paths.venue_models).newest(SYMBOL)
    assert stored is not None
    queue = stored.fit.queue
    assert queue is not None
    model = settings.venue.queue_model
    # half a minute may not tell the models apart: then they are equally likely, and the most pessimistic is taken
    assert queue.model == model
    assert queue.log_likelihoods[model] == max(queue.log_likelihoods.values())
    journal = lake.scan("live_journal", SYMBOL, [WHOLE]).collect()
    fills = live_table(lake, SYMBOL, journal, REPORTS_TABLE).filter((pl.col("kind") == FILL) & (pl.col("maker") == 1))
    assert 5 <= queue.fills <= fills.height


def test_the_fitted_venue_is_in_force_and_stressed(traded: tuple[Settings, Lake]) -> None:
    settings, _ = traded
    fitted = venue_in_force(settings, SYMBOL)
    assert (fitted.version, fitted.sources["latency"]) == (1, "fitted")
    harder = replace(settings, venue_models=replace(settings.venue_models, latency_stress=2.0))
    slower = venue_in_force(harder, SYMBOL)
    assert fitted.table is not None
    assert slower.table is not None
    assert (slower.table.ack_ns == 2 * fitted.table.ack_ns).all()
    assert slower.parameters.order_latency_ms == 2 * settings.venue.order_latency_ms


def test_the_configured_venue_is_in_force_where_asked_or_nothing_was_fitted(traded: tuple[Settings, Lake]) -> None:
    settings, _ = traded
    stranger = venue_in_force(settings, "another-symbol")
    assert (stranger.version, stranger.sources) == (0, {"all": "configured: no journal of this symbol was fitted"})
    asked = replace(settings, venue_models=replace(settings.venue_models, use="configured"))
    assert venue_in_force(asked, SYMBOL).parameters == settings.venue
    assert venue_in_force(asked, SYMBOL).table is None


def test_a_second_fit_of_the_same_journal_is_the_same_version(traded: tuple[Settings, Lake]) -> None:
    settings, lake = traded
    [event] = materialized(settings, lake, [venue_models]).asset_materializations_for_node("venue_models")
    assert event.metadata["version"].value == 1


def test_only_the_newest_hours_of_a_journal_are_fitted() -> None:
    hour = 3_600_000_000_000
    journal = pl.DataFrame({"segment": ["a", "b", "c"], "last_ts": [1 * hour, 4 * hour, 5 * hour]})
    assert newest_hours(journal, 1.0)["segment"].to_list() == ["b", "c"]


def test_desks_are_kept_apart(traded: tuple[Settings, Lake]) -> None:
    _, lake = traded
    desks = desk_tapes(lake, SYMBOL, lake.scan("live_journal", SYMBOL, [WHOLE]).collect())
    assert len(desks) == 2
    assert sum(desk.intents.size for desk in desks) > 50
