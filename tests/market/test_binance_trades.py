"""Binance's trades, by hand: signed by their aggressor, and each told once, whichever streams tell it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.events import BUY, FIRST, LAST, SELL, TRADE
from market.sources import decoder_for
from market.sources.decoder import Decoder
from tests.builders_binance import MS, NOW, agg_trade, decoded, trade
from tests.builders_market import COINM_BTC


@pytest.fixture
def decoder() -> Decoder:
    return decoder_for(COINM_BTC)


def test_a_trade_is_signed_by_its_aggressor(decoder):
    [sold], [bought] = decoded(decoder, trade(), trade(t=8, m=False))
    assert (sold["kind"], sold["side"], bought["side"]) == (TRADE, SELL, BUY)
    assert (sold["price"], sold["qty"], sold["update_id"]) == (1_002, 3, 7)
    assert (sold["exchange_ts"], sold["ingest_ts"], sold["flags"]) == (1_000 * MS, NOW, FIRST | LAST)


def test_a_trade_that_met_no_book_is_counted_and_left_off_the_tape(decoder):
    assert decoder.decode(trade(X="INSURANCE_FUND"), NOW).size == 0
    assert (decoder.counts["off_book"], decoder.counts["trade"]) == (1, 1)


def test_an_aggregate_of_trades_is_a_trade_where_no_other_stream_tells_them(decoder):
    [first], [second] = decoded(decoder, agg_trade(7, 9), agg_trade(10, 10, m=False))
    assert (first["kind"], first["side"], first["price"], first["qty"]) == (TRADE, SELL, 1_002, 3)
    assert (first["update_id"], second["update_id"], second["side"]) == (9, 10, BUY)
    assert (decoder.counts["aggTrade"], decoder.counts["doubled"]) == (2, 0)


def test_a_trade_is_told_once_where_both_streams_are_on(decoder):
    frames = agg_trade(5, 6), trade(t=6), trade(t=7), agg_trade(7, 8), trade(t=8), agg_trade(9, 12), trade(t=11)
    told = [int(events["update_id"][0]) for events in decoded(decoder, *frames) if events.size]
    assert told == [6, 7, 8, 12]
    assert decoder.counts["doubled"] == 3


def test_a_trade_that_comes_twice_or_late_is_told_once(decoder):
    ids = (70, 71, 71, 70, 73, 72, 73, 72, 3, 200, 73, 200)
    told = [
        int(events["update_id"][0]) for events in decoded(decoder, *(trade(t=number) for number in ids)) if events.size
    ]
    assert told == [70, 71, 73, 72, 3, 200, 73]  # 3, and 73 behind 200, are too far back to be known
    assert (decoder.counts["doubled"], decoder.counts["trade"]) == (5, len(ids))
    tomorrow = decoder_for(COINM_BTC)
    tomorrow.restore(decoder.state())
    assert [events.size for events in decoded(tomorrow, trade(t=200), trade(t=199), trade(t=199))] == [0, 1, 0]
    tomorrow.restore({name: value for name, value in decoder.state().items() if not name.startswith("told")})
    assert [events.size for events in decoded(tomorrow, trade(t=200), trade(t=201))] == [0, 1]


def test_an_aggregate_that_comes_twice_or_late_is_told_once(decoder):
    frames = agg_trade(1, 2), agg_trade(5, 6), agg_trade(3, 4), agg_trade(5, 6), agg_trade(3, 4), agg_trade(7, 9)
    assert [int(events["update_id"][0]) for events in decoded(decoder, *frames) if events.size] == [2, 6, 4, 9]
    assert decoder.counts["doubled"] == 2


@given(st.lists(st.integers(0, 61), min_size=1, max_size=40))
def test_of_ids_close_together_each_is_told_once(ids: list[int]) -> None:
    decoder = decoder_for(COINM_BTC)
    told = [
        int(events["update_id"][0])
        for events in decoded(decoder, *(trade(t=1_000 + number) for number in ids))
        if events.size
    ]
    assert told == [1_000 + number for number in dict.fromkeys(ids)]


def test_which_trades_were_told_is_remembered_overnight(decoder):
    decoded(decoder, trade(t=20), agg_trade(21, 25))
    tomorrow = decoder_for(COINM_BTC)
    tomorrow.restore(decoder.state())
    assert [events.size for events in decoded(tomorrow, agg_trade(19, 20), trade(t=25), trade(t=26))] == [0, 0, 1]
