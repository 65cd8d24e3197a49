"""The backtests of a finished chain: lake, registry and command line come to the same figures."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from assets.backtest_command import backtest_report, open_asked
from assets.backtests import FIGURES, MINUTES, ORDERS
from assets.evaluation_metrics import figure_metrics
from assets.ir_decay import base_net
from assets.partitions import Part
from assets.slice_data import slice_of
from market.errors import BundleError, NotEnoughData
from monitoring.ir_decay import MINUTES as COUNTS
from orchestration.tapes import SYNTHETIC
from storage.lake import Lake
from storage.registry import Registry
from tests.builders_chain import Built


def backtest_arguments(built: Built, **changes: object) -> argparse.Namespace:
    lake = Lake(built[0].paths.lake)
    start, end = slice_of(lake, Part(SYNTHETIC, lake.dates("backtests", SYNTHETIC)[-1])).test
    given: dict[str, object] = dict.fromkeys(("queue", "fees", "sweep", "report"))
    given |= {"bundle": "champion", "symbol": SYNTHETIC, "start": str(start), "end": str(end), "policy": "take"}
    return argparse.Namespace(**(given | {"latency": "constant", "jobs": 1} | changes))


def test_every_order_fill_and_figure_of_a_backtest_lies_in_the_lake(built: Built) -> None:
    lake = Lake(built[0].paths.lake)
    key = lake.dates("backtests", SYNTHETIC)[-1]
    fills, orders, table = (lake.scan(name, SYNTHETIC, [key]).collect() for name in ("backtests", ORDERS, FIGURES))
    figures = lake.manifest("backtests", SYNTHETIC, key).metadata["figures"]
    assert orders["filled"].sum() == fills["qty"].sum() > 0
    assert {name: run["net"] for name, run in figures.items()} == dict(
        table.filter(pl.col("scope") == "symbol").select("run", "net").rows()
    )
    minutes = lake.scan(MINUTES, SYNTHETIC, [key]).collect().group_by("run").agg(pl.col("net").sum())
    assert dict(minutes.rows()) == pytest.approx({name: run["net"] for name, run in figures.items()})
    known = base_net(lake, Part(SYNTHETIC, key)).sums[:, :, COUNTS].sum()
    assert 0 <= known <= lake.manifest(MINUTES, SYNTHETIC, key).rows
    assert [len(figures["model"][name]) for name in ("budgets", "surface")] == [2, 8]
    assert figures["probe"]["queue_band"]
    assert {row["baseline"] for row in figures["model"]["execution"]} == {"TWAP", "always-take", "always-post"}
    assert "quote" in figures


def test_the_registry_holds_the_figures_that_the_lake_holds(built: Built) -> None:
    lake, registry = Lake(built[0].paths.lake), Registry(built[0].paths.mlflow)
    part = Part(SYNTHETIC, lake.dates("backtests", SYNTHETIC)[-1])
    run = registry.client.get_run(lake.manifest("evaluation", *part).metadata["mlflow_run"])
    wanted = figure_metrics(lake.manifest("backtests", *part).metadata["figures"])
    assert {name: run.data.metrics[name] for name in wanted} == pytest.approx(wanted)
    assert {"backtest/net/probe", "backtest/markout_bp/maker_250/probe", "backtest/surface/0_1_1/net/model"} <= set(
        wanted
    )


def test_the_command_comes_to_the_figures_of_the_chain(built: Built, tmp_path: Path) -> None:
    lake = Lake(built[0].paths.lake)
    figures = lake.manifest("backtests", SYNTHETIC, lake.dates("backtests", SYNTHETIC)[-1]).metadata["figures"]
    page = tmp_path / "page.html"
    report = backtest_report(built[0], backtest_arguments(built, policy="probe", report=page, sweep=["fee=0,2"]))
    plain = json.loads(json.dumps(report.plain, allow_nan=False))
    assert plain["figures"] == {key: figures["probe"][key] for key in plain["figures"]}
    assert plain["markouts"] == figures["probe"]["markouts"]
    assert {"facts", "notes", "groups", "implementability", "budgets", "surface", "queue_band"} <= set(plain)
    assert len(plain["surface"]) == 2
    assert plain["facts"]["bundle sha"] in page.read_text()
    assert f"{plain['figures']['fills']:,}" in report.text


def test_what_the_command_asks_for_is_what_its_run_trades_on(built: Built) -> None:
    lake = Lake(built[0].paths.lake)
    changes: tuple[dict[str, object], ...] = ({}, {"fees": "30,30"}, {"latency": "stress:30"})
    cases = [open_asked(built[0], lake, backtest_arguments(built, policy="probe", **one)).case for one in changes]
    plain, costly, slow = (case.run("probe").performance for case in cases)
    assert plain.fills > 0
    assert costly.fees == pytest.approx(30e-4 * costly.volume)
    assert costly.fees != plain.fees
    assert slow.net != plain.net
    assert cases[2].desk.terms.infer_latency_ns == 30 * cases[0].desk.terms.infer_latency_ns > 0


def test_the_command_refuses_a_bundle_of_another_catalogue_and_a_window_without_rows(
    built: Built,
) -> None:
    settings = built[0]
    other = replace(settings, features=replace(settings.features, normalizer_clip=5.0))
    with pytest.raises(BundleError, match="was made for feature catalogue"):
        backtest_report(other, backtest_arguments(built))
    with pytest.raises(NotEnoughData, match="holds no"):
        backtest_report(settings, backtest_arguments(built, start="2024-08-09T10:00", end="2024-08-09T10:01"))
