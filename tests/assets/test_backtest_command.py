"""What the command line of a backtest may say, and the one line about what it may not."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.backtest_command import find_bundle, instant, on_terms, open_asked, read_arguments, read_grid, require_days
from assets.backtest_together import account_of, one_by_one
from assets.studies import Case
from backtest.engine import Window
from backtest.surface import Grid
from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import BacktestError, BundleError, ConfigError, DataError, NotEnoughData
from market.schema import schema_sha
from storage.lake import Lake
from tests.builders_backtest import desk, imbalance_forecasts, stretch
from tests.builders_runner import write_band_bundle

DAY_NS = 86_400_000_000_000
START = 1_723_075_200_000_000_000  # 2024-08-08 UTC


NONE = Lake(Path("/nowhere"))
_CHANGES: dict[str, dict[str, Any]] = {
    "fees": {"fees": "30,30"},
    "queue": {"queue": "front"},
    "stress": {"latency": "stress:40"},
}


def arguments(**changes: Any) -> argparse.Namespace:
    given = {
        "bundle": "champion",
        "symbol": "binance-coinm-btcusd_perp",
        "start": "2024-08-08T23:55",
        "end": "2024-08-09T00:01",
        "latency": "constant",
        "queue": None,
        "policy": "take",
        "fees": None,
        "sweep": None,
        "jobs": 1,
        "report": None,
        "json": False,
    }
    return argparse.Namespace(**(given | changes))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(load_settings("dev"), paths=Paths(tmp_path))


def test_terms_of_the_command_line_stand_in_place_of_the_configured_ones(settings: Settings) -> None:
    asked = read_arguments(settings, NONE, arguments(latency="stress:3", fees="-0.5,4", queue="risk_averse", jobs=2))
    venue, configured = asked.venue, settings.venue
    assert (venue.order_latency_ms, venue.ack_latency_ms) == (30.0, 30.0)
    assert venue.fees == pytest.approx((-0.5e-4, 4e-4))
    assert asked.window == Window(instant("from", "2024-08-08T23:55Z"), instant("to", "2024-08-09T01:01+01:00"))
    assert read_arguments(settings, NONE, arguments()).venue == configured


def test_a_bootstrap_without_a_fitted_table_is_one_clear_error(settings: Settings) -> None:
    with pytest.raises(DataError, match="has no latency table: no journal of it was fitted"):
        read_arguments(settings, NONE, arguments(latency="bootstrap:2"))


def test_a_trace_without_a_journal_is_one_clear_error(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="latency=trace, but the lake holds no journal of binance-coinm-btcusd_perp"):
        read_arguments(settings, Lake(tmp_path), arguments(latency="trace"))


def test_fees_may_be_a_tier_of_the_schedule_in_force_when_the_window_begins(settings: Settings) -> None:
    venue = read_arguments(settings, NONE, arguments(fees="VIP1")).venue
    assert venue.fees == pytest.approx((1.6e-4, 4e-4))
    with pytest.raises(DataError, match="holds nothing for binance-coinm vip9"):
        read_arguments(settings, NONE, arguments(fees="vip9"))
    with pytest.raises(DataError, match="no entry of binance-coinm vip1 for 2021-08-08"):
        read_arguments(settings, NONE, arguments(fees="vip1", start="2021-08-08"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbol": "binance-usdm-dogeusdt"}, "unknown symbol 'binance-usdm-dogeusdt'"),
        ({"start": "2024-08-09T00:01"}, "the window is empty"),
        ({"start": "yesterday"}, "from='yesterday' is no ISO 8601 time"),
        ({"queue": "lifo"}, "queue='lifo' is not one of risk_averse"),
        ({"queue": "risk_averse:3"}, "queue='risk_averse:3' is not one of"),
        ({"latency": "fast"}, "latency='fast' is not"),
        ({"latency": "stress:much"}, "latency stress='much' must be numbers"),
        ({"latency": "stress:-1"}, "latency='stress:-1': a latency is stressed by 0 or more"),
        ({"latency": "bootstrap:-1"}, "latency='bootstrap:-1': a latency is stressed by 0 or more"),
        ({"start": "1" + "0" * 30}, "is not within 1970 to 2261"),
        ({"start": "1" * 5_000}, "is not within 1970 to 2261"),
        ({"end": "9999-01-01"}, "to='9999-01-01' is not within 1970 to 2261"),
        ({"start": "1969-12-31"}, "from='1969-12-31' is not within 1970 to 2261"),
        ({"start": "0001-01-01T00:00+14:00"}, "is not within 1970 to 2261"),
        ({"start": "\u0663\u00b2"}, "is no ISO 8601 time"),
        ({"sweep": ["fee=0", "fee=2"]}, "sweep='fee=0 fee=2' names fee twice"),
        ({"sweep": ["fee=0,fee=2"]}, "names fee twice"),
        ({"policy": "guess"}, "policy='guess' is not one of take"),
        ({"fees": "2"}, "fees='2' must be 2 numbers"),
        ({"fees": "9999,1"}, "maker_fee=0.9999 is outside"),
        ({"jobs": 0}, "jobs=0 must be at least 1"),
        ({"sweep": ["spread=1"]}, "sweep names 'spread'"),
        ({"sweep": ["fee=a"]}, "sweep fee='a' must be numbers"),
        ({"sweep": ["latency=1,2"]}, "names no fee"),
        ({"sweep": ["fee=1", "size=0"]}, "size above 0"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_it(settings: Settings, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_arguments(settings, NONE, arguments(**changes))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_sweep_may_be_one_word_or_many() -> None:
    grid = Grid([0.0, 2.0], [1.0, 4.0], [1.0])
    assert read_grid(["fee=0,2", "latency=1,4"]) == grid
    assert read_grid(["fee=2,0,latency=4,1"]) == grid
    assert read_grid(["fee=0,2 latency=1,4 size=1"]) == grid


def test_a_bundle_that_nobody_has_is_one_line(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle '0123456789': no folder, no champion or challenger, no sha"):
        find_bundle(settings, "binance-coinm-btcusd_perp", "0123456789", tmp_path / "brought")


def test_a_missing_day_is_a_gap_and_a_window_without_a_day_is_said(tmp_path: Path) -> None:
    lake, frame = Lake(tmp_path / "lake"), pl.DataFrame({"row_ts": [0]})
    for day in ("2024-08-08", "2024-08-10"):
        lake.write("features", "coin", day, frame, schema_sha=schema_sha(frame.schema))
    require_days(lake, "coin", Window(START, START + DAY_NS))
    with pytest.raises(NotEnoughData, match="has a gap: the lake holds no 2024-08-09"):
        require_days(lake, "coin", Window(START, START + 3 * DAY_NS))
    with pytest.raises(NotEnoughData, match="no day of coin in this window; it has 2024-08-08 to 2024-08-10"):
        require_days(lake, "coin", Window(START + 9 * DAY_NS, START + 10 * DAY_NS))


def _on(settings: Settings, **changes: Any) -> Case:
    """A quoting case over a short synthetic market, at 3 ms of inference, on the terms of a command line."""
    own, base = desk("quote"), settings.venue
    terms = own.terms._replace(venue=base, infer_latency_ns=3_000_000)
    case = Case(replace(own, terms=terms), stretch()[0], imbalance_forecasts())
    return on_terms(case, read_arguments(settings, NONE, arguments(**changes)))


def test_a_case_trades_on_the_terms_asked_for_and_its_figures_follow_them(settings: Settings) -> None:
    plain = _on(settings)
    assert plain.desk.terms.venue == settings.venue
    asked = {name: _on(settings, **change) for name, change in _CHANGES.items()}
    ran = {name: case.run("quote").performance for name, case in {"plain": plain, **asked}.items()}
    assert ran["plain"].fills > 3
    assert ran["fees"].fees == pytest.approx(ran["fees"].volume * 30e-4)
    for name in ("queue", "stress"):
        assert (ran[name].fills, ran[name].volume) != (ran["plain"].fills, ran["plain"].volume)


def test_a_stress_is_taken_once_on_every_leg(settings: Settings) -> None:
    slow = _on(settings, latency="stress:7").desk.terms
    assert slow.infer_latency_ns == 7 * 3_000_000
    assert slow.venue.order_latency_ns == 7 * settings.venue.order_latency_ns
    assert slow.venue.ack_latency_ns == 7 * settings.venue.ack_latency_ns


def test_a_spoiled_bundle_and_one_of_a_foreign_catalogue_are_one_line(settings: Settings, tmp_path: Path) -> None:
    lake, frame, folder = Lake(settings.paths.lake), pl.DataFrame({"row_ts": [0]}), tmp_path / "bundle"
    for day in ("2024-08-08", "2024-08-09"):
        lake.write("features", "binance-coinm-btcusd_perp", day, frame, schema_sha=schema_sha(frame.schema))
    write_band_bundle(folder)
    given = arguments(bundle=str(folder))
    with pytest.raises(BundleError, match="bundle bundle was made for feature catalogue") as foreign:
        open_asked(settings, lake, given)
    for path in folder.iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(BundleError) as spoiled:
            open_asked(settings, lake, given)
        assert "bundle bundle" in str(spoiled.value)
        assert "\n" not in str(spoiled.value) + str(foreign.value)
        path.write_bytes(whole)


def test_several_symbols_share_one_bundle_or_bring_one_each() -> None:
    given = arguments(symbol=["a", "b"], bundle=["champion"])
    assert [(one.symbol, one.bundle) for one in one_by_one(given)] == [("a", "champion"), ("b", "champion")]
    given = arguments(symbol=["a", "b"], bundle=["x", "y"])
    assert [(one.symbol, one.bundle) for one in one_by_one(given)] == [("a", "x"), ("b", "y")]
    with pytest.raises(ConfigError, match="2 bundles for 3 symbols"):
        one_by_one(arguments(symbol=["a", "b", "c"], bundle=["x", "y"]))
    with pytest.raises(ConfigError, match="names one twice"):
        one_by_one(arguments(symbol=["a", "a"], bundle=["x"]))


def test_deposits_are_words_of_currency_and_amount() -> None:
    account = account_of(["BTC=0.5", "USDT=1000"], 0.1)
    assert account is not None
    assert account.deposits == {"BTC": 0.5, "USDT": 1000.0}
    assert account_of(None, 1.0) is None
    with pytest.raises(ConfigError, match="deposit BTC='' must be numbers"):
        account_of(["BTC"], 0.1)
    with pytest.raises(BacktestError, match="initial_margin=2.0 is outside"):
        account_of(["BTC=1"], 2.0)
