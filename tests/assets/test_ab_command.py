"""The A/B of a journal's desks: minutes are paired, holes count for neither, and what is missing is one clear line."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.ab_command import ab_report
from assets.ab_pairs import desk_pair
from assets.partitions import WHOLE
from assets.resources import lake_of
from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import DataError
from market.schema import schema_sha
from storage.lake import Lake

MINUTE = 60_000_000_000
START = 28_717_920 * MINUTE
DAYS = 15
MODEL = {"desk": pl.UInt8, "row_ts": pl.Int64, "bundle_sha": pl.String}
MODELS = pl.DataFrame([(0, START, "aa"), (2, START, "bb")], MODEL, orient="row")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(load_settings("dev"), paths=Paths(tmp_path))


def put(lake: Lake, table: str, symbol: str, key: str, frame: pl.DataFrame) -> None:
    lake.write(table, symbol, key, frame, schema_sha=schema_sha(frame.schema))
    lake.set_verdict(table, symbol, key, True, {})


def decisions(desk: int, minutes: np.ndarray, net: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(
        {"desk": np.full(minutes.size, desk, np.uint8), "row_ts": START + minutes * MINUTE, "equity": np.cumsum(net)}
    )


def costs(desk: int, minutes: np.ndarray, paid_bp: float) -> pl.DataFrame:
    columns = {"decided_ts": START + minutes * MINUTE + 7, "quote_value": np.full(minutes.size, 1e3)}
    return pl.DataFrame({"desk": np.full(minutes.size, desk, np.uint8), **columns, "paid_bp": [paid_bp] * minutes.size})


def journal(
    settings: Settings, *tables: pl.DataFrame, paid: pl.DataFrame | None = None, models: pl.DataFrame = MODELS
) -> Lake:
    lake, symbol = lake_of(settings), settings.live.symbol
    put(lake, "live_journal", symbol, WHOLE, pl.DataFrame({"segment": ["one"]}))
    put(lake, "live_decisions", symbol, "one", pl.concat(tables))
    put(lake, "live_models", symbol, "one", models)
    if paid is not None:
        put(lake, "paid_cost", symbol, WHOLE, paid)
    return lake


def asked() -> argparse.Namespace:
    return argparse.Namespace(symbol=None, json=False)


def test_the_better_challenger_of_a_journal_wins_and_the_report_says_what_could_be_told(settings: Settings) -> None:
    rng, minutes = np.random.default_rng(0), np.arange(DAYS * 1_440)
    market = rng.normal(size=minutes.size)
    nets = [market + 0.3 * rng.normal(size=minutes.size) + lift for lift in (0.0, 0.05)]
    paid = pl.concat([costs(desk, minutes[::10], 2.0) for desk in (0, 2)])
    journal(settings, *(decisions(desk, minutes, net) for desk, net in zip((0, 2), nets, strict=True)), paid=paid)
    report = ab_report(settings, asked())
    assert report.plain["verdict"] == "challenger"
    assert (report.plain["champion"], report.plain["challenger"], report.plain["since_ts"]) == ("aa", "bb", START)
    assert report.plain["days"] == pytest.approx(DAYS, abs=0.01)
    assert report.plain["differences"]["cost_bp"]["estimate"] == pytest.approx(0.0)
    assert "could have told apart a Sharpe ratio of" in report.text
    assert "mean loss of the worst 1 % of minutes" in report.text
    assert json.loads(json.dumps(report.plain, allow_nan=False))["arms"]["champion"]["cost_bp"] == pytest.approx(2.0)


def test_minutes_are_paired_by_their_stamp_and_a_hole_counts_for_neither(settings: Settings) -> None:
    early, late = np.array([0, 1, 2, 3, 5]), np.array([2, 3, 4, 5, 6])
    lake = journal(
        settings, decisions(0, early, np.array([9.0, 9, 1, 2, 3])), decisions(2, late, np.array([10.0, 20, 30, 40, 9]))
    )
    pair = desk_pair(lake, settings.live.symbol, pl.DataFrame({"segment": ["one"]}), START)  # minutes 2 to 5
    assert pair.counted.tolist() == [True, True, False, True]
    assert (2 * pair.counted.sum(), pair.champion.net[3], pair.challenger.net[1]) == (6, 6.0, 40.0)  # at half risk


def test_a_short_journal_without_costs_is_insufficient_and_still_json(settings: Settings) -> None:
    rng, minutes = np.random.default_rng(1), np.arange(2 * 1_440)
    journal(settings, *(decisions(desk, minutes, rng.normal(size=minutes.size)) for desk in (0, 2)))
    report = ab_report(settings, asked())
    assert report.plain["verdict"] == "insufficient"
    assert "14 are needed" in report.text
    assert json.loads(json.dumps(report.plain, allow_nan=False))["arms"]["champion"]["cost_bp"] is None


def test_minutes_of_an_earlier_challenger_are_not_this_ones(settings: Settings) -> None:
    rng, minutes, change = np.random.default_rng(2), np.arange(2 * 1_440), 1_000
    later = pl.DataFrame([(2, START + change * MINUTE, "cc"), (0, START + 2_000 * MINUTE, "aa")], MODEL, orient="row")
    tables = [decisions(desk, minutes, rng.normal(size=minutes.size)) for desk in (0, 2)]
    journal(settings, *tables, models=pl.concat([MODELS, later]))
    found = ab_report(settings, asked()).plain
    assert (found["challenger"], found["since_ts"]) == ("cc", START + change * MINUTE)
    assert found["days"] == pytest.approx((2 * 1_440 - change) / 1_440, abs=0.01)


def test_what_is_missing_is_one_clear_line(settings: Settings) -> None:
    with pytest.raises(DataError, match="the lake holds no journal of"):
        ab_report(settings, asked())
    journal(settings, decisions(0, np.arange(9), np.ones(9)), models=MODELS[:1])
    with pytest.raises(DataError, match="holds no model of a challenger; live.challenger gives one a desk"):
        ab_report(settings, asked())
