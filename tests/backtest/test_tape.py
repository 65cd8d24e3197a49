"""A compiled tape holds the market as the venue and we saw it, and quoting along it is the venue's own trading."""

import numpy as np
import pytest

from backtest.orders import TALLIES
from backtest.quoting import QuoteRules, quote_along
from backtest.tape import compile_tape
from backtest.venue import SimulatedVenue
from market.book import BEST_ASK, BEST_BID, VALID, apply_events, new_book
from market.errors import BacktestError, CorruptFile
from market.events import BUY, LAST, SELL, aligned_ts
from market.orders import ACKED, CANCEL_REJECTED, ENDED, FILL, POST_ONLY
from storage.tapes import open_tape, verify_tape, write_tape
from tests.builders_market import COINM_BTC, recorded_events, synthetic_events
from tests.builders_trading import VENUE
from tests.builders_venue import FOREVER, MS, level, opened, tape, trade

RULES = QuoteRules(100 * MS, half_spread_ticks=2, skew_ticks=3, qty=10, most_lots=60)


def test_the_venue_s_view_is_in_the_order_of_its_time() -> None:
    events = tape(opened(), level(20, BUY, 99, 4), trade(21, SELL, 100, 3, delay_ms=5))
    columns = compile_tape(events).venue
    assert columns[6][-2:].tolist() == [21 * MS, 20 * MS]
    assert (np.diff(columns[6] - columns[7]) >= 0).all()


def test_our_view_is_each_change_of_the_touch_when_we_received_it() -> None:
    events = tape(opened(), level(20, BUY, 99, 4), level(30, BUY, 100, 0), level(40, SELL, 101, 0, delay_ms=15))
    stamps, bids, asks = compile_tape(events).touches
    assert stamps.tolist() == [1 * MS, 30 * MS, 40 * MS]
    assert (bids.tolist(), asks.tolist()) == ([100, 99, 99], [101, 101, 102])


def test_our_view_agrees_with_the_book_at_every_message_of_a_recording() -> None:
    events = recorded_events()[:30_000]
    stamps, bids, asks = compile_tape(events).touches
    book = new_book()
    for cut in np.flatnonzero(events["flags"] & LAST)[999::1000]:
        done = events[: cut + 1]
        book = new_book()
        apply_events(book, done)
        if cut + 1 < events.size and events["ingest_ts"][cut + 1] == events["ingest_ts"][cut]:
            continue
        at = np.searchsorted(stamps, events["ingest_ts"][cut], side="right") - 1
        head = book[2]
        open_book = head[VALID] and head[BEST_BID] < head[BEST_ASK]
        assert (bids[at], asks[at]) == ((head[BEST_BID], head[BEST_ASK]) if open_book else (0, 0))


@pytest.mark.parametrize("rules", [RULES, QuoteRules(50 * MS, 0, 1, 500, 5_000)])
def test_quoting_along_a_tape_is_quoting_at_the_venue(rules: QuoteRules) -> None:
    events = synthetic_events(20.0)
    compiled = compile_tape(events)
    done = quote_along(compiled, COINM_BTC, VENUE, rules)
    venue, held, steps = _quoted(events, compiled.touches, rules)
    assert done.ledger.fills > 10
    assert (done.ledger.position, done.ledger.fills, done.steps) == (held, len(venue[1]), steps)
    assert done.tallies == venue[0].tallies
    assert set(done.tallies) == set(TALLIES)
    assert done.end_reason == "end of tape"


def _quoted(events, touches, rules):
    """The same rules in plain Python, at the venue that everyone else trades at."""
    events = events[np.isin(events["kind"], (1, 2, 3, 4, 9))]
    events = events[np.argsort(aligned_ts(events), kind="stable")]
    venue, orders, position, fills, start, next_id = SimulatedVenue(COINM_BTC, VENUE), {}, 0, [], 0, 1
    stamps, bids, asks = touches
    now, steps = int(stamps[0]) + rules.step_ns, 0
    end = max(int(events["ingest_ts"][-1]), int(stamps[-1]))
    while now <= end:
        stop = start + int(np.searchsorted(aligned_ts(events[start:]), now, side="right"))
        venue.match_research(events[start:stop].copy(), now)
        start = stop
        for report in venue.reports(now):
            order = orders.get(int(report["order_id"]))
            if report["kind"] == FILL:
                position += int(report["side"] * report["qty"])
                fills.append(report)
            if order and (report["kind"] in ENDED or (report["kind"] == FILL and report["leaves"] == 0)):
                del orders[int(report["order_id"])]
            elif order and report["kind"] == ACKED:
                order["rests"] = True
            assert report["kind"] != CANCEL_REJECTED or report["reason"] == 12
        at = int(np.searchsorted(stamps, now, side="right")) - 1
        bid, ask = int(bids[at]), int(asks[at])
        shift = rules.skew_ticks * position // rules.qty
        wanted = {
            BUY: min((bid + ask) // 2 - rules.half_spread_ticks - shift, bid)
            if bid and position + rules.qty <= rules.most_lots
            else 0,
            SELL: max((bid + ask + 1) // 2 + rules.half_spread_ticks - shift, ask)
            if bid and position - rules.qty >= -rules.most_lots
            else 0,
        }
        for side, price in wanted.items():
            own = [(order_id, order) for order_id, order in orders.items() if order["side"] == side]
            if own and own[0][1]["rests"] and own[0][1]["price"] != price:
                own[0][1]["rests"] = False
                venue.cancel(own[0][0], now)
            elif not own and price > 0:
                venue.place(next_id, side, price, rules.qty, POST_ONLY, now)
                orders[next_id] = {"side": side, "price": price, "rests": False}
                next_id += 1
        now, steps = now + rules.step_ns, steps + 1
    assert now < FOREVER
    return (venue, fills), position, steps


def test_a_tape_of_nothing_or_out_of_order_is_one_error() -> None:
    with pytest.raises(BacktestError, match="no events"):
        compile_tape(tape())
    with pytest.raises(BacktestError, match="goes back in its ingest_ts at event 11"):
        compile_tape(tape(opened(), level(20, BUY, 90, 1), level(19, BUY, 90, 2)))


@pytest.mark.parametrize("legs", [np.zeros((0, 2), np.int64), np.zeros((2, 3), np.int64), np.array([[5, -1]])])
def test_legs_that_are_none_or_negative_are_one_error(legs) -> None:
    with pytest.raises(BacktestError, match="leg"):
        quote_along(compile_tape(synthetic_events(1.0)), COINM_BTC, VENUE, RULES, legs)


def test_a_tape_without_a_touch_is_one_error() -> None:
    with pytest.raises(BacktestError, match="two-sided"):
        quote_along(compile_tape(tape(trade(20, SELL, 100, 3))), COINM_BTC, VENUE, RULES)


def test_a_tape_on_disk_is_the_tape_in_memory(tmp_path) -> None:
    events = recorded_events()[:30_000]
    parts = np.array_split(events, [7_000, 7_001, 20_000])
    write_tape(parts, tmp_path / "tape")
    mapped, built = open_tape(tmp_path / "tape"), compile_tape(events)
    for ours, plain in zip(mapped.venue, built.venue, strict=True):
        assert np.array_equal(ours, plain)
    assert sorted(path.suffix for path in (tmp_path / "tape").iterdir()) == [".json"] + [".npy"] * 11
    for rules in (RULES,):
        done = [quote_along(one, COINM_BTC, VENUE, rules) for one in (mapped, built)]
        assert done[0].ledger.money.tolist() == done[1].ledger.money.tolist()
        assert done[0].ledger.fills > 0
    with pytest.raises(BacktestError, match="there already"):
        write_tape(parts, tmp_path / "tape")


def test_a_changed_byte_is_found_by_the_sha_of_its_column(tmp_path) -> None:
    folder = tmp_path / "tape"
    write_tape([tape(opened(), level(20, BUY, 90, 1))], folder)
    verify_tape(folder)
    for path in sorted(folder.glob("*.npy")):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(CorruptFile, match=f"{path.name} .* is not what was written: its sha256 differs"):
            verify_tape(folder)
        path.write_bytes(whole)


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b'{"qty.npy": {"bytes": 1}}'])
def test_a_tape_without_a_whole_manifest_is_one_error(tmp_path, said: bytes) -> None:
    write_tape([tape(opened(), level(20, BUY, 90, 1))], tmp_path / "tape")
    (tmp_path / "tape" / "manifest.json").write_bytes(said)
    for read in (open_tape, verify_tape):
        with pytest.raises(CorruptFile, match=r"manifest.json"):
            read(tmp_path / "tape")


def test_a_torn_tape_and_one_out_of_order_are_one_error(tmp_path) -> None:
    events = tape(opened(), level(20, BUY, 90, 1))
    write_tape([events], tmp_path / "tape")
    torn = tmp_path / "tape" / "qty.npy"
    torn.write_bytes(torn.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=r"qty.npy of the compiled tape .* is \d+ bytes: \d+ were written"):
        open_tape(tmp_path / "tape")
    torn.unlink()
    with pytest.raises(CorruptFile, match="not there"):
        open_tape(tmp_path / "tape")
    for wrong in ([], [events, events]):
        with pytest.raises(BacktestError):
            write_tape(wrong, tmp_path / "other")
    assert not (tmp_path / "other").exists()
