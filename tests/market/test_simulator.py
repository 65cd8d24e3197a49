"""The synthetic market: deterministic, whole, and readable by the real decoder, clock and book."""

import numpy as np
import pytest

from market.book import BEST_ASK, BEST_BID, apply_events, is_open, new_book
from market.events import BBO, LAST, SNAPSHOT, TRADE
from market.simulator import OFFSET_NS, synthetic_capture
from market.sources import decoder_for
from market.sources.capture import split_line
from tests.builders_market import COINM_BTC, COINM_ETH, USDM_BTC, import_capture, synthetic_events

START = 1_723_161_600_000_000_000


def test_a_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (list(synthetic_capture(COINM_BTC, seed, START, 2.0)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("instrument", [COINM_BTC, COINM_ETH, USDM_BTC])
def test_it_decodes_without_a_gap_behind_one_snapshot(instrument):
    lines = list(synthetic_capture(instrument, 3, START, 10.0))
    events, report = import_capture(lines, decoder_for(instrument), 0.0)
    assert events["kind"][0] == SNAPSHOT
    assert (report.bad, report.counts["snapshot"], report.counts["gaps"], report.counts["unknown"]) == (0, 1, 0, 0)
    assert (report.counts["stale"], report.counts["waiting"]) == (0, 0)
    assert report.lines > 2_000
    assert min(report.counts[name] for name in ("depth", "bookTicker", "trade")) > 200


def test_lines_are_in_the_order_of_receipt_over_the_span_asked_for():
    stamps = [split_line(line)[0] for line in synthetic_capture(COINM_BTC, 3, START, 10.0)]
    assert stamps[0] == START
    assert (np.diff(stamps) > 0).all()
    assert 9.9e9 < stamps[-1] - START < 10.1e9


def test_the_book_is_open_after_every_message_and_agrees_with_every_best_offer():
    events, book, start = synthetic_events(10.0, seed=4), new_book(), 0
    for end in np.flatnonzero(events["flags"] & LAST):
        apply_events(book, events[start : end + 1])
        start = end + 1
        assert is_open(book)
        if events["kind"][end] == BBO:
            assert [book[2][BEST_BID], book[2][BEST_ASK]] == events["price"][end - 1 : end + 1].tolist()


def test_prices_move_and_trades_go_both_ways():
    events = synthetic_events(30.0, seed=5)
    trades = events[events["kind"] == TRADE]
    assert np.ptp(trades["price"]) > 20
    assert 0.3 < (trades["side"] > 0).mean() < 0.7


def test_the_clock_finds_the_offset_that_was_planted():
    events = synthetic_events(30.0, seed=6)
    assert abs(events["offset_ns"][-1] - OFFSET_NS - 2_000_000) < 1_500_000  # stamps are whole milliseconds
    assert events["delay_ns"].min() >= 0
