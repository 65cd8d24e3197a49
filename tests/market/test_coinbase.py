"""Coinbase's frames, by hand and as recorded: one count for all messages of a connection, makers' sides."""

import json

import numpy as np
import pytest

from market.book import BEST_ASK, BEST_BID, apply_events, new_book
from market.errors import MalformedMessage, OffGrid
from market.events import BUY, FIRST, GAP, LAST, LEVEL, NO_VENUE_TIME, SELL, SNAPSHOT, TRADE
from market.sources import decoder_for
from market.sources.decoder import Decoder
from tests.builders_sessions import COINBASE_BTC, NOW, decoded, frames_of, imported_session, kinds

NINE_O_CLOCK = 1_786_309_200_000_000_000  # 2026-08-09T21:00:00Z


def frame(number: int | None, channel: str, *events: object) -> bytes:
    body = {"channel": channel, "timestamp": "2026-08-09T21:00:01.123456789Z", "events": list(events)}
    return json.dumps(body | ({} if number is None else {"sequence_num": number})).encode()


def level(side: str, price: str, qty: str, time: str = "2026-08-09T21:00:00.17Z") -> dict[str, str]:
    return {"side": side, "event_time": time, "price_level": price, "new_quantity": qty}


def book(number: int, *levels: dict[str, str], kind: str = "update", product: str = "BTC-USD") -> bytes:
    return frame(number, "l2_data", {"type": kind, "product_id": product, "updates": list(levels)})


def snapshot(number: int) -> bytes:
    return book(number, level("bid", "100.00", "0.5"), level("offer", "100.01", "0.6"), kind="snapshot")


def trades(number: int, *each: dict[str, str], kind: str = "update") -> bytes:
    return frame(number, "market_trades", {"type": kind, "trades": list(each)})


def trade(number: int, side: str = "SELL", **changed: str) -> dict[str, str]:
    told = {"product_id": "BTC-USD", "trade_id": str(number), "price": "100.01", "size": "0.002", "side": side}
    return told | {"time": "2026-08-09T21:00:00.123456Z"} | changed


@pytest.fixture
def decoder() -> Decoder:
    return decoder_for(COINBASE_BTC)


def test_a_snapshot_opens_the_book_and_bears_the_engine_s_time(decoder):
    [events] = decoded(decoder, snapshot(3))
    assert events[["kind", "side", "price", "qty", "flags", "update_id"]].tolist() == [
        (SNAPSHOT, BUY, 10_000, 50_000_000, FIRST, 3),
        (SNAPSHOT, SELL, 10_001, 60_000_000, LAST, 3),
    ]
    assert set(events["exchange_ts"].tolist()) == {NINE_O_CLOCK + 170_000_000}
    assert not decoder.waiting


def test_messages_of_other_products_and_channels_belong_to_the_count(decoder):
    parts = decoded(
        decoder,
        snapshot(3),
        book(4, level("bid", "5.00", "1"), product="ETH-USD"),
        frame(5, "heartbeats", {"heartbeat_counter": 7}),
        frame(6, "candles"),
        book(7, level("offer", "100.01", "0"), level("bid", "99.99", "1")),
    )
    assert [part.size for part in parts] == [2, 0, 0, 0, 2]
    assert parts[-1][["kind", "side", "qty"]].tolist() == [(LEVEL, BUY, 100_000_000), (LEVEL, SELL, 0)]
    assert [decoder.counts[name] for name in ("other", "heartbeat", "unknown", "gaps")] == [1, 1, 1, 0]


def test_a_number_left_out_closes_the_book_until_a_snapshot(decoder):
    _, broken, held, whole, after = decoded(
        decoder,
        snapshot(3),
        book(5, level("bid", "99.99", "1")),
        book(6, level("bid", "99.98", "1")),
        snapshot(7),
        book(8, level("bid", "99.97", "1")),
    )
    assert broken[["kind", "update_id", "flags"]].tolist() == [(GAP, 3, FIRST | LAST | NO_VENUE_TIME)]
    assert (held.size, kinds(whole), kinds(after)) == (0, [SNAPSHOT, SNAPSHOT], [LEVEL])
    assert (decoder.counts["gaps"], decoder.counts["unjoined"]) == (1, 2)


def test_trades_behind_a_gap_are_still_told(decoder):
    _, parts = decoded(decoder, snapshot(3), trades(9, trade(7)))
    assert (kinds(parts), decoder.waiting) == ([GAP, TRADE], True)


def test_a_new_connection_is_a_gap_and_its_snapshot_opens_the_book(decoder):
    _, first, whole = decoded(decoder, snapshot(30), frame(0, "subscriptions"), snapshot(1))
    assert (kinds(first), kinds(whole), decoder.waiting) == ([GAP], [SNAPSHOT, SNAPSHOT], False)


def test_a_message_that_came_before_is_passed_over(decoder):
    _, again = decoded(decoder, snapshot(3), snapshot(3))
    assert (again.size, decoder.counts["superseded"]) == (0, 1)


def test_trades_come_oldest_first_signed_against_their_makers(decoder):
    [events] = decoded(decoder, trades(3, trade(8, "BUY"), trade(6, product_id="ETH-USD"), trade(7)))
    assert events[["kind", "side", "price", "qty", "flags", "update_id"]].tolist() == [
        (TRADE, BUY, 10_001, 200_000, FIRST, 7),
        (TRADE, SELL, 10_001, 200_000, LAST, 8),
    ]
    assert events["exchange_ts"][0] == NINE_O_CLOCK + 123_456_000


def test_trades_from_before_the_subscription_are_left_off_the_tape(decoder):
    [none] = decoded(decoder, trades(3, trade(7), trade(6), kind="snapshot"))
    assert (none.size, decoder.counts["history"]) == (0, 2)


def test_an_error_of_the_venue_is_counted_and_belongs_to_no_count(decoder):
    _, told, after = decoded(decoder, snapshot(3), b'{"type":"error","message":"no such"}', book(4))
    assert (told.size, after.size, decoder.counts["unknown"], decoder.counts["gaps"]) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff\xfe",
        snapshot(3)[:150],
        frame(-1, "heartbeats"),
        frame(3, "l2_data", {"type": "change", "product_id": "BTC-USD", "updates": []}),
        book(3, level("ask", "100.00", "1"), kind="snapshot"),
        book(3, level("bid", "many", "1"), kind="snapshot"),
        book(3, level("bid", "100.00", "1", "yesterday"), kind="snapshot"),
        book(3, level("bid", "100.00", "1", "2026-08-09T21:00:00.1234567891Z"), kind="snapshot"),
        book(3, level("bid", "100.00", "1", "2026-08-09T21:00:00.1x"), kind="snapshot"),
        book(3, level("bid", "100.00", "1", "9999-08-09T21:00:00Z"), kind="snapshot"),
        trades(3, trade(7, "HOLD")),
        trades(3, trade(-7)),
    ],
)
def test_a_frame_that_is_torn_or_holds_garbage_is_malformed(decoder, bad):
    with pytest.raises(MalformedMessage):
        decoder.decode(bad, NOW)


@pytest.mark.parametrize(
    "bad",
    [
        book(3, level("bid", "100.005", "1"), kind="snapshot"),
        book(3, level("bid", "100.00", "-1"), kind="snapshot"),
        trades(3, trade(7, price="100.001")),
        trades(3, trade(7, size="-1")),
    ],
)
def test_a_number_off_its_grid_is_refused(decoder, bad):
    with pytest.raises(OffGrid):
        decoder.decode(bad, NOW)


def test_a_refused_message_leaves_a_gap_and_not_a_hole(decoder):
    decoded(decoder, snapshot(3))
    before = decoder.state()
    with pytest.raises(OffGrid):
        decoder.decode(book(4, level("bid", "100.00", "-1")), NOW)
    assert decoder.state() == before
    assert kinds(decoder.decode(book(5, level("bid", "100.00", "2")), NOW)) == [GAP]


@pytest.mark.parametrize("cut", [0, 14, 500])
def test_a_restored_decoder_goes_on_as_if_never_cut(cut):
    frames = frames_of("COINBASE")[:700]
    whole, first, second = (decoder_for(COINBASE_BTC) for _ in range(3))
    expected = np.concatenate([whole.decode(data, NOW) for data in frames])
    before = [first.decode(data, NOW) for data in frames[:cut]]
    second.restore(json.loads(json.dumps(first.state())))
    after = [second.decode(data, NOW) for data in frames[cut:]]
    assert np.concatenate([*before, *after]).tobytes() == expected.tobytes()
    assert second.state() == whole.state()


@pytest.mark.parametrize(("symbol", "depth", "traded"), [("btc_usd", 399, 47), ("eth_usd", 374, 32)])
def test_a_recorded_session_is_read_without_a_break(symbol, depth, traded):
    _, account = imported_session(f"coinbase-spot-{symbol}")
    counts = account.counts
    assert (counts["snapshot"], counts["depth"], counts["trade"], counts["history"]) == (1, depth, traded, 100)
    assert (account.bad, counts["gaps"], counts["unjoined"], counts["waiting"]) == (0, 0, 0, 0)


def test_recorded_takers_buy_above_the_mid_and_sell_below():
    """The venue tells the maker's side: read as the taker's, nearly every print would lie across the mid."""
    events, _ = imported_session("coinbase-spot-btc_usd")
    book, seen, right = new_book(), 0, 0
    for place in np.flatnonzero(events["kind"] == TRADE).tolist():
        apply_events(book, events[seen:place])
        seen, trade = place, events[place]
        twice_mid = book[2][BEST_BID] + book[2][BEST_ASK]
        right += bool((2 * trade["price"] - twice_mid) * int(trade["side"]) > 0)
    assert right >= 44  # of 47: prints come a moment after the levels that they moved
