"""Instruments out of the venues' own descriptions: recorded ones, hand-made ones, and our own exchange's."""

import json
from dataclasses import replace

import pytest

from live.exchange_rest import exchange_info
from market.errors import ConfigError, DataError, OffGrid
from market.exchange_info import instrument_from, reconciled
from market.sources import decoder_for
from tests.builders_market import COINM_BTC, SPOT_BTC, USDM_BTC
from tests.builders_sessions import SESSIONS, session_records


def recorded_body(file: str, part: str) -> bytes:
    """The first recorded HTTP answer whose address holds ``part``."""
    records = (record for record in session_records(file) if record["t"] == "http" and part in record["url"])
    return str(next(records)["data"]).encode()


def binance(**changed: object) -> bytes:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "stepSize": "1"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    ]
    told = {"symbol": "BTCUSD_PERP", "baseAsset": "BTC", "quoteAsset": "USD", "contractSize": 100, "filters": filters}
    return json.dumps({"symbols": [told | changed]}).encode()


def okx(**changed: object) -> bytes:
    told = {
        "instId": "BTC-USDT-SWAP",
        "tickSz": "0.1",
        "lotSz": "1",
        "ctType": "linear",
        "ctVal": "0.01",
        "ctMult": "1",
    }
    return json.dumps({"data": [told | changed]}).encode()


@pytest.mark.parametrize("instrument", [COINM_BTC, USDM_BTC, SPOT_BTC])
def test_our_own_exchange_describes_what_it_trades(instrument):
    body = json.dumps(exchange_info(instrument, 0)).encode()
    assert instrument_from(instrument.venue, instrument.name, instrument.venue_symbol.upper(), body) == instrument


def test_a_coin_margined_contract_is_worth_its_size_in_quote_currency():
    told = instrument_from("binance-coinm", COINM_BTC.name, "btcusd_perp", binance())
    assert told == COINM_BTC


@pytest.mark.parametrize(
    ("symbol", "part"),
    [
        ("bybit-linear-btcusdt", "category=linear"),
        ("bybit-linear-dogeusdt", "category=linear"),
        ("bybit-spot-btcusdt", "category=spot"),
        ("okx-spot-btc_usdt", "instType=SPOT"),
        ("okx-swap-uni_usd_swap", "instType=SWAP"),
        ("okx-futures-btc_usd_220527", "instType=FUTURES"),
        ("coinbase-spot-btc_usd", "products"),
        ("binance-spot-lrcbtc", "exchangeInfo"),
        ("binance-usdm-sushiusdt", "exchangeInfo"),
    ],
)
def test_a_recorded_description_gives_the_grid_that_its_session_is_read_with(symbol, part):
    file, known = SESSIONS[symbol]
    told = instrument_from(known.venue, known.name, known.venue_symbol, recorded_body(file, part))
    assert replace(told, base=known.base, quote=known.quote) == known
    assert known.venue_symbol.replace("-", "").startswith((told.base + told.quote).lower())
    assert decoder_for(told).instrument == told


def test_a_linear_contract_is_worth_its_value_in_base_coins():
    told = instrument_from("okx-swap", "okx-swap-btc", "btc-usdt-swap", okx(ctMult="10"))
    assert (told.contract, told.multiplier, told.base, told.quote) == ("linear", 0.1, "BTC", "USDT")


def test_a_recorded_description_finds_the_prices_that_lie_off_today_s_grid():
    """CTKUSDT had orders resting at 0.50579 from before its tick became 0.001."""
    told = instrument_from(
        "binance-usdm", "binance-usdm-ctkusdt", "ctkusdt", recorded_body("BINANCE_FUTURES", "exchangeInfo")
    )
    depth = recorded_body("BINANCE_FUTURES", "symbol=CTKUSDT")
    with pytest.raises(OffGrid, match="0.50579"):
        decoder_for(told).decode(depth, 1)
    finer = SESSIONS["binance-usdm-ctkusdt"].instrument
    assert reconciled(replace(finer, base="CTK", quote="USDT"), told).tick_size == 0.00001
    assert decoder_for(finer).decode(depth, 1).size > 0


@pytest.mark.parametrize(
    ("venue", "symbol", "body", "error", "words"),
    [
        ("nowhere", "x", b"{}", ConfigError, "nowhere"),
        ("binance-coinm", "ethusd_perp", binance(), ConfigError, "ethusd_perp"),
        ("binance-coinm", "btcusd_perp", binance()[:40], DataError, "cannot be read"),
        ("binance-coinm", "btcusd_perp", b"\xff", DataError, "cannot be read"),
        ("binance-coinm", "btcusd_perp", b"[]", DataError, "cannot be read"),
        ("binance-coinm", "btcusd_perp", binance(contractSize=0), DataError, "contract size 0"),
        ("binance-coinm", "btcusd_perp", binance(filters=[]), DataError, "tick=''"),
        ("okx-swap", "btc-usdt-swap", okx(tickSz="-1"), DataError, "tick='-1'"),
        ("okx-swap", "btc-usdt-swap", okx(lotSz="nan"), DataError, "lot='nan'"),
        ("okx-swap", "btc-usdt-swap", okx(ctType="other"), DataError, "other"),
        ("okx-swap", "btc-usdt-swap", okx(ctVal="x"), DataError, "contract size"),
        ("bybit-spot", "btcusdt", b'{"result":{"category":"linear","list":[]}}', DataError, "linear"),
    ],
)
def test_a_description_that_says_nothing_or_nonsense_is_refused_in_one_line(venue, symbol, body, error, words):
    with pytest.raises(error, match=words) as refused:
        instrument_from(venue, "some-name", symbol, body)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("tick_size", 0.5), ("lot_size", 10.0), ("multiplier", 10.0), ("contract", "linear"), ("quote", "USDT")],
)
def test_a_contradiction_names_the_key_and_both_values(key, value):
    told = instrument_from("binance-coinm", COINM_BTC.name, "btcusd_perp", binance())
    with pytest.raises(ConfigError, match=f"{key}={value}.*{getattr(told, key)}"):
        reconciled(replace(told, **{key: value}), told)


def test_a_configured_grid_that_divides_the_venue_s_is_kept():
    told = replace(SPOT_BTC, lot_size=0.00001)
    assert reconciled(SPOT_BTC, told).lot_size == 1e-8
