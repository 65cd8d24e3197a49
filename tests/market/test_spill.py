"""Far levels: the hash grows with them, keeps them all, and says in one line when there are too many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.venue import SimulatedVenue
from labeling.targets import label_rows
from market.book import ASK, BID, VALID, apply_events, is_open, new_book, next_level, quantity
from market.errors import DataError
from market.events import BUY, FIRST, LAST, LEVEL, SELL, SNAPSHOT, Events, empty_events
from market.spill import FEWEST, LOST, PLACES, SPILL, SPILLED
from tests.builders_features import PARAMETERS, batch_rows
from tests.builders_labels import label_parameters
from tests.builders_market import COINM_BTC
from tests.builders_venue import VENUE

TOUCH = 50_000_000  # ticks
START = 1_723_161_600_000_000_000


def levels(kind: int, side: int, prices: list[int], qty: int = 1) -> Events:
    """One message of levels of one quantity."""
    events = empty_events(len(prices))
    events["kind"], events["side"], events["qty"], events["price"] = kind, side, qty, prices
    events["ingest_ts"], events["update_id"] = START, 100
    events["flags"][0] |= FIRST
    events["flags"][-1] |= LAST
    return events


def snapshot() -> Events:
    """A touch of one lot a side."""
    events = levels(SNAPSHOT, BUY, [TOUCH, TOUCH + 1])
    events["side"][1] = SELL
    return events


def too_many() -> Events:
    """A snapshot and one far bid more than there is room for."""
    return np.concatenate([snapshot(), levels(LEVEL, BUY, list(range(1_000, 1_000 + SPILL // 2 + 1)))])


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 100, 4_096, 1_000_000]))
def test_twenty_thousand_far_levels_are_kept_changed_and_removed(seed, spacing):
    """As many as Coinbase keeps of one coin, round prices among them."""
    rng, book = np.random.default_rng(seed), new_book()
    prices = TOUCH + 20_000 + spacing * rng.permutation(20_000)
    apply_events(book, snapshot())
    for chunk in np.split(prices, 20):
        apply_events(book, levels(LEVEL, SELL, chunk.tolist(), qty=int(rng.integers(1, 9))))
    assert (book[2][SPILLED + ASK], book[2][PLACES + BID]) == (20_000, FEWEST)
    gone, kept = np.split(rng.permutation(prices), 2)
    apply_events(book, levels(LEVEL, SELL, gone.tolist(), qty=0))
    apply_events(book, levels(LEVEL, SELL, kept.tolist(), qty=5))
    assert book[2][SPILLED + ASK] == kept.size
    assert {quantity(book, ASK, int(price)) for price in kept} == {5}
    assert {quantity(book, ASK, int(price)) for price in gone} == {0}
    assert next_level(book, ASK, TOUCH + 1) == kept.min()


def test_more_far_levels_than_there_is_room_for_are_refused_in_one_line_and_close_the_book():
    book = new_book()
    with pytest.raises(DataError, match=r"^1 price levels found no room in the book: .*65536.*tick size.*\?$"):
        apply_events(book, too_many())
    assert (book[2][LOST], book[2][VALID], is_open(book)) == (1, 0, False)
    apply_events(book, snapshot())
    assert (book[2][LOST], book[2][SPILLED], is_open(book)) == (0, 0, True)


def test_a_snapshot_of_too_many_levels_does_not_open_the_book():
    book, events = new_book(), too_many()
    events["kind"], events["flags"] = SNAPSHOT, 0
    events["flags"][0], events["flags"][-1] = FIRST, LAST
    with pytest.raises(DataError, match="found no room"):
        apply_events(book, events)
    assert not is_open(book)


@pytest.mark.parametrize("driver", ["features", "labels", "venue in order of arrival", "venue in order of matching"])
def test_whoever_drives_a_book_refuses_one_that_is_not_whole(driver):
    events = too_many()
    venue = SimulatedVenue(COINM_BTC, VENUE)
    drive = {
        "features": lambda: batch_rows(events, PARAMETERS),
        "labels": lambda: label_rows(events, np.array([START]), label_parameters(), COINM_BTC, None),
        "venue in order of arrival": lambda: venue.on_events(events),
        "venue in order of matching": lambda: venue.match_research(events, START),
    }[driver]
    with pytest.raises(DataError, match="found no room"):
        drive()
