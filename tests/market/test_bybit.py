"""Bybit v5's frames, by hand and as recorded: what each becomes, and when its book is closed."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import MalformedMessage, OffGrid
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
    SELL,
    SNAPSHOT,
    TRADE,
)
from market.sources import decoder_for
from market.sources.decoder import Decoder
from tests.builders_sessions import BYBIT_BTC, MS, NOW, decoded, imported_session, kinds


def frame(topic: str, data: object, kind: str = "delta", ts: int = 2_000, **more: object) -> bytes:
    return json.dumps({"topic": topic, "type": kind, "ts": ts, "data": data} | more).encode()


def book(u: int, bids=(), asks=(), kind: str = "delta", depth: int = 200, cts: int = 1_990, **changed) -> bytes:
    data = {"s": "BTCUSDT", "b": list(bids), "a": list(asks), "u": u, "seq": 1_000 + u} | changed
    return frame(f"orderbook.{depth}.BTCUSDT", data, kind, cts=cts)


def snapshot(u: int, bids=(("100.0", "5"),), asks=(("100.1", "6"),), depth: int = 200) -> bytes:
    return book(u, bids, asks, "snapshot", depth)


def trade(**changed: object) -> dict[str, object]:
    uuid = "a9188a0a-82bc-50de-be60-03eedbe3cdd7"
    return {"T": 1_995, "s": "BTCUSDT", "S": "Sell", "v": "0.004", "p": "100.2", "i": uuid, "BT": False} | changed


def trades(*each: dict[str, object]) -> bytes:
    return frame("publicTrade.BTCUSDT", list(each), "snapshot")


@pytest.fixture
def decoder() -> Decoder:
    return decoder_for(BYBIT_BTC)


def test_a_trade_that_comes_twice_is_told_once(decoder):
    ids = [f"{number:08x}-0000-0000-0000-000000000000" for number in (1, 2, 3)]
    first, again = trades(trade(i=ids[0]), trade(i=ids[1])), trades(trade(i=ids[1]), trade(i=ids[2]), trade(i=ids[0]))
    assert [events.size for events in decoded(decoder, first, first, again)] == [2, 0, 1]
    assert (decoder.counts["trade"], decoder.counts["doubled"]) == (3, 4)
    tomorrow = decoder_for(BYBIT_BTC)
    tomorrow.restore(decoder.state())
    assert [events.size for events in decoded(tomorrow, again)] == [0]


def test_a_snapshot_is_stamped_by_the_matching_engine_and_numbered_across_depths(decoder):
    [events] = decoded(decoder, snapshot(7))
    assert events[["kind", "side", "price", "qty", "flags"]].tolist() == [
        (SNAPSHOT, BUY, 1_000, 5_000, FIRST),
        (SNAPSHOT, SELL, 1_001, 6_000, LAST),
    ]
    assert set(events["exchange_ts"].tolist()) == {1_990 * MS}
    assert set(events["update_id"].tolist()) == {1_007}
    assert not decoder.waiting


def test_a_book_without_an_engine_stamp_takes_the_message_s_and_none_is_flagged(decoder):
    sent = json.loads(snapshot(7))
    with_ts = {key: value for key, value in sent.items() if key != "cts"}
    with_none = {key: value for key, value in with_ts.items() if key != "ts"}
    first, second = decoded(decoder, json.dumps(with_ts).encode(), json.dumps(with_none).encode())
    assert first["exchange_ts"].tolist() == [2_000 * MS] * 2
    assert (second["flags"] & NO_VENUE_TIME).all()


def test_deltas_continue_by_one_and_a_break_closes_the_book_until_a_snapshot(decoder):
    _, ok, broken, held, whole, after = decoded(
        decoder,
        snapshot(7),
        book(8, [["99.9", "1"]], [["100.1", "0"]]),
        book(10, [["99.8", "1"]]),
        book(11, [["99.7", "1"]]),
        snapshot(20),
        book(21, [["99.6", "1"]]),
    )
    assert ok[["kind", "side", "price", "qty"]].tolist() == [(LEVEL, BUY, 999, 1_000), (LEVEL, SELL, 1_001, 0)]
    assert (kinds(broken), broken["update_id"].tolist()) == ([GAP], [1_008])
    assert (held.size, kinds(whole), kinds(after)) == (0, [SNAPSHOT, SNAPSHOT], [LEVEL])
    assert (decoder.counts["gaps"], decoder.counts["unjoined"]) == (1, 1)


def test_a_delta_that_the_book_already_holds_is_passed_over(decoder):
    _, again = decoded(decoder, snapshot(7), book(7, [["99.9", "1"]]))
    assert (again.size, decoder.counts["superseded"], decoder.counts["gaps"]) == (0, 1, 0)


def test_an_update_id_of_one_is_a_whole_book_whatever_it_calls_itself(decoder):
    _, anew, after = decoded(decoder, snapshot(7), book(1, [["99.0", "1"]], [["99.1", "1"]]), book(2, [["98.9", "1"]]))
    assert (kinds(anew), kinds(after)) == ([GAP, SNAPSHOT, SNAPSHOT], [LEVEL])


def test_a_whole_book_that_does_not_continue_an_open_one_stands_behind_a_gap(decoder):
    _, _, anew, after = decoded(
        decoder, snapshot(10), book(11, [["99.9", "1"]]), snapshot(5_000), book(5_001, [["99.8", "1"]])
    )
    assert (kinds(anew), kinds(after)) == ([GAP, SNAPSHOT, SNAPSHOT], [LEVEL])
    assert anew["update_id"].tolist() == [1_011, 6_000, 6_000]
    assert anew["exchange_ts"].tolist() == [1_990 * MS] * 3
    assert anew["ingest_ts"].tolist() == [NOW + 2] * 3
    assert anew["flags"].tolist() == [FIRST | LAST, FIRST, LAST]
    assert (decoder.counts["gaps"], decoder.counts["snapshot"]) == (1, 2)


@pytest.mark.parametrize("u", [7, 8])
def test_a_whole_book_that_is_sent_again_or_comes_next_leaves_no_gap(decoder, u):
    _, again = decoded(decoder, snapshot(7), snapshot(u))
    assert (kinds(again), decoder.counts["gaps"]) == ([SNAPSHOT, SNAPSHOT], 0)


@pytest.mark.parametrize("u", [8, 5_000])
def test_a_whole_book_of_nothing_closes_it(decoder, u):
    _, empty = decoded(decoder, snapshot(7), snapshot(u, [], []))
    assert (kinds(empty), decoder.waiting, decoder.counts["gaps"]) == ([GAP], True, 1)


def test_depth_one_moves_the_touch_and_is_no_book(decoder):
    [touch] = decoded(decoder, snapshot(3, [["100.0", "5"]], [["100.1", "0"]], depth=1))
    assert touch[["kind", "side", "price", "flags"]].tolist() == [(BBO, BUY, 1_000, FIRST | LAST)]
    assert decoder.waiting


def test_a_second_depth_of_the_same_symbol_is_left_alone(decoder):
    _, other = decoded(decoder, snapshot(7), snapshot(90, depth=50))
    assert (other.size, decoder.counts["unknown"]) == (0, 1)


def test_trades_of_one_message_are_signed_by_their_takers_and_known_by_their_ids(decoder):
    spot_id = trade(S="Buy", i="2290000000679474312")
    [events] = decoded(decoder, trades(trade(), spot_id, trade(BT=True)))
    assert events[["kind", "side", "price", "qty", "flags"]].tolist() == [
        (TRADE, SELL, 1_002, 4, FIRST),
        (TRADE, BUY, 1_002, 4, LAST),
    ]
    assert events["update_id"].tolist() == [0xA9188A0A82BC50DE >> 1, 2_290_000_000_679_474_312]
    assert events["exchange_ts"].tolist() == [1_995 * MS] * 2
    assert (decoder.counts["trade"], decoder.counts["off_book"]) == (2, 1)


def test_a_ticker_tells_only_what_changed_and_funding_once_both_parts_are_known(decoder):
    whole = {"symbol": "BTCUSDT", "markPrice": "65117.44", "indexPrice": "65137.76", "fundingRate": "-0.000075"}
    first, second, third, fourth = decoded(
        decoder,
        frame("tickers.BTCUSDT", whole, "snapshot"),
        frame("tickers.BTCUSDT", {"symbol": "BTCUSDT", "nextFundingTime": "9000"}),
        frame("tickers.BTCUSDT", {"symbol": "BTCUSDT", "fundingRate": "-0.000075", "bid1Price": "1"}),
        frame("tickers.BTCUSDT", {"symbol": "BTCUSDT", "markPrice": "65117.43"}),
    )
    assert first[["kind", "price", "flags"]].tolist() == [
        (MARK, 6_511_744_000_000, FIRST),
        (INDEX, 6_513_776_000_000, LAST),
    ]
    assert second[["kind", "price", "qty", "flags"]].tolist() == [(FUNDING, -75_000_000, 9_000 * MS, FIRST | LAST)]
    assert (third.size, kinds(fourth)) == (0, [MARK])


@pytest.mark.parametrize(
    "data",
    [
        frame("allLiquidation.BTCUSDT", [{"T": 1_995, "s": "BTCUSDT", "S": "Buy", "v": "0.02", "p": "99.5"}]),
        frame(
            "liquidation.BTCUSDT",
            {"updatedTime": 1_995, "symbol": "BTCUSDT", "side": "Buy", "size": "0.02", "price": "99.5"},
        ),
    ],
)
def test_a_long_position_is_liquidated_by_selling(decoder, data):
    [events] = decoded(decoder, data)
    assert events[["kind", "side", "price", "qty", "exchange_ts"]].tolist() == [
        (LIQUIDATION, SELL, 995, 20, 1_995 * MS)
    ]


def test_other_symbols_topics_and_replies_are_counted(decoder):
    other = frame("tickers.ETHUSDT", {"symbol": "ETHUSDT", "markPrice": "1"})
    events = decoded(decoder, other, frame("kline.1.BTCUSDT", []), b'{"success":true,"op":"subscribe"}')
    assert [part.size for part in events] == [0, 0, 0]
    assert (decoder.counts["other"], decoder.counts["unknown"], decoder.counts["messages"]) == (1, 2, 3)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff\xfe",
        snapshot(7)[:90],
        snapshot(7, [["100.0"]]),
        snapshot(7, [["100.0", "many"]]),
        book(-1),
        trades(trade(S="Hold")),
        trades(trade(i="no-uuid-at-all-is-here")),
        trades(trade(i="-5")),
        trades(trade(i="9" * 19)),
        trades(trade(p=None)),
        frame("tickers.BTCUSDT", {"symbol": "BTCUSDT", "markPrice": "x"}),
        frame("tickers.BTCUSDT", {"symbol": "BTCUSDT", "markPrice": "-1"}),
        frame("tickers.BTCUSDT", {"symbol": "BTCUSDT", "markPrice": "inf"}),
        frame("tickers.BTCUSDT", {"symbol": "BTCUSDT", "fundingRate": "0.1", "nextFundingTime": "soon"}),
        frame("tickers.BTCUSDT", {"symbol": "BTCUSDT", "fundingRate": "0.1", "nextFundingTime": "9" * 13}),
    ],
)
def test_a_frame_that_is_torn_or_holds_garbage_is_malformed(decoder, bad):
    with pytest.raises(MalformedMessage):
        decoder.decode(bad, NOW)


@pytest.mark.parametrize(
    "bad",
    [
        snapshot(7, [["100.05", "1"]]),
        snapshot(7, [["100.0", "-1"]]),
        snapshot(7, [["nan", "1"]]),
        trades(trade(), trade(p="100.25")),
        trades(trade(v="0.0005")),
        trades(trade(p="0")),
        snapshot(7, [["100.05", "1"]], depth=1),
    ],
)
def test_a_number_off_its_grid_is_refused(decoder, bad):
    with pytest.raises(OffGrid):
        decoder.decode(bad, NOW)


def test_a_refused_delta_leaves_a_gap_and_not_a_hole(decoder):
    decoded(decoder, snapshot(7))
    before = decoder.state()
    with pytest.raises(OffGrid):
        decoder.decode(book(8, [["99.9", "-1"]]), NOW)
    assert decoder.state() == before
    assert kinds(decoder.decode(book(9, [["99.9", "1"]]), NOW)) == [GAP]


@given(st.integers(0, 8))
def test_a_restored_decoder_goes_on_as_if_never_cut(cut):
    told = {"symbol": "BTCUSDT", "markPrice": "1", "nextFundingTime": "9000"}
    rate = {"symbol": "BTCUSDT", "fundingRate": "0.0001"}
    frames = [book(5), snapshot(7), frame("tickers.BTCUSDT", told), book(8, [["99.9", "1"]]), book(10), book(11)]
    frames += [frame("tickers.BTCUSDT", rate), snapshot(20), book(21, [["99.9", "2"]])]
    whole, first, second = (decoder_for(BYBIT_BTC) for _ in range(3))
    expected = np.concatenate([whole.decode(data, NOW) for data in frames])
    before = [first.decode(data, NOW) for data in frames[:cut]]
    second.restore(json.loads(json.dumps(first.state())))
    after = [second.decode(data, NOW) for data in frames[cut:]]
    assert np.concatenate([*before, *after]).tobytes() == expected.tobytes()
    assert second.state() == whole.state()


@pytest.mark.parametrize(
    ("symbol", "depth", "traded"),
    [
        ("bybit-linear-btcusdt", 413, 56),
        ("bybit-linear-ethusdt", 420, 23),
        ("bybit-linear-solusdt", 382, 165),
        ("bybit-linear-dogeusdt", 379, 83),
        ("bybit-spot-btcusdt", 299, 11),
        ("bybit-spot-ethusdt", 249, 9),
    ],
)
def test_a_recorded_session_is_read_without_a_break(symbol, depth, traded):
    events, account = imported_session(symbol)
    counts = account.counts
    assert (counts["snapshot"], counts["depth"], counts["trade"]) == (1, depth, traded)
    assert (account.bad, counts["gaps"], counts["unjoined"], counts["waiting"]) == (0, 0, 0, 0)
    assert account.lines == counts["messages"]
    assert len(set(events["update_id"][events["kind"] == TRADE].tolist())) == traded


def test_a_recorded_contract_tells_mark_index_and_funding_and_spot_none():
    contract, _ = imported_session("bybit-linear-btcusdt")
    spot, _ = imported_session("bybit-spot-btcusdt")
    funding = contract[contract["kind"] == FUNDING]
    assert (contract["kind"] == MARK).sum() == 42
    assert (contract["kind"] == INDEX).sum() == 28
    assert funding["qty"].tolist() == [1_786_320_000_000 * MS]
    assert not np.isin(spot["kind"], [MARK, INDEX, FUNDING]).any()
