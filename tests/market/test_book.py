"""The compiled book against a naive one of two dictionaries, on made-up tapes and on real ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from market.book import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    CROSSED,
    LOCKED,
    LOW,
    RESYNCS,
    SLOTS,
    STALE,
    VALID,
    Book,
    apply,
    apply_events,
    is_open,
    new_book,
    next_level,
    quantity,
    set_level,
    top_levels,
)
from market.events import BBO, BUY, FIRST, GAP, LAST, LEVEL, NO_SIDE, REPLAYED, SELL, SNAPSHOT, TRADE, Events
from market.spill import PLACES
from tests.builders_market import RUNS, recorded_events


class NaiveBook:
    """What the book's rules say, in dictionaries."""

    def __init__(self) -> None:
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.valid, self.stale, self.resyncs = False, 0, 0
        self.crossed = self.locked = 0
        self.depth_id = self.bbo_id = 0
        self.bbo: list[int | None] = [None, None]

    def apply(self, kind: int, side: int, price: int, qty: int, update_id: int, flags: int) -> None:
        row = 0 if side == BUY else 1
        if kind == SNAPSHOT:
            self._snapshot(row, price, qty, update_id, flags)
        elif kind == LEVEL:
            if self.valid and not self._older_than_touch(row, price, update_id):
                self._set(row, price, qty)
            self.depth_id = max(self.depth_id, update_id)
        elif kind == BBO and self.valid:
            self._move_touch(row, price, qty, update_id)
        elif kind == GAP:
            self.valid = False
        if kind != TRADE and flags & LAST and self.valid:
            self._judge_touch()

    def _judge_touch(self) -> None:
        bid, ask = self.best(0), self.best(1)
        self.crossed += bid > ask > 0
        self.locked += bid == ask > 0

    def best(self, row: int) -> int:
        return (max, min)[row](self.levels[row], default=0)

    def _snapshot(self, row: int, price: int, qty: int, update_id: int, flags: int) -> None:
        if flags & FIRST:
            self.levels = ({}, {})
            self.valid, self.bbo_id, self.bbo = False, 0, [None, None]
        self._set(row, price, qty)
        self.depth_id = update_id
        if flags & LAST:
            self.valid = True
            self.resyncs += 1

    def _set(self, row: int, price: int, qty: int) -> None:
        if qty:
            self.levels[row][price] = qty
        else:
            self.levels[row].pop(price, None)

    def _older_than_touch(self, row: int, price: int, update_id: int) -> bool:
        touch = self.bbo[row]
        return touch is not None and update_id < self.bbo_id and (price >= touch if row == 0 else price <= touch)

    def _move_touch(self, row: int, price: int, qty: int, update_id: int) -> None:
        if qty == 0 or update_id <= self.depth_id or update_id < self.bbo_id:
            self.stale += 1
            return
        bids, asks = self.levels
        while bids and max(bids) >= price + (row == 0):
            del bids[max(bids)]
        while asks and min(asks) <= price - (row == 1):
            del asks[min(asks)]
        self._set(row, price, qty)
        self.bbo_id, self.bbo[row] = update_id, price


def all_levels(book: Book, row: int) -> dict[int, int]:
    """Lots by price of a side, read from ladder and spill."""
    ladder, spill, head = book
    slots = np.flatnonzero(ladder[row])
    prices = head[LOW] + (slots - head[LOW]) % SLOTS
    near = zip(prices.tolist(), ladder[row, slots].tolist(), strict=True)
    far = spill[row, : head[PLACES + row]]
    return dict(near) | dict(far[far[:, 0] != 0].tolist())


def assert_equal(book: Book, naive: NaiveBook) -> None:
    assert bool(book[2][VALID]) == naive.valid
    for row in (BID, ASK):
        assert all_levels(book, row) == naive.levels[row]
        assert book[2][row] == naive.best(row)
    counts = (naive.stale, naive.resyncs, naive.crossed, naive.locked)
    assert tuple(book[2][[STALE, RESYNCS, CROSSED, LOCKED]].tolist()) == counts


def opened(bids: dict[int, int], asks: dict[int, int]) -> Book:
    book = new_book()
    levels = [(BUY, *level) for level in bids.items()] + [(SELL, *level) for level in asks.items()]
    for place, (side, price, qty) in enumerate(levels):
        flags = (FIRST if place == 0 else 0) | (LAST if place == len(levels) - 1 else 0)
        apply(book, SNAPSHOT, side, price, qty, 100, flags)
    return book


def test_a_snapshot_opens_the_book_and_a_gap_closes_it():
    book = new_book()
    assert not is_open(book)
    book = opened({99: 5, 98: 2}, {101: 3})
    assert is_open(book)
    assert (book[2][BEST_BID], book[2][BEST_ASK]) == (99, 101)
    apply(book, GAP, NO_SIDE, 0, 0, 101, FIRST | LAST)
    assert not is_open(book)


def test_a_level_is_set_changed_and_removed():
    book = opened({99: 5}, {101: 3})
    apply(book, LEVEL, BUY, 100, 7, 101, FIRST | LAST)
    assert (book[2][BEST_BID], quantity(book, BID, 100)) == (100, 7)
    apply(book, LEVEL, BUY, 100, 0, 102, FIRST | LAST)
    assert (book[2][BEST_BID], quantity(book, BID, 100)) == (99, 0)


def test_a_best_offer_clears_the_levels_that_it_passes_and_crosses():
    book = opened({99: 5, 98: 2, 97: 1}, {101: 3, 102: 4})
    apply(book, BBO, SELL, 98, 9, 101, FIRST)
    assert all_levels(book, BID) == {97: 1}
    assert all_levels(book, ASK) == {98: 9, 101: 3, 102: 4}
    apply(book, BBO, SELL, 102, 1, 102, LAST)
    assert all_levels(book, ASK) == {102: 1}


def test_a_best_bid_older_than_the_depth_is_counted_and_changes_nothing():
    book = opened({99: 5}, {101: 3})
    apply(book, BBO, BUY, 100, 9, 100, FIRST)
    assert (all_levels(book, BID), book[2][STALE]) == ({99: 5}, 1)


def test_a_level_older_than_the_touch_is_news_only_behind_it():
    book = opened({99: 5, 98: 2}, {101: 3})
    apply(book, BBO, BUY, 99, 8, 110, FIRST)
    apply(book, LEVEL, BUY, 99, 6, 105, FIRST)
    apply(book, LEVEL, BUY, 98, 1, 105, LAST)
    assert all_levels(book, BID) == {99: 8, 98: 1}


def test_a_crossed_or_locked_book_is_counted_by_message_and_is_not_open():
    book = opened({99: 5}, {101: 3})
    apply(book, LEVEL, BUY, 101, 1, 101, FIRST)
    assert (book[2][CROSSED], book[2][LOCKED]) == (0, 0)  # the message has not ended
    apply(book, LEVEL, BUY, 98, 1, 101, LAST)
    assert (book[2][CROSSED], book[2][LOCKED], is_open(book)) == (0, 1, False)
    apply(book, LEVEL, BUY, 102, 1, 102, FIRST | LAST)
    apply(book, TRADE, BUY, 102, 1, 102, FIRST | LAST)
    assert (book[2][CROSSED], book[2][LOCKED], is_open(book)) == (1, 1, False)
    apply(book, LEVEL, BUY, 102, 0, 103, FIRST)
    apply(book, LEVEL, BUY, 101, 0, 103, LAST)
    assert (book[2][CROSSED], book[2][LOCKED], is_open(book)) == (1, 1, True)


def test_a_book_of_one_side_is_neither_crossed_nor_open():
    book = opened({99: 5}, {})
    apply(book, LEVEL, BUY, 100, 1, 101, FIRST | LAST)
    assert (book[2][CROSSED], book[2][LOCKED], is_open(book)) == (0, 0, False)


def test_a_gap_keeps_levels_out_until_a_snapshot_and_the_depth_held_back_bring_the_book_up_to_date():
    steps = [(LEVEL, BUY, 99 - i % 7, i % 4, 101 + i, FIRST | LAST) for i in range(40)]
    whole, torn = opened({99: 5, 98: 2}, {101: 3}), opened({99: 5, 98: 2}, {101: 3})
    for step in steps[:10]:
        apply(torn, *step)
    apply(torn, GAP, NO_SIDE, 0, 0, 111, FIRST | LAST)
    before = all_levels(torn, BID)
    for step in steps[15:20]:
        apply(torn, *step)
    assert (all_levels(torn, BID), is_open(torn)) == (before, False)
    for step in steps[:25]:
        apply(whole, *step)
    levels = [(BUY, *level) for level in all_levels(whole, BID).items()] + [(SELL, 101, 3)]
    for place, level in enumerate(levels):
        edges = (FIRST if place == 0 else 0) | (LAST if place == len(levels) - 1 else 0)
        apply(torn, SNAPSHOT, *level, 125, edges)
    for step in steps[25:]:
        apply(torn, *step[:-1], step[-1] | REPLAYED)
        apply(whole, *step)
    assert is_open(torn)
    assert [all_levels(torn, row) for row in (BID, ASK)] == [all_levels(whole, row) for row in (BID, ASK)]
    assert torn[2][RESYNCS] == 2


def test_a_trade_says_nothing_of_the_book():
    book = opened({99: 5}, {101: 3})
    before = [array.tobytes() for array in book]
    apply(book, TRADE, SELL, 99, 5, 7, FIRST | LAST)
    assert [array.tobytes() for array in book] == before


def test_the_ladder_follows_the_touch_and_keeps_far_levels():
    book = opened({50_000: 1}, {50_001: 1})
    low = book[2][LOW]
    for price in (50_000 + SLOTS, 50_000 + 3 * SLOTS):
        set_level(book, BID, price, 2)
    assert book[2][LOW] > low
    assert all_levels(book, BID) == {50_000: 1, 50_000 + SLOTS: 2, 50_000 + 3 * SLOTS: 2}
    set_level(book, BID, 50_000 + 3 * SLOTS, 0)
    set_level(book, BID, 50_000 + SLOTS, 0)
    assert book[2][BEST_BID] == 50_000


def test_the_best_levels_come_in_order_and_end_with_the_side():
    book = opened({99: 5, 90: 2, 40: 4}, {101: 3})
    prices, quantities = np.zeros(5, np.int64), np.zeros(5, np.int64)
    assert top_levels(book, BID, prices, quantities) == 3
    assert prices[:3].tolist() == [99, 90, 40]
    assert quantities[:3].tolist() == [5, 2, 4]


near_prices = st.integers(30_000, 30_012)
far_prices = st.sampled_from([1, 500, 20_000, 30_000 - SLOTS // 2, 30_000 + SLOTS // 2, 45_000, 70_000, 100_000])
prices = st.one_of(near_prices, far_prices)
quantities = st.integers(0, 3)
sides = st.sampled_from([BUY, SELL])
ids = st.integers(-3, 5)  # how far an update id lies beyond the last one
singles = st.tuples(st.sampled_from([LEVEL, LEVEL, LEVEL, BBO, BBO, TRADE, GAP]), sides, prices, quantities, ids)
snapshots = st.lists(st.tuples(sides, prices, st.integers(1, 3)), min_size=1, max_size=6)


@given(st.lists(st.one_of(singles, singles, singles, snapshots), max_size=40), snapshots)
def test_any_tape_leaves_the_same_levels_as_the_naive_book(messages, first):
    book, naive, newest = new_book(), NaiveBook(), 100
    for message in [first, *messages]:
        if isinstance(message, list):
            newest += 1
            rows = [(SNAPSHOT, side, price, qty, newest, 0) for side, price, qty in message]
            rows[0] = (*rows[0][:5], FIRST)
            rows[-1] = (*rows[-1][:5], rows[-1][5] | LAST)
        else:
            kind, side, price, qty, ahead = message
            rows = [(kind, side, price, qty, newest + ahead, FIRST | LAST)]
            newest = max(newest, newest + ahead)
        for row in rows:
            apply(book, *row)
            naive.apply(*row)
        assert_equal(book, naive)


def random_message(rng: np.random.Generator, centre: int, newest: int) -> list[tuple[int, int, int, int, int, int]]:
    """Events of one message of one kind: near and far levels, a best bid or offer, a gap, a whole snapshot."""
    kind = rng.choice([LEVEL, BBO, SNAPSHOT, GAP], p=[0.7, 0.25, 0.03, 0.02])
    count = {LEVEL: 12, BBO: 2, SNAPSHOT: 400, GAP: 1}[int(kind)]
    reach = rng.choice([8, 3_000, SLOTS, 5_000_000])
    sides, ahead = rng.choice([BUY, SELL], count), rng.integers(-3, 4, count) * (kind != SNAPSHOT)
    prices = np.maximum(1, centre + rng.integers(-reach, reach + 1, count))
    quantities = rng.integers(kind == SNAPSHOT, 4, count)
    columns = (np.full(count, kind), sides, prices, quantities, newest + ahead, np.zeros(count, np.int64))
    rows = [tuple(row) for row in np.stack(columns, axis=1).tolist()]
    rows[0] = (*rows[0][:5], FIRST)
    rows[-1] = (*rows[-1][:5], rows[-1][5] | LAST)
    return rows


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_long_wild_tapes_that_recentre_and_spill_leave_all_levels_equal_after_every_message(seed):
    rng = np.random.default_rng(seed)
    book, naive, centre, newest = new_book(), NaiveBook(), 2_000_000, 100
    for number in range(300):
        newest += 2
        centre += int(rng.choice([0, 0, 0, 5_000, -5_000, 40_000]))
        message = random_message(rng, centre, newest)
        if number == 0:
            message = [(SNAPSHOT, *row[1:3], 1, newest, row[5]) for row in message]
        for row in message:
            apply(book, *row)
            naive.apply(*row)
        assert_equal(book, naive)
    assert naive.resyncs > 1


@given(st.lists(st.tuples(prices, st.integers(0, 2)), min_size=1, max_size=60), st.sampled_from([BID, ASK]))
def test_walking_the_levels_visits_each_once_in_order(changes, row):
    book, levels = new_book(), {}
    for price, qty in changes:
        set_level(book, row, price, qty)
        levels[price] = qty
    expected = sorted((price for price, qty in levels.items() if qty), reverse=row == BID)
    walked, price = [], book[2][row]
    while price:
        walked.append(price)
        price = next_level(book, row, price)
    assert walked == expected


@pytest.mark.parametrize("run", ["binance-coinm-btcusd_perp", "binance-usdm-btcusdt"])
def test_a_recording_leaves_all_levels_as_in_the_naive_book_at_many_instants(run):
    events = recorded_events(run, 8_000)
    cuts = np.sort(np.random.default_rng(0).choice(events.size, 100, replace=False))
    book, naive, start = new_book(), NaiveBook(), 0
    for cut in [*cuts.tolist(), events.size]:
        part = events[start:cut]
        apply_events(book, part)
        names = ("kind", "side", "price", "qty", "update_id", "flags")
        for row in zip(*(part[name].tolist() for name in names), strict=True):
            naive.apply(*row)
        assert_equal(book, naive)
        start = cut
    assert naive.resyncs == 1
    assert len(naive.levels[0]) > 1_000


@njit
def _closed_messages(book, events):
    """Message ends past the snapshot at which the book was not open."""
    closed = 0
    for i in range(events.size):
        event = events[i]
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
        if event.flags & LAST and book[2][RESYNCS] > 0 and not is_open(book):
            closed += 1
    return closed


def _has_gap(events: Events) -> bool:
    return bool((events["kind"] == GAP).any())


@pytest.mark.parametrize("run", RUNS)
def test_no_recorded_book_breaks_or_crosses(run):
    events = recorded_events(run)
    book = new_book()
    assert not _has_gap(events)
    assert _closed_messages(book, events) == 0
    assert book[2][RESYNCS] == 1
