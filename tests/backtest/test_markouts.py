"""Markouts worked by hand, and the mids that they are read from."""

import numpy as np
import pytest

from backtest.markouts import markouts, move_bp
from backtest.mids import mid_path
from market.book import BEST_ASK, BEST_BID, apply_events, is_open, new_book
from market.events import BUY, GAP, LAST, SELL, aligned_ts, empty_events
from tests.builders_backtest import MS, fills, mids, stretch
from tests.builders_market import COINM_BTC, USDM_BTC


def test_a_fill_that_the_mid_follows_has_a_positive_markout_whatever_its_side() -> None:
    table = fills(USDM_BTC, (1, BUY, 1_000, 1, 1, 10 * MS), (2, SELL, 1_000, 1, 0, 10 * MS))
    path = mids((0, 1_000.0), (200 * MS, 1_001.0), (900 * MS, 998.0), end=2_000 * MS)
    found = markouts(table, path, (250, 1_000, 5_000), USDM_BTC)
    # 250 ms: the mid stands a tick of 1,000 higher, 10 bp; 1 s: two lower; 5 s: behind the tape
    rows = [("maker", 250, 1, 0, 10.0), ("taker", 250, 1, 0, -10.0), ("maker", 1_000, 1, 0, -20.0)]
    assert [pytest.approx(row) for row in rows] == found.rows()[:3]
    assert found.row(3) == pytest.approx(("taker", 1_000, 1, 0, 20.0))
    assert found.rows()[4:] == [("maker", 5_000, 0, 1, None), ("taker", 5_000, 0, 1, None)]


def test_markouts_are_weighted_by_notional() -> None:
    table = fills(USDM_BTC, (1, BUY, 1_000, 1, 1, 0), (2, BUY, 1_000, 3, 1, 500 * MS))
    path = mids((0, 1_000.0), (250 * MS, 1_001.0), (750 * MS, 1_002.0), end=900 * MS)
    assert markouts(table, path, (250,), USDM_BTC)["markout_bp"][0] == pytest.approx((10 + 3 * 20) / 4)


def test_an_inverse_markout_is_what_the_ledger_books_in_coin() -> None:
    # 1 USD bought at 50,000 and worth 62,500: 1/50,000 - 1/62,500 BTC, a fifth of what was paid
    assert move_bp(np.array([BUY]), np.array([500_000.0]), np.array([625_000.0]), True)[0] == pytest.approx(2_000.0)
    table = fills(COINM_BTC, (1, BUY, 500_000, 5, 0, 0))
    path = mids((0, 625_000.0), end=300 * MS)
    assert markouts(table, path, (250,), COINM_BTC)["markout_bp"][1] == pytest.approx(2_000.0)


def test_the_mid_path_is_that_of_the_book_message_by_message() -> None:
    tape, book, clock, changes = stretch()[0].tape, new_book(), 0, list[tuple[int, float]]()
    ends = np.flatnonzero(tape["flags"] & LAST)[:3_000] + 1
    tape = tape[: ends[-1]]
    for message in np.split(tape, ends[:-1]):
        apply_events(book, message)
        clock = max(clock, int(aligned_ts(message).max()))
        if is_open(book) and (not changes or changes[-1][1] != (book[2][BEST_BID] + book[2][BEST_ASK]) / 2):
            changes.append((clock, (book[2][BEST_BID] + book[2][BEST_ASK]) / 2))
    path = mid_path(new_book(), tape)
    known = np.isfinite(path.mid)
    assert len(changes) > 10
    assert list(zip(path.ts[known].tolist(), path.mid[known].tolist(), strict=True)) == changes
    assert path.end == clock
    assert np.isnan(path.at(np.array([path.ts[0] - 1, path.end + 1]))).all()


def test_a_closed_book_has_no_mid() -> None:
    tape = stretch()[0].tape
    gap = empty_events(1)
    gap["kind"], gap["flags"], gap["ingest_ts"] = GAP, LAST, tape["ingest_ts"][-1] + 1
    path = mid_path(new_book(), np.concatenate([tape, gap]))
    assert np.isnan(path.mid[-1])
    assert np.isfinite(path.mid[-2])
    assert np.isnan(path.at(np.array([path.end]))[0])
