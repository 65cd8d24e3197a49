"""What is said to venues and understood of them, in their own published words."""

import json

import pytest

from live.connectors.binance_dialect import BinanceDialect
from live.connectors.bybit_dialect import BybitDialect
from live.connectors.dialect import Answer, Dialect
from live.connectors.line import Line
from market.errors import ConfigError
from tests.builders_live import bybit_of, in_loop
from tests.builders_market import COINM_BTC, COINM_ETH, SPOT_BTC, USDM_BTC
from tests.builders_sessions import BYBIT_SPOT_BTC, OKX_BTC, frames_of


def test_binance_subscribes_all_symbols_at_once() -> None:
    dialect = BinanceDialect(COINM_BTC)
    number, message = dialect.request("subscribe", 3, [COINM_BTC, COINM_ETH], ("depth@0ms", "trade"))
    streams = ["btcusd_perp@depth@0ms", "btcusd_perp@trade", "ethusd_perp@depth@0ms", "ethusd_perp@trade"]
    assert json.loads(message) == {"method": "SUBSCRIBE", "params": streams, "id": 3}
    assert (number, dialect.path(), dialect.together) == ("3", "/stream", True)
    assert dialect.topics(SPOT_BTC) == ("depth@100ms", "bookTicker", "trade")


def test_bybit_subscribes_each_symbol_by_itself() -> None:
    dialect = BybitDialect(bybit_of(USDM_BTC))
    _, message = dialect.request("unsubscribe", 4, [bybit_of(USDM_BTC)], ("orderbook.50",))
    assert json.loads(message) == {"op": "unsubscribe", "req_id": "4", "args": ["orderbook.50.BTCUSDT"]}
    assert (dialect.path(), dialect.together) == ("/v5/public/linear", False)
    assert BybitDialect(BYBIT_SPOT_BTC).topics(BYBIT_SPOT_BTC) == ("orderbook.50", "publicTrade")


@pytest.mark.parametrize(
    ("dialect", "message", "answer"),
    [
        (BinanceDialect(USDM_BTC), b'{"result":null,"id":1}', Answer("1", "")),
        (
            BinanceDialect(USDM_BTC),
            b'{"error":{"code":2,"msg":"Invalid request"},"id":7}',
            Answer("7", "2: Invalid request"),
        ),
        (BinanceDialect(USDM_BTC), b'{"stream":"btcusdt@trade","data":{"id":5}}', None),
        (BinanceDialect(USDM_BTC), b'{"stream":', None),
        (
            BybitDialect(BYBIT_SPOT_BTC),
            b'{"success":true,"ret_msg":"subscribe","conn_id":"x","req_id":"2","op":"subscribe"}',
            Answer("2", ""),
        ),
        (
            BybitDialect(BYBIT_SPOT_BTC),
            b'{"success":false,"ret_msg":"error:handler not found,topic:x","req_id":"2","op":"subscribe"}',
            Answer("2", "error:handler not found,topic:x"),
        ),
        (
            BybitDialect(BYBIT_SPOT_BTC),
            b'{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}',
            None,
        ),
    ],
)
def test_answers_are_understood(dialect: Dialect, message: bytes, answer: Answer | None) -> None:
    assert dialect.answer(message) == answer


def test_every_recorded_message_of_bybit_is_led_to_its_symbol() -> None:
    dialect = BybitDialect(BYBIT_SPOT_BTC)
    routed = 0
    for frame in frames_of("BYBIT"):
        topic, route = json.loads(frame).get("topic"), dialect.route(frame)
        assert (route is None) == (topic is None)
        if route:
            assert route.symbol.decode() == topic.rpartition(".")[2]
            assert route.depth == topic.startswith("orderbook.")
            routed += 1
    assert routed > 3_000


def test_messages_of_binance_are_led_to_their_symbol() -> None:
    dialect = BinanceDialect(USDM_BTC)
    assert dialect.route(b'{"stream":"btcusdt@depth@0ms","data":{') == (b"btcusdt", True)
    assert dialect.route(b'{"stream":"btcusdt@bookTicker","data":{') == (b"btcusdt", False)
    assert dialect.route(b'{"result":null,"id":1}') is None


def test_other_venues_are_refused() -> None:
    for kind in (BinanceDialect, BybitDialect):
        with pytest.raises(ConfigError, match="venue='okx-spot' of okx-spot-btc_usdt is not one of"):
            kind(OKX_BTC)


@in_loop
async def test_messages_that_begin_alike_and_name_their_topic_later_reach_their_own_symbol() -> None:
    line, heard = Line(BybitDialect(BYBIT_SPOT_BTC), 1_000), list[tuple[bytes, bool]]()
    symbols = (b"BTCUSDT", b"ETHUSDT")
    for symbol in symbols:
        line.lead(symbol, lambda _, depth, symbol=symbol: heard.append((symbol, depth)))
    for _ in range(2):
        for symbol in symbols:
            line._take(b'{"type":"delta","topic":"orderbook.50.%s"}' % symbol)
    assert heard == 2 * [(symbol, True) for symbol in symbols]
