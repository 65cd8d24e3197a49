"""Binance's frames, by hand: what each becomes, how depth is joined to a snapshot, and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import ConfigError, MalformedMessage, OffGrid
from market.events import (
    BBO,
    BUY,
    FIRST,
    FUNDING,
    GAP,
    INDEX,
    LAST,
    LEVEL,
    LIQUIDATION,
    MARK,
    NO_VENUE_TIME,
    REPLAYED,
    SELL,
    SNAPSHOT,
)
from market.instrument import Instrument
from market.sources import decoder_for
from market.sources.binance import BUFFERED
from market.sources.decoder import Decoder
from tests.builders_binance import MS, NOW, decoded, depth, frame, joined, kinds, snapshot, trade
from tests.builders_market import COINM_BTC, SPOT_BTC, USDM_BTC


@pytest.fixture
def decoder() -> Decoder:
    return decoder_for(COINM_BTC)


def test_a_book_ticker_is_a_best_bid_and_a_best_offer_of_one_message(decoder):
    events = decoder.decode(frame("bookTicker", u=30, b="100.0", B="5", a="100.1", A="6", T=1_000, E=1_005), NOW)
    assert events[["kind", "side", "price", "qty", "flags"]].tolist() == [
        (BBO, BUY, 1_000, 5, FIRST),
        (BBO, SELL, 1_001, 6, LAST),
    ]
    assert set(events["update_id"].tolist()) == {30}


def test_a_spot_book_ticker_has_no_venue_time():
    data = frame("bookTicker", "btcusdt", u=30, b="100.00", B="5.5", a="100.01", A="6")
    events = decoder_for(SPOT_BTC).decode(data, NOW)
    assert (events["flags"] & NO_VENUE_TIME).all()
    assert events["exchange_ts"].tolist() == [0, 0]
    assert events["qty"].tolist() == [550_000_000, 600_000_000]


def test_a_mark_price_is_stamped_when_sent_and_carries_the_next_funding():
    data = {"E": 2_000, "p": "28155.1", "i": "28165.04857143", "r": "-0.00002760", "T": 9_000}
    events = decoder_for(USDM_BTC).decode(frame("markPrice@1s", "btcusdt", **data), NOW)
    assert events[["kind", "price", "qty", "flags"]].tolist() == [
        (MARK, 2_815_510_000_000, 0, FIRST),
        (INDEX, 2_816_504_857_143, 0, 0),
        (FUNDING, -27_600_000, 9_000 * MS, LAST),
    ]
    assert set(events["exchange_ts"].tolist()) == {2_000 * MS}


def test_a_delivery_contract_has_a_mark_and_no_funding(decoder):
    events = decoder.decode(frame("markPrice@1s", E=2_000, p="28155.1", r="", T=0), NOW)
    assert kinds(events) == [MARK]
    assert events["flags"].tolist() == [FIRST | LAST]


def test_a_liquidation_is_signed_by_the_forced_order(decoder):
    order = {"s": "BTCUSD_PERP", "S": "SELL", "q": "4", "p": "99.5", "ap": "99.57", "T": 1_000}
    [event] = decoder.decode(frame("forceOrder", E=1_005, o=order), NOW)
    assert (event["kind"], event["side"], event["price"], event["qty"]) == (LIQUIDATION, SELL, 995, 4)
    with pytest.raises(MalformedMessage, match="HOLD"):
        decoder.decode(frame("forceOrder", E=1_005, o=order | {"S": "HOLD"}), NOW)


def test_depth_goes_bids_first_between_its_flags(decoder):
    events = joined(decoder).decode(depth(21, 25, 20, [["99.9", "0"], ["100.0", "7"]], [["100.1", "2"]]), NOW)
    assert events[["kind", "side", "price", "qty", "flags"]].tolist() == [
        (LEVEL, BUY, 999, 0, FIRST),
        (LEVEL, BUY, 1_000, 7, 0),
        (LEVEL, SELL, 1_001, 2, LAST),
    ]
    assert set(events["exchange_ts"].tolist()) == {1_000 * MS}


def test_depth_of_nothing_moves_the_sequence_on(decoder):
    empty, after = decoded(joined(decoder), depth(21, 25, 20), depth(26, 30, 25, [["99.8", "1"]]))
    assert (empty.size, kinds(after)) == (0, [LEVEL])


def test_depth_before_the_snapshot_is_replayed_behind_it(decoder):
    old, straddling, later, book = decoded(
        decoder,
        depth(1, 5, 0, [["99.0", "1"]]),
        depth(6, 12, 5, [["99.1", "1"]]),
        depth(13, 15, 12, [["99.2", "1"]], ms=1_300),
        snapshot(10, T=1_100),
    )
    assert (old.size, straddling.size, later.size) == (0, 0, 0)
    assert kinds(book) == [SNAPSHOT, SNAPSHOT, LEVEL, LEVEL]
    assert book["flags"].tolist() == [FIRST, LAST, FIRST | LAST | REPLAYED, FIRST | LAST | REPLAYED]
    assert set(book["ingest_ts"].tolist()) == {NOW + 3}
    assert book["exchange_ts"].tolist() == [1_100 * MS, 1_100 * MS, 1_000 * MS, 1_300 * MS]
    assert decoder.counts["superseded"] == 1
    assert not decoder.waiting


def test_a_snapshot_that_the_buffer_does_not_reach_back_to_is_passed_over(decoder):
    _, too_old, fresh = decoded(decoder, depth(6, 12, 5, [["99.1", "1"]]), snapshot(4), snapshot(12))
    assert (too_old.size, decoder.counts["too_old"]) == (0, 1)
    assert kinds(fresh) == [SNAPSHOT, SNAPSHOT]


def test_a_break_is_one_gap_event_and_closes_the_book_until_a_snapshot(decoder):
    broken, held, book, after = decoded(
        joined(decoder),
        depth(26, 30, 25, [["99.1", "1"]]),
        depth(31, 35, 30, [["99.2", "1"]]),
        snapshot(32),
        depth(36, 40, 35, [["99.3", "1"]]),
    )
    assert kinds(broken) == [GAP]
    assert (broken["update_id"][0], broken["flags"][0]) == (20, FIRST | LAST)
    assert held.size == 0
    assert kinds(book) == [SNAPSHOT, SNAPSHOT, LEVEL]
    assert kinds(after) == [LEVEL]
    assert decoder.counts["gaps"] == 1


def test_a_break_inside_the_buffer_is_a_gap_behind_the_snapshot(decoder):
    _, _, book = decoded(decoder, depth(6, 12, 5), depth(15, 18, 14, [["99.2", "1"]]), snapshot(11))
    assert kinds(book) == [SNAPSHOT, SNAPSHOT, GAP]
    assert decoder.waiting


def test_depth_that_the_book_already_holds_is_passed_over(decoder):
    again = joined(decoder).decode(depth(9, 20, 8, [["99.9", "4"]]), NOW)
    assert (again.size, decoder.counts["superseded"], decoder.counts["gaps"]) == (0, 1, 0)


def test_a_snapshot_older_than_the_book_is_passed_over_and_a_newer_one_taken(decoder):
    older, newer = decoded(joined(decoder), snapshot(19), snapshot(25))
    assert (older.size, kinds(newer)) == (0, [SNAPSHOT, SNAPSHOT])


def test_spot_depth_continues_by_its_first_id():
    decoder = decoder_for(SPOT_BTC)
    spot = [depth(first, last, None) for first, last in ((5, 12), (13, 15), (17, 18))]
    frames = [data.replace(b"btcusd_perp", b"btcusdt") for data in spot]
    _, _, ok, gap = decoded(decoder, snapshot(10), *frames)
    assert (ok.size, kinds(gap)) == (0, [GAP])


def test_a_spot_snapshot_takes_the_stamp_of_the_newest_depth_that_it_holds():
    decoder = decoder_for(SPOT_BTC)
    held = [depth(1, 9, None, ms=1_000), depth(10, 12, None, [["99.00", "1"]], ms=1_100)]
    for data in held:
        decoder.decode(data.replace(b"btcusd_perp", b"btcusdt"), NOW)
    events = decoder.decode(snapshot(9), NOW)
    assert events["exchange_ts"].tolist() == [1_005 * MS, 1_005 * MS, 1_105 * MS]


def test_a_spot_snapshot_without_any_depth_has_no_venue_time():
    events = decoder_for(SPOT_BTC).decode(snapshot(9), NOW)
    assert (events["flags"] & NO_VENUE_TIME).all()


def test_an_older_book_ticker_is_counted_and_left_to_the_book(decoder):
    events = joined(decoder).decode(frame("bookTicker", u=19, b="100.0", B="5", a="100.1", A="6", T=1), NOW)
    assert (events.size, decoder.counts["stale"]) == (2, 1)


def test_stamps_in_microseconds_and_milliseconds_are_told_apart():
    spot = decoder_for(SPOT_BTC)
    in_us = {"t": 7, "p": "100.2", "q": "3", "m": True, "T": 1_723_161_600_123_456}
    [event] = spot.decode(frame("trade", "btcusdt", **in_us), NOW)
    assert event["exchange_ts"] == 1_723_161_600_123_456_000
    [event] = spot.decode(frame("trade", "btcusdt", **(in_us | {"t": 8, "T": 1_723_161_600_123})), NOW)
    assert event["exchange_ts"] == 1_723_161_600_123_000_000
    with pytest.raises(MalformedMessage, match="stamp 172316160012345 is neither"):
        spot.decode(frame("trade", "btcusdt", **(in_us | {"T": 172_316_160_012_345})), NOW)


def test_numbers_may_be_text_in_every_field(decoder):
    [event] = decoder.decode(trade(t="7", T="1000"), NOW)
    assert (event["update_id"], event["exchange_ts"]) == (7, 1_000 * MS)
    decoder.decode(snapshot(10, T=900), NOW)
    [level] = decoder.decode(depth("9", "20", "8", [["99.9", "1"]]), NOW)
    assert (level["kind"], level["update_id"]) == (LEVEL, 20)


def test_an_index_price_comes_under_the_name_of_the_pair(decoder):
    data = {"e": "indexPriceUpdate", "E": 1_000, "i": "BTCUSD", "p": "9636.57860000"}
    for stream in ("indexPrice", "indexPrice@1s"):
        [event] = decoder.decode(frame(stream, "btcusd", **data), NOW)
        assert (event["kind"], event["price"], event["exchange_ts"]) == (INDEX, 963_657_860_000, 1_000 * MS)
    with pytest.raises(MalformedMessage, match="ethusd"):
        decoder.decode(frame("indexPrice", "ethusd", **data), NOW)


def test_a_mark_price_comes_at_either_pace(decoder):
    for stream in ("markPrice", "markPrice@1s"):
        events = decoder.decode(frame(stream, E=1_000, p="100.5", i="100.4", r="0.0001", T=2_000), NOW)
        assert kinds(events) == [MARK, INDEX, FUNDING]
        assert set(events["ingest_ts"].tolist()) == {NOW}


def test_forced_orders_of_all_symbols_are_sorted_by_symbol(decoder):
    order = {"s": "BTCUSD_PERP", "S": "SELL", "q": "14", "p": "9910", "T": 1_000}
    [event] = decoder.decode(frame("arr", "!forceOrder", o=order), NOW)
    assert (event["kind"], event["side"], event["price"], event["qty"]) == (LIQUIDATION, SELL, 99_100, 14)
    assert decoder.decode(frame("arr", "!forceOrder", o=order | {"s": "ETHUSD_PERP"}), NOW).size == 0
    assert (decoder.counts["forceOrder"], decoder.counts["other_symbol"]) == (2, 1)


def test_other_streams_of_all_symbols_are_unknown(decoder):
    assert decoder.decode(b'{"stream":"!markPrice@arr","data":[]}', NOW).size == 0
    assert decoder.counts["unknown"] == 1


def test_unknown_streams_and_replies_are_counted(decoder):
    events = decoded(decoder, frame("kline_1m", x=1), b'{"result":null,"id":1}')
    assert [part.size for part in events] == [0, 0]
    assert (decoder.counts["unknown"], decoder.counts["messages"]) == (2, 2)


def test_another_symbol_is_refused(decoder):
    with pytest.raises(MalformedMessage, match="ethusd_perp@trade"):
        decoder.decode(frame("trade", "ethusd_perp"), NOW)


@pytest.mark.parametrize(
    "bad",
    [
        trade()[:60],
        b"",
        b"\xff\xfe",
        trade(p="12x"),
        trade(p=None),
        trade(p=[1]),
        frame("trade", T=1_000),
        frame("markPrice@1s", E=2_000, p="1", r="abc", T=1),
        frame("markPrice@1s", E=2_000, p="nan", r="0.1", T=1),
        depth(21, 25, 20, [["99.9"]]),
        depth(21, 25, 20, [["99.9", "abc"]]),
        depth(21, "many", 20),
        snapshot(10)[:-10],
    ],
)
def test_a_frame_that_is_torn_or_holds_garbage_is_malformed(decoder, bad):
    with pytest.raises(MalformedMessage):
        decoder.decode(bad, NOW)


@pytest.mark.parametrize(
    "bad",
    [
        trade(p="100.25"),
        trade(p="0.0"),
        trade(p="-100.2"),
        trade(p="nan"),
        trade(q="-3"),
        trade(q="2.5"),
        trade(q="inf"),
        depth(21, 25, 20, [["99.95", "1"]]),
        depth(21, 25, 20, [["0.0", "1"]]),
        depth(21, 25, 20, [["99.9", "-1"]]),
        depth(21, 25, 20, [["99.9", "nan"]]),
        snapshot(30, asks=[["100.1", "0.5"]]),
        frame("bookTicker", u=30, b="100.0", B="-5", a="100.1", A="6", T=1_000),
    ],
)
def test_a_number_off_its_grid_is_refused(decoder, bad):
    with pytest.raises(OffGrid):
        decoder.decode(bad, NOW)


def test_numbers_without_quotes_are_read_like_text(decoder):
    assert decoder.decode(trade(p=100.2, q=3), NOW)["price"].tolist() == [1_002]


def test_a_refused_depth_message_leaves_a_gap_and_not_a_hole(decoder):
    joined(decoder)
    before, tape = decoder.state(), bytearray(b"kept")
    with pytest.raises(OffGrid):
        decoder.append(depth(21, 25, 20, [["99.9", "-1"]]), NOW, tape)
    assert (tape, decoder.state()) == (b"kept", before)
    assert kinds(decoder.decode(depth(26, 30, 25, [["99.9", "1"]]), NOW)) == [GAP]


def test_the_buffer_is_bounded(decoder):
    for first in range(BUFFERED + 10):
        decoder.decode(depth(first + 1, first + 1, first), NOW)
    assert len(decoder.state()["buffer"]) == BUFFERED


@given(st.integers(0, 9))
def test_a_restored_decoder_goes_on_as_if_never_cut(cut):
    frames = [depth(1, 4, 0), depth(5, 9, 4), snapshot(7), trade(), depth(10, 12, 9, [["99.9", "1"]])]
    frames += [depth(20, 22, 19), depth(23, 30, 22), snapshot(25), depth(31, 33, 30, [["99.8", "2"]]), trade()]
    whole, first, second = (decoder_for(COINM_BTC) for _ in range(3))
    expected = np.concatenate([whole.decode(data, NOW) for data in frames])
    before = [first.decode(data, NOW) for data in frames[:cut]]
    second.restore(json.loads(json.dumps(first.state())))
    after = [second.decode(data, NOW) for data in frames[cut:]]
    assert np.concatenate([*before, *after]).tobytes() == expected.tobytes()
    assert second.state() == whole.state()


def test_an_unknown_venue_is_refused():
    nowhere = Instrument("x-y", "nowhere", "y", "spot", 0.1, 1.0, 1.0, "A", "B")
    with pytest.raises(ConfigError, match="nowhere"):
        decoder_for(nowhere)
