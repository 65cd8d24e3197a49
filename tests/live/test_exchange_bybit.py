"""The replay venue's Bybit: recorded books and trades come out again in the words that they were recorded in."""

import json
from typing import Any

import pytest

from live.exchange_book import VenueBook
from live.exchange_bybit import BybitVoice
from live.exchange_rest import Rest
from live.exchange_tape import TapeFrame
from live.exchange_voice import voice_of
from market.errors import ConfigError
from market.events import TRADE
from market.exchange_info import instrument_from
from market.instrument import Instrument
from market.sources import decoder_for
from tests.builders_live import bybit_of
from tests.builders_market import COINM_BTC, USDM_BTC
from tests.builders_sessions import NOW, SESSIONS, session_records

LINEAR = "BYBIT.ws.2"
TRADED = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000002,"T":1700000000001,"s":"BTCUSDT","t":7,'
    b'"p":"61000.10","q":"0.250","X":"MARKET","m":true}}'
)
MARKED = (
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1700000000000,"s":"BTCUSDT","p":"61000.5",'
    b'"i":"61001.25","r":"0.00010000","T":1700006400000}}'
)
OWN = ("L", "i", "seq", "RPI")  # of a trade: what the events of a tape do not hold


def nobody(stream: str) -> bool:
    return False


def recorded(symbol: str, topic: str) -> list[bytes]:
    """Frames of a linear contract, as the session's connection for those received them."""
    head = f'{{"topic":"{topic}.{symbol}"'
    records = (record for record in session_records("BYBIT") if record["t"] == "recv" and record["conn"] == LINEAR)
    return [record["data"].encode() for record in records if record["data"].startswith(head)]


def voice_and_book(name: str) -> tuple[BybitVoice, VenueBook]:
    instrument = SESSIONS[name].instrument
    book = VenueBook(instrument)
    return BybitVoice(instrument, instrument, book), book


def without_own(trades: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in trade.items() if key not in OWN} for trade in trades]


@pytest.mark.parametrize(
    ("name", "symbol"), [("bybit-linear-ethusdt", "ETHUSDT"), ("bybit-linear-dogeusdt", "DOGEUSDT")]
)
def test_a_recorded_book_comes_out_again_message_by_message(name: str, symbol: str) -> None:
    voice, book = voice_and_book(name)
    stream = voice.stream("orderbook.200")
    first, *rest = recorded(symbol, "orderbook.200")
    book.apply(TapeFrame(NOW, "", first))
    told, real = json.loads(voice.first_words(stream, nobody, 0)[0]), json.loads(first)
    assert [list(told), list(told["data"])] == [list(real), list(real["data"])]
    assert [told["data"][key] for key in ("s", "b", "a", "seq")] == [
        real["data"][key] for key in ("s", "b", "a", "seq")
    ]
    assert len(real["data"]["b"]) == 200
    number = told["data"]["u"]
    assert len(rest) > 300
    for frame in rest:
        book.apply(TapeFrame(NOW, "", frame))
        told, real = json.loads(voice._delta(stream, voice.ladders[stream]) or b"{}"), json.loads(frame)
        assert told["data"]["u"] == (number := number + 1)
        for side in "ba":
            assert sorted(told["data"][side]) == sorted(real["data"][side])


def test_recorded_trades_come_out_again() -> None:
    voice, _ = voice_and_book("bybit-linear-ethusdt")
    frames = recorded("ETHUSDT", "publicTrade")
    assert len(frames) > 5
    for frame in frames:
        [(stream, data, depth)] = voice.sayings(TapeFrame(NOW, "publicTrade.ETHUSDT", frame), nobody)
        told, real = json.loads(data), json.loads(frame)
        assert (stream, depth, told["topic"]) == ("linear:publicTrade.ETHUSDT", False, real["topic"])
        assert without_own(told["data"]) == without_own(real["data"])
        before, after = (decoder_for(voice.instrument).decode(text, NOW) for text in (frame, data))
        assert before["update_id"].tolist() == after["update_id"].tolist()


def test_a_trade_and_a_mark_price_of_binance_in_bybits_words_by_hand() -> None:
    instrument = bybit_of(USDM_BTC)
    voice = BybitVoice(instrument, USDM_BTC, VenueBook(USDM_BTC))
    [(_, traded, _)] = voice.sayings(TapeFrame(NOW, "btcusdt@trade", TRADED), nobody)
    [told] = json.loads(traded)["data"]
    assert without_own([told]) == [
        {"T": 1_700_000_000_001, "s": "BTCUSDT", "S": "Sell", "v": "0.250", "p": "61000.1", "BT": False}
    ]
    assert told["i"] == "00000000-0000-000e-0000-000000000000"  # the first 63 of 128 bits are the id
    [(stream, data, _)] = voice.sayings(TapeFrame(NOW, "btcusdt@markPrice@1s", MARKED), nobody)
    assert stream == "linear:tickers.BTCUSDT"
    body = json.loads(data)
    assert (body["type"], body["ts"]) == ("snapshot", 1_700_000_000_000)
    assert {key: float(value) for key, value in body["data"].items() if key != "symbol"} == {
        "markPrice": 61000.5,
        "indexPrice": 61001.25,
        "fundingRate": 0.0001,
        "nextFundingTime": 1_700_006_400_000,
    }
    [event] = decoder_for(instrument).decode(traded, NOW)
    assert (event["kind"], event["update_id"], event["price"], event["qty"]) == (TRADE, 7, 610_001, 250)


def test_a_second_subscriber_hears_the_book_that_the_first_one_has() -> None:
    voice, book = voice_and_book("bybit-linear-ethusdt")
    stream = voice.stream("orderbook.200")
    first, second, *_ = recorded("ETHUSDT", "orderbook.200")
    book.apply(TapeFrame(NOW, "", first))
    told = json.loads(voice.first_words(stream, nobody, 0)[0])["data"]
    book.apply(TapeFrame(NOW, "", second))
    again = json.loads(voice.first_words(stream, lambda stream: True, 0)[0])["data"]
    assert [again[key] for key in "bau"] == [told[key] for key in "bau"]


def test_a_tape_with_another_grid_or_of_a_venue_that_is_not_played_is_refused() -> None:
    with pytest.raises(ConfigError, match="contract=linear of bybit-linear-btcusdt differs from inverse of its tape"):
        voice_of(bybit_of(USDM_BTC), COINM_BTC, VenueBook(COINM_BTC))
    spot = Instrument("binance-spot-x", "binance-spot", "x", "inverse", 0.1, 1.0, 100.0, "BTC", "USD")
    with pytest.raises(ConfigError, match="a tape of binance-coinm cannot be played as binance-spot"):
        voice_of(spot, COINM_BTC, VenueBook(COINM_BTC))


def test_the_venue_describes_its_symbols_as_bybit_does() -> None:
    linear, inverse = bybit_of(USDM_BTC), bybit_of(COINM_BTC)
    rest = Rest([linear, inverse], lambda *_: None, lambda: 5_000, str, {})
    status, body = rest.answer("/v5/market/instruments-info?category=linear&limit=1000")
    assert status == 200
    assert instrument_from("bybit-linear", linear.name, "BTCUSDT", body) == linear
    assert json.loads(rest.answer("/v5/market/time")[1])["result"] == {"timeSecond": "5"}
