"""OKX's frames, by hand and as recorded: what each becomes, its sequence, and the checksums that the venue sent."""

import json
import zlib

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
from market.sources.checksum import TextBook
from market.sources.decoder import Decoder
from tests.builders_sessions import MS, NOW, OKX_BTC, OKX_UNI, decoded, frames_of, imported_session, kinds


def frame(channel: str, *data: object, name: str | None = "UNI-USD-SWAP", **more: object) -> bytes:
    argument = {"channel": channel} | ({"instId": name} if name else {"instType": "SWAP"})
    return json.dumps({"arg": argument, "data": list(data)} | more).encode()


def levels(pairs) -> list[list[str]]:
    return [[price, qty, "0", "1"] for price, qty in pairs]


def book(previous: int | None, seq: int | None, bids=(), asks=(), action="update", channel="books", **more) -> bytes:
    ids = {} if seq is None else {"seqId": seq, "prevSeqId": previous}
    data = {"bids": levels(bids), "asks": levels(asks), "ts": "1990"} | ids | more
    return frame(channel, data, action=action)


def snapshot(seq: int | None, bids=(("5.134", "96"),), asks=(("5.142", "25"),), **more) -> bytes:
    return book(-1, seq, bids, asks, "snapshot", **more)


def signed(text: str) -> int:
    unsigned = zlib.crc32(text.encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned


@pytest.fixture
def decoder() -> Decoder:
    return decoder_for(OKX_UNI)


def test_a_snapshot_opens_the_book(decoder):
    [events] = decoded(decoder, snapshot(7))
    assert events[["kind", "side", "price", "qty", "flags", "update_id"]].tolist() == [
        (SNAPSHOT, BUY, 5_134, 96, FIRST, 7),
        (SNAPSHOT, SELL, 5_142, 25, LAST, 7),
    ]
    assert set(events["exchange_ts"].tolist()) == {1_990 * MS}
    assert not decoder.waiting


def test_updates_chain_by_their_ids_and_a_break_closes_the_book_until_a_snapshot(decoder):
    _, ok, nothing, broken, held, whole, after = decoded(
        decoder,
        snapshot(7),
        book(7, 20, [["5.133", "1"]], [["5.142", "0"]]),
        book(20, 20),
        book(21, 25, [["5.132", "1"]]),
        book(25, 26, [["5.131", "1"]]),
        snapshot(30),
        book(30, 31, [["5.130", "1"]]),
    )
    assert ok[["kind", "side", "price", "qty"]].tolist() == [(LEVEL, BUY, 5_133, 1), (LEVEL, SELL, 5_142, 0)]
    assert (nothing.size, kinds(broken), held.size, kinds(whole), kinds(after)) == (
        0,
        [GAP],
        0,
        [SNAPSHOT] * 2,
        [LEVEL],
    )
    assert (decoder.counts["gaps"], decoder.counts["unjoined"]) == (1, 1)


def test_an_update_that_the_book_already_holds_is_passed_over(decoder):
    _, _, again = decoded(decoder, snapshot(7), book(7, 20, [["5.133", "1"]]), book(7, 20, [["5.133", "1"]]))
    assert (again.size, decoder.counts["superseded"], decoder.waiting) == (0, 1, False)


def test_ids_that_begin_anew_in_maintenance_never_fall_on_the_tape(decoder):
    _, reset, after, touch = decoded(
        decoder,
        snapshot(700),
        book(700, 3, [["5.133", "1"]]),
        book(3, 5, [["5.132", "1"]]),
        book(None, None, [["5.133", "2"]], channel="bbo-tbt", seqId=6),
    )
    assert [int(part["update_id"][0]) for part in (reset, after, touch)] == [701, 703, 704]
    assert (kinds(touch), decoder.counts["resets"], decoder.counts["gaps"]) == ([BBO], 1, 0)


def test_a_checksum_that_does_not_hold_is_a_gap(decoder):
    good = snapshot(None, checksum=signed("5.134:96:5.142:25"))
    _, ok, bad, held = decoded(
        decoder,
        good,
        book(None, None, [["5.133", "1"]], checksum=signed("5.134:96:5.142:25:5.133:1")),
        book(None, None, [["5.132", "1"]], checksum=signed("5.134:96:5.142:25:5.132:1")),
        book(None, None, [["5.131", "1"]], checksum=1),
    )
    assert (kinds(ok), kinds(bad), held.size) == ([LEVEL], [GAP], 0)
    assert (decoder.counts["checksums"], decoder.waiting) == (1, True)
    assert kinds(decoder.decode(good, NOW)) == [SNAPSHOT, SNAPSHOT]


def test_a_checksum_of_zero_is_none(decoder):
    opened, ok = decoded(decoder, snapshot(7, checksum=0), book(7, 8, [["5.133", "1"]], checksum=0))
    assert (kinds(opened), kinds(ok)) == ([SNAPSHOT, SNAPSHOT], [LEVEL])


def test_the_checksum_covers_the_best_25_levels_as_they_were_written():
    texts = TextBook()
    texts.update([(f"{100 - i}.0", f"{i}.5") for i in range(30)], [("101.00", "7"), ("102", "0.0")])
    best = [f"{100 - i}.0:{i}.5" for i in range(1, 25)]
    assert texts.checksum() == signed(":".join(["100.0:0.5", "101.00:7", *best]))
    texts.update([("100", "0"), ("99.00", "8")], [])
    assert texts.state()["bids"][0] == "99.00:8"


def test_another_book_channel_of_the_same_instrument_is_left_alone(decoder):
    _, other = decoded(decoder, snapshot(7), book(-1, 90, [["5.1", "1"]], action="snapshot", channel="books50-l2-tbt"))
    assert (other.size, decoder.counts["unknown"]) == (0, 1)


def test_a_whole_book_where_one_was_open_stands_behind_a_gap(decoder):
    _, _, anew, after = decoded(
        decoder, snapshot(7), book(7, 12, [["5.133", "1"]]), snapshot(5_000), book(5_000, 5_001, [["5.132", "1"]])
    )
    assert (kinds(anew), kinds(after)) == ([GAP, SNAPSHOT, SNAPSHOT], [LEVEL])
    assert anew["update_id"].tolist() == [12, 5_000, 5_000]
    assert anew["exchange_ts"].tolist() == [1_990 * MS] * 3
    assert anew["ingest_ts"].tolist() == [NOW + 2] * 3
    assert anew["flags"].tolist() == [FIRST | LAST, FIRST, LAST]
    assert (decoder.counts["gaps"], decoder.counts["snapshot"]) == (1, 2)


def test_a_whole_book_of_nothing_closes_it(decoder):
    _, empty = decoded(decoder, snapshot(7), snapshot(8, [], []))
    assert (kinds(empty), decoder.waiting, decoder.counts["gaps"]) == ([GAP], True, 1)


def test_trades_are_signed_by_their_takers(decoder):
    sold = {"instId": "UNI-USD-SWAP", "tradeId": "130639474", "px": "5.123", "sz": "100", "side": "sell", "ts": "1995"}
    [events] = decoded(decoder, frame("trades", sold, sold | {"side": "buy", "tradeId": "130639475"}))
    assert events[["kind", "side", "price", "qty", "flags", "update_id"]].tolist() == [
        (TRADE, SELL, 5_123, 100, FIRST, 130_639_474),
        (TRADE, BUY, 5_123, 100, LAST, 130_639_475),
    ]


def test_mark_index_and_funding_come_by_channels_of_their_own(decoder):
    funding = {"instId": "UNI-USD-SWAP", "fundingRate": "0.0001875", "fundingTime": "9000", "nextFundingTime": "18000"}
    mark, index, rate, stamped = decoded(
        decoder,
        frame("mark-price", {"instId": "UNI-USD-SWAP", "markPx": "5.1305", "ts": "1995"}),
        frame("index-tickers", {"instId": "UNI-USD", "idxPx": "5.1291", "ts": "1996"}, name="UNI-USD"),
        frame("funding-rate", funding),
        frame("funding-rate", funding | {"ts": "1997"}),
    )
    assert mark[["kind", "price", "flags"]].tolist() == [(MARK, 513_050_000, FIRST | LAST)]
    assert index[["kind", "price", "exchange_ts"]].tolist() == [(INDEX, 512_910_000, 1_996 * MS)]
    assert rate[["kind", "price", "qty"]].tolist() == [(FUNDING, 187_500_000, 9_000 * MS)]
    assert rate["flags"].tolist() == [FIRST | LAST | NO_VENUE_TIME]
    assert stamped["exchange_ts"].tolist() == [1_997 * MS]


def test_liquidations_of_other_instruments_come_on_the_same_channel(decoder):
    one = {"side": "sell", "posSide": "long", "bkPx": "5.101", "sz": "3", "ts": "1995"}
    ours, others = ({"instId": name, "details": [one]} for name in ("UNI-USD-SWAP", "BTC-USD-SWAP"))
    events, none = decoded(
        decoder, frame("liquidation-orders", others, ours, name=None), frame("liquidation-orders", others, name=None)
    )
    assert events[["kind", "side", "price", "qty"]].tolist() == [(LIQUIDATION, SELL, 5_101, 3)]
    assert (none.size, decoder.counts["other"]) == (0, 1)


def test_other_instruments_channels_and_replies_are_counted(decoder):
    reply = b'{"event":"subscribe","arg":{"channel":"books","instId":"UNI-USD-SWAP"}}'
    events = decoded(decoder, frame("trades", name="BTC-USDT"), frame("tickers"), reply)
    assert [part.size for part in events] == [0, 0, 0]
    assert (decoder.counts["other"], decoder.counts["unknown"]) == (1, 2)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff\xfe",
        snapshot(7)[:90],
        snapshot(7).replace(b'"96", "0", "1"', b'"96"'),
        snapshot(7, [["5.134", "many"]]),
        snapshot(7, [[5.134, "1"]]),
        snapshot(-7),
        book(7, 8, action="change"),
        frame("books", action="snapshot"),
        frame("trades", {"instId": "UNI-USD-SWAP", "tradeId": "1", "px": "5.123", "sz": "1", "side": "up", "ts": "1"}),
        frame("mark-price", {"instId": "UNI-USD-SWAP", "markPx": "0", "ts": "1"}),
        frame("funding-rate", {"instId": "UNI-USD-SWAP", "fundingRate": "", "fundingTime": "9000"}),
    ],
)
def test_a_frame_that_is_torn_or_holds_garbage_is_malformed(decoder, bad):
    with pytest.raises(MalformedMessage):
        decoder.decode(bad, NOW)


@pytest.mark.parametrize(
    "bad",
    [
        snapshot(7, [["5.1345", "1"]]),
        snapshot(7, [["5.134", "-1"]]),
        snapshot(7, [["nan", "1"]]),
        frame(
            "trades", {"instId": "UNI-USD-SWAP", "tradeId": "1", "px": "5.123", "sz": ".5", "side": "buy", "ts": "1"}
        ),
    ],
)
def test_a_number_off_its_grid_is_refused(decoder, bad):
    with pytest.raises((OffGrid, MalformedMessage)):
        decoder.decode(bad, NOW)


def test_a_refused_update_leaves_a_gap_and_not_a_hole(decoder):
    decoded(decoder, snapshot(7))
    before = decoder.state()
    with pytest.raises(OffGrid):
        decoder.decode(book(7, 8, [["5.133", "-1"]]), NOW)
    assert decoder.state() == before
    assert kinds(decoder.decode(book(8, 9, [["5.133", "1"]]), NOW)) == [GAP]


@pytest.mark.parametrize("cut", [0, 40, 150, 300, 410])
def test_a_restored_decoder_goes_on_as_if_never_cut(cut):
    frames = frames_of("OKX")
    whole, first, second = (decoder_for(OKX_BTC) for _ in range(3))
    expected = np.concatenate([whole.decode(data, NOW) for data in frames])
    before = [first.decode(data, NOW) for data in frames[:cut]]
    second.restore(json.loads(json.dumps(first.state())))
    after = [second.decode(data, NOW) for data in frames[cut:]]
    assert np.concatenate([*before, *after]).tobytes() == expected.tobytes()
    assert second.state() == whole.state()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), max_size=60))
def test_a_text_book_keeps_its_order_whatever_comes(changes):
    texts, plain = TextBook(), dict[int, int]()
    for price, qty in changes:
        texts.update([(str(price), str(qty))], [])
        plain.pop(price, None)
        plain |= {price: qty} if qty else {}
    assert texts.state()["bids"] == [f"{price}:{plain[price]}" for price in sorted(plain, reverse=True)]


@pytest.mark.parametrize(
    ("symbol", "depth", "traded"),
    [("okx-spot-btc_usdt", 97, 69), ("okx-swap-uni_usd_swap", 92, 1), ("okx-futures-btc_usd_220527", 98, 4)],
)
def test_every_checksum_of_a_recorded_session_holds(symbol, depth, traded):
    _, account = imported_session(symbol)
    counts = account.counts
    assert (counts["snapshot"], counts["depth"], counts["trade"]) == (1, depth, traded)
    assert (account.bad, counts["gaps"], counts["checksums"], counts["waiting"]) == (0, 0, 0, 0)


def test_a_recorded_update_that_is_left_out_breaks_the_next_checksum():
    frames = [data for data in frames_of("OKX") if b'"books","instId":"BTC-USDT"' in data]
    decoder = decoder_for(OKX_BTC)
    told = [kinds(decoder.decode(data, NOW)) for data in frames[:10] + frames[11:20]]
    assert [kinds for kinds in told if GAP in kinds] == [[GAP]]
    assert (decoder.waiting, decoder.counts["checksums"]) == (True, 1)
